"""Our estimators of the ELBO return what Pyro's own return, bit for bit, and read nothing."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor

from pyro_vae import VAE, networks, posteriors, priors
from pyro_vae._elbo import AnalyticELBO, SampledELBO
from pyro_vae.objectives import ELBO, rate

PAIRS = {"sampled": (SampledELBO, Trace_ELBO), "analytic": (AnalyticELBO, TraceMeanField_ELBO)}
PARTICLES = [(1, False), (3, False), (3, True)]


class Wider(VAE):
    """A model with a further draw and a further observation, in a plate and out of one."""

    def __init__(self, prior, likelihood, posterior) -> None:
        super().__init__(prior, likelihood, posterior)
        self.center = torch.nn.Parameter(torch.tensor(0.4))

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        super().model(x, beta)
        level = pyro.sample("level", dist.Normal(torch.zeros(()), 1.0))
        with pyro.plate("more", len(x)), pyro.poutine.scale(scale=0.3):
            pyro.sample("mean", dist.Normal(level, 0.5), obs=x.mean((1, 2, 3)))

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        super().guide(x, beta)
        pyro.sample("level", dist.Normal(self.center, 0.2))


class Helped(VAE):
    """A guide with further draws that the model has not."""

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        size = self.posterior(x).stddev.mean()
        for name, scale in (("first", 0.3), ("second", 0.1), ("third", 0.7)):
            further = dist.Normal(size, scale * size)
            pyro.sample(name, further, infer={"is_auxiliary": True})
        super().guide(x, beta)


def encoder() -> networks.Encoder:
    return networks.ConvEncoder((1, 8, 8), channels=(4, 8))


def wider(kind: type[VAE] = Wider) -> VAE:
    vae = small_vae()
    return kind(vae.prior, vae.likelihood, vae.posterior)


def masked() -> VAE:
    """Half of the images count, those of an even number."""
    vae = small_vae()
    mask = torch.arange(6) % 2 == 0
    return small_vae(posterior=lambda x: vae.posterior(x).mask(mask))


MODELS = {
    "DiagonalNormal": small_vae,
    "FullNormal": lambda: small_vae(posterior=posteriors.FullNormal(encoder(), 2)),
    "PlanarFlow": lambda: small_vae(posterior=posteriors.PlanarFlow(encoder(), 2)),
    "Delta": lambda: small_vae(prior=priors.Flat(2), posterior=posteriors.Delta(encoder(), 2)),
    "PowerSpherical": lambda: small_vae(
        prior=priors.HypersphereUniform(2), posterior=posteriors.PowerSpherical(encoder(), 2)
    ),
    "Bernoulli": lambda: small_vae(
        prior=priors.Bernoulli(2), posterior=posteriors.Bernoulli(encoder(), 2)
    ),
    "StraightThroughBernoulli": lambda: small_vae(
        prior=priors.Bernoulli(2), posterior=posteriors.StraightThroughBernoulli(encoder(), 2)
    ),
    "further sites": wider,
    "further draws of the guide": lambda: wider(Helped),
    "masked": masked,
}


def found(estimator, vae: VAE, x: Tensor, **settings) -> list[Tensor | None]:
    """The loss and all gradients, or nothing where an estimator refuses a model."""
    pyro.set_rng_seed(1)
    for parameter in vae.parameters():
        parameter.grad = None
    try:
        loss = estimator.differentiable_loss(vae.model, vae.guide, x, **settings)
    except NotImplementedError:
        return []
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in vae.parameters())]


@pytest.mark.parametrize("validated", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize("particles, vectorized", PARTICLES)
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_pyros_bit_for_bit(name, kind, particles, vectorized, validated):
    vae, x = MODELS[name](), torch.rand(6, 1, 8, 8)
    settings = {
        "num_particles": particles, "vectorize_particles": vectorized, "max_plate_nesting": 1
    }  # fmt: skip
    ours, pyros = (family(**settings) for family in PAIRS[kind])
    for beta in (0.0, 0.7, 1.0):
        other = found(pyros, vae, x, beta=beta)
        with pyro.validation_enabled(validated):
            one = found(ours, vae, x, beta=beta)
        assert len(one) == len(other) and (one or (name, kind) == ("Bernoulli", "analytic"))
        for mine, theirs in zip(one, other, strict=True):
            assert mine is theirs is None or torch.equal(mine, theirs)
            assert mine is None or mine.dtype == theirs.dtype


@pytest.mark.parametrize("kind", PAIRS)
def test_without_validation_a_score_function_posterior_is_refused_all_the_same(kind):
    """Pyro's own would then lose the gradient of the likelihood without a word."""
    vae, x = MODELS["Bernoulli"](), torch.rand(6, 1, 8, 8)
    with pyro.validation_enabled(False):
        ours = found(PAIRS[kind][0](max_plate_nesting=1), vae, x)
    assert bool(ours) == (kind == "sampled")


@pytest.mark.parametrize("analytic", [True, False])
def test_a_site_that_a_subclass_adds_counts_in_the_loss(analytic):
    vae, x, objective = wider(), torch.rand(6, 1, 8, 8), ELBO(analytic_kl=analytic)
    plain = VAE(vae.prior, vae.likelihood, vae.posterior)
    losses = []
    for model in (vae, plain):
        pyro.set_rng_seed(1)
        losses.append(objective(model, x).loss)
    pyro.set_rng_seed(1)
    vae.posterior(x).rsample()
    q, p = dist.Normal(vae.center, 0.2), dist.Normal(torch.zeros(()), 1.0)
    level = q.rsample()
    score = 0.3 * dist.Normal(level, 0.5).log_prob(x.mean((1, 2, 3))).sum()
    further = (rate(q, p, level, analytic) - score) / len(x)
    assert torch.isclose(losses[0] - losses[1], further, atol=1e-4)
    losses[0].backward()
    assert vae.center.grad != 0


def test_a_divergence_that_is_one_number_counts_for_every_image():
    """Pyro's divergence of a masked distribution is the number 0."""
    vae, x = small_vae(), torch.rand(6, 1, 8, 8)
    hidden = small_vae(
        prior=lambda: vae.prior().mask(False), posterior=lambda x: vae.posterior(x).mask(False)
    )
    ours, pyros = (family(max_plate_nesting=1) for family in PAIRS["analytic"])
    assert torch.equal(found(ours, hidden, x)[0], found(pyros, hidden, x)[0])
