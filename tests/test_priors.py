"""Priors: normalized, true to their draws, and at home in a model."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from test_distributions import assert_mean

from pyro_vae import checkpoints, fit, posteriors, priors
from pyro_vae.errors import ArgumentError, StateError
from pyro_vae.networks import ConvEncoder

SHAPE = (1, 8, 8)


def wiggled(module):
    """Return the same module away from its initial weights, whose symmetry could hide an error."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def vamp(latent_size: int, family=posteriors.DiagonalNormal, components: int = 7):
    """Return a VampPrior in a model, without which it has no posterior."""
    posterior = family(ConvEncoder(SHAPE, channels=(4, 8)), latent_size)
    prior = priors.VampPrior(latent_size, components)
    prior.vae = [small_vae(latent_size=latent_size, prior=prior, posterior=posterior)]
    return prior


REAL = {
    "StandardNormal": priors.StandardNormal,
    "Normal": lambda d: priors.Normal(d, [0.5, -1.0][:d], [0.7, 1.5][:d], learned=True),
    "Normal, given": lambda d: priors.Normal(d, 0.5, 2.0),
    "Laplace": lambda d: priors.Laplace(d, [0.5, -1.0][:d], 0.6, learned=True),
    "MixtureOfGaussians": priors.MixtureOfGaussians,
    "VampPrior": vamp,
    "NormalizingFlow": lambda d: priors.NormalizingFlow(d, hidden=16),
    "NormalizingFlow, affine": lambda d: priors.NormalizingFlow(d, "affine", hidden=16),
    "NormalizingFlow, coupling": lambda d: priors.NormalizingFlow(d, hidden=16, passes=2),
    "NormalizingFlow, bounded": lambda d: priors.NormalizingFlow(d, "affine", steepest=2.0),
    "NormalizingFlow, tanh": lambda d: priors.NormalizingFlow(d, "affine", activation="tanh"),
}


@torch.no_grad()
@pytest.mark.parametrize("latent_size", [1, 2])
@pytest.mark.parametrize("name", REAL)
def test_priors_integrate_to_one_and_draw_what_they_say(name, latent_size):
    prior = REAL[name](latent_size)
    p = wiggled(prior)() if name != "VampPrior" else prior()
    assert (p.batch_shape, p.event_shape) == ((), (latent_size,))
    axis = torch.linspace(-15, 15, 501)
    points = torch.cartesian_prod(*[axis] * latent_size).reshape(-1, latent_size)
    mass = p.log_prob(points).exp() * (axis[1] - axis[0]) ** latent_size
    assert mass.sum().item() == pytest.approx(1, abs=5e-3)
    draws = p.sample((20_000,))
    assert_mean(draws, mass @ points)
    assert_mean(draws**2, mass @ points**2)
    assert_mean(draws.tanh(), mass @ points.tanh())
    assert_mean(draws.prod(-1), mass @ points.prod(-1))


def test_bernoulli_codes_sum_to_one_and_are_drawn_as_often_as_they_say():
    p = wiggled(priors.Bernoulli(3, 0.2, learned=True))()
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    mass = p.log_prob(codes).exp()
    assert mass.sum().item() == pytest.approx(1)
    draws = p.sample((20_000,))
    for code, probability in zip(codes, mass, strict=True):
        assert_mean((draws == code).all(-1).float(), probability)


def test_the_parameters_that_are_given_are_those_of_the_distribution():
    p = priors.Normal(2, [1.0, 2.0], 0.5)()
    assert torch.allclose(p.mean, torch.tensor([1.0, 2.0]))
    assert torch.allclose(p.stddev, torch.full((2,), 0.5))
    assert torch.allclose(priors.Laplace(2, scale=3.0)().base_dist.scale, torch.tensor(3.0))
    assert torch.allclose(priors.Bernoulli(2, 0.3)().mean, torch.full((2,), 0.3))


@pytest.mark.parametrize("family", [priors.Normal, priors.Laplace, priors.Bernoulli])
def test_only_learned_priors_have_parameters(family):
    assert list(family(2).parameters()) == []
    learned = family(2, learned=True)
    learned().log_prob(learned().sample()).backward()
    assert all((p.grad != 0).all() for p in learned.parameters()) and list(learned.parameters())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: priors.Normal(2, scale=0.0),
            "Normal: scale must be a number above 0.0001, or .*, got 0",
        ),
        (
            lambda: priors.Laplace(2, scale=[1.0, -1.0]),
            r"Laplace: scale must be .* above 0.0001.*, got \[1.0, -1.0\]",
        ),
        (
            lambda: priors.Normal(3, loc=[0.0, 1.0]),
            "Normal: loc must be one number or 3 of them, got 2",
        ),
        (
            lambda: priors.MixtureOfGaussians(2, scale=1.0),
            "scale must be a number above 0.0001 and below 1, got 1",
        ),
        (
            lambda: priors.Bernoulli(2, 1.0),
            "Bernoulli: probability must be a number above 0 and below 1, got 1",
        ),
        (
            lambda: priors.HypersphereUniform(1),
            "HypersphereUniform: latent_size must be a whole number, 2 or more, got 1",
        ),
    ],
)
def test_senseless_settings_are_refused_by_name(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_scales_that_collapse_stay_above_zero():
    for prior in (priors.Normal(2, learned=True), priors.MixtureOfGaussians(2)):
        prior.log_scale.data.fill_(-1e4)
        assert torch.isfinite(prior().log_prob(torch.zeros(2)))


@pytest.mark.parametrize("latent_size", [2, 50])
def test_a_mixture_starts_spread_out_with_unit_variance_in_all(latent_size):
    prior = priors.MixtureOfGaussians(latent_size, components=200)
    variance = prior.loc.var(0, correction=0) + prior().components.variance.mean(0)
    assert torch.allclose(variance, torch.ones(latent_size), atol=0.2)
    distances = torch.cdist(prior.loc, prior.loc) + 1e9 * torch.eye(200)
    assert distances.min() > 0.01
    assert torch.allclose(prior.loc.mean(0), torch.zeros(latent_size), atol=0.1)


ALL = {
    **REAL,
    "HypersphereUniform": priors.HypersphereUniform,
    "Bernoulli": priors.Bernoulli,
}


@pytest.mark.parametrize("name", ALL)
def test_priors_fit_under_plates_with_and_without_particles(name):
    prior = ALL[name](2)
    with poutine.trace() as traced, pyro.plate("images", 5):
        assert pyro.sample("z", prior()).shape == (5, 2)
    with pyro.plate("particles", 3, dim=-2), pyro.plate("images", 5):
        z = pyro.sample("many", prior())
    assert z.shape == (3, 5, 2)
    assert prior().log_prob(z).shape == (3, 5)
    traced.trace.compute_log_prob()
    assert traced.trace.nodes["z"]["log_prob"].shape == (5,)


def test_tanh_keeps_a_deep_affine_flow_within_reach():
    def reach(activation: str) -> float:
        flow = priors.NormalizingFlow(20, "affine", 6, passes=2, activation=activation)
        for parameter in flow.parameters():
            parameter.data.mul_(3)  # A training may do so step by step.
        return flow.transform()(torch.randn(50, 20)).abs().max().item()

    assert reach("tanh") < 1e4 and reach("relu") > 1e6
    with pytest.raises(ArgumentError, match="activation must be one of relu, tanh, got 'elu'"):
        priors.NormalizingFlow(2, activation="elu")


def test_an_affine_flow_stretches_no_further_than_it_is_let():
    """However far its weights are driven: six transforms of 20 dimensions, each at most twofold."""

    def stretch(steepest: float) -> tuple[float, float]:
        torch.manual_seed(0)
        options = {"passes": 2, "activation": "tanh", "steepest": steepest}
        flow = priors.NormalizingFlow(20, "affine", 6, **options).double()
        for parameter in flow.parameters():
            parameter.data.mul_(100)
        z, f = torch.randn(50, 20, dtype=torch.double), flow.transform()
        back = f.inv(f(z)).sub(z).abs().max().item()
        return f.log_abs_det_jacobian(z, f(z)).abs().max().item(), back

    log_volume, back = stretch(2.0)
    assert 1 < log_volume <= 20 * 6 * math.log(2) and back < 1e-6
    assert stretch(1000.0)[0] > 3 * log_volume
    for steepest in (1.0, -2.0, float("nan")):
        with pytest.raises(ArgumentError, match="steepest must be a number above 1, got"):
            priors.NormalizingFlow(2, "affine", steepest=steepest)


def test_a_flow_draws_by_reparameterization():
    p = wiggled(priors.NormalizingFlow(3, hidden=16))()
    z = p.rsample((4,))
    assert z.requires_grad and not p.sample((4,)).requires_grad
    assert torch.allclose(p.log_prob(z), p.log_prob(z.clone()), atol=1e-3)


# ------------------------------------------------------------- joining a model, and its images


class Codes:
    """Not a `Prior`: a Normal around the latent vectors of the training images."""

    def __init__(self) -> None:
        self.loc, self.calls = torch.zeros(2), []

    def __call__(self):
        return dist.Normal(self.loc, 1.0).to_event(1)

    def join(self, vae) -> None:
        self.encode = vae.encode
        self.calls.append("join")

    @torch.no_grad()
    def initialize(self, images: torch.Tensor) -> None:
        self.loc = self.encode(images).mean.mean(0)
        self.calls.append("initialize")


class CodesModule(torch.nn.Module):
    """The same as an nn.Module, with its mean in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(2))
        self.calls = []

    forward, join, initialize = Codes.__call__, Codes.join, Codes.initialize


@pytest.mark.parametrize("family", [Codes, CodesModule])
def test_any_callable_may_join_a_model_and_start_from_its_images(family, digits):
    prior, images = family(), digits.train.select(slice(0, 200))
    assert not isinstance(prior, priors.Prior)
    vae = small_vae(prior=prior)
    assert prior.calls == ["join"] and (prior().mean == 0).all()
    expected = vae.encode(images.as_float()).mean.mean(0)
    fit(vae, images, epochs=1, device="cpu", progress=False)
    assert prior.calls == ["join", "initialize"]
    assert torch.allclose(vae.prior().mean, expected, atol=1e-6)
    # What was initialized is kept: the mean of the codes is another one by now.
    assert not torch.allclose(vae.encode(images.as_float()).mean.mean(0), expected, atol=1e-3)


# ------------------------------------------------------------------------------- the VampPrior


def test_a_vamp_prior_is_the_mixture_of_the_posteriors_at_its_pseudo_inputs():
    prior = vamp(2)
    posterior = prior.vae[0].posterior
    z = torch.randn(5, 2)
    each = torch.stack([posterior(u[None]).log_prob(z) for u in prior.pseudo_inputs])
    assert torch.allclose(prior().log_prob(z), each.logsumexp(0) - math.log(7), atol=1e-5)


@pytest.mark.parametrize(
    "family",
    [
        posteriors.FullNormal,
        posteriors.Laplace,
        posteriors.InverseAutoregressiveFlow,
        posteriors.PowerSpherical,
        posteriors.Bernoulli,
    ],
)
def test_a_vamp_prior_takes_any_posterior_with_a_density(family):
    prior = vamp(3, family)
    posterior = prior.vae[0].posterior
    z = posterior(torch.rand(4, *SHAPE)).sample()
    each = torch.stack([posterior(u[None]).log_prob(z) for u in prior.pseudo_inputs])
    assert torch.allclose(prior().log_prob(z), each.logsumexp(0) - math.log(7), atol=1e-4)
    assert prior().expand((2, 4)).sample((3,)).shape == (3, 2, 4, 3)


def test_a_vamp_prior_follows_the_posterior_and_trains_it():
    prior = vamp(2)
    z = torch.zeros(1, 2)
    before = prior().log_prob(z)
    wiggled(prior.vae[0].posterior)
    assert not torch.allclose(before, prior().log_prob(z))
    prior().log_prob(z).sum().backward()
    assert (prior.pseudo_inputs.grad != 0).any()
    assert all((p.grad != 0).any() for p in prior.vae[0].posterior.parameters())


def test_a_vamp_prior_shares_weights_without_counting_them_twice():
    prior = priors.VampPrior(2, 7)
    vae = small_vae(prior=prior)
    assert [name for name, _ in prior.named_parameters()] == ["pseudo_inputs"]
    assert prior.pseudo_inputs.shape == (7, *SHAPE)
    names = [name for name in vae.state_dict() if name.startswith("prior.")]
    assert sorted(names) == ["prior.pseudo_inputs", "prior.started"]
    parts = (vae.prior, vae.likelihood, vae.posterior)
    assert len(list(vae.parameters())) == sum(len(list(part.parameters())) for part in parts)


def assert_shares(vae):
    """A change of the posterior is seen by the prior."""
    z = torch.zeros(1, 2)
    before = vae.prior().log_prob(z)
    wiggled(vae.posterior)
    assert not torch.allclose(before, vae.prior().log_prob(z))


def test_a_copied_vamp_prior_shares_the_copied_posterior():
    vae = small_vae(prior=priors.VampPrior(2, 7))
    other = copy.deepcopy(vae)
    z = torch.randn(3, 2)
    before = vae.prior().log_prob(z)
    assert torch.equal(before, other.prior().log_prob(z))
    assert_shares(other)
    assert torch.equal(before, vae.prior().log_prob(z))


def test_a_loaded_vamp_prior_shares_the_loaded_posterior(tmp_path):
    vae = small_vae(prior=priors.VampPrior(2, 7))
    vae.prior.initialize(torch.rand(20, *SHAPE))
    wiggled(vae.posterior)
    checkpoints.save(vae, tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt")
    z = torch.randn(3, 2)
    assert torch.equal(vae.prior().log_prob(z), other.prior().log_prob(z))
    assert_shares(other)


def test_a_vamp_prior_starts_from_images_and_stays_in_their_range():
    vae = small_vae(prior=priors.VampPrior(2, 7))
    images = torch.rand(20, *SHAPE)
    optimized = vae.prior.pseudo_inputs
    vae.prior.initialize(images)
    assert vae.prior.pseudo_inputs is optimized
    rows = [int((images == u).flatten(1).all(1).nonzero()) for u in vae.prior.pseudo_inputs]
    assert len(set(rows)) == 7 and rows != list(range(7))
    kept = optimized.detach().clone()
    vae.prior.initialize(images[:3])
    assert torch.equal(optimized, kept)  # A second training continues where the first ended.
    vae = small_vae(prior=priors.VampPrior(2, 7))
    vae.prior.initialize(images[:3])
    assert len({tuple(u.flatten().tolist()) for u in vae.prior.pseudo_inputs}) == 3
    with torch.no_grad():
        vae.prior.pseudo_inputs.mul_(5).sub_(2)
    seen = []
    vae.posterior.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    vae.prior()
    assert seen[0].min() == 0 and seen[0].max() == 1


def test_a_vamp_prior_alone_asks_for_its_model():
    for use in (priors.VampPrior(2), lambda: priors.VampPrior(2).initialize(torch.rand(3, *SHAPE))):
        with pytest.raises(StateError, match="give it to a VAE"):
            use()


def test_a_vamp_prior_trains_by_pyros_svi():
    vae, x = small_vae(prior=priors.VampPrior(2, 7)), torch.rand(16, *SHAPE)
    before = {k: v.clone() for k, v in vae.state_dict().items()}
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    losses = [svi.step(x) for _ in range(40)]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert all(not torch.equal(before[k], p) for k, p in vae.named_parameters())
