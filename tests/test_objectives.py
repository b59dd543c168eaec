"""The bounds equal their hand-written forms, on the same noise: loss and gradient."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from torch.distributions import constraints
from torch.nn import functional as F

from pyro_vae import annealing, evaluate, fit, networks, posteriors, priors, schedules
from pyro_vae.errors import ArgumentError
from pyro_vae.objectives import (
    ELBO,
    IWAE,
    Capacity,
    FreeBits,
    ObjectiveError,
    TotalCorrelation,
)
from pyro_vae.recipes import fashion_conv

BETA = 2.048


def fashion_vae():
    return fashion_conv.build((1, 32, 32))


def published(vae, x: torch.Tensor, analytic: bool) -> torch.Tensor:
    """System 1's loss as its source writes it: 500 BCE + KL, both averaged over the batch."""
    features = vae.posterior.encoder(x)
    mean, log_variance = vae.posterior.mean(features), vae.posterior.spread(features)
    noise = torch.randn_like(mean)
    z = mean + (0.5 * log_variance).exp() * noise
    cross_entropy = F.binary_cross_entropy(vae.likelihood.decoder(z).sigmoid(), x)
    if analytic:
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
    else:
        kl = -0.5 * noise**2 - 0.5 * log_variance + 0.5 * z**2
    return 500 * cross_entropy + kl.sum(1).mean()


def gradient(loss: torch.Tensor, vae) -> torch.Tensor:
    vae.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in vae.parameters()])


@pytest.mark.parametrize("analytic", [True, False])
def test_loss_and_gradient_equal_the_published_loss(analytic):
    vae, x = fashion_vae().double(), torch.rand(16, 1, 32, 32, dtype=torch.double)
    pyro.set_rng_seed(3)
    ours = 500 / 1024 * ELBO(analytic_kl=analytic)(vae, x, BETA).loss
    pyro.set_rng_seed(3)
    theirs = published(vae, x, analytic)
    assert torch.allclose(ours, theirs, rtol=1e-5)
    mine, other = gradient(ours, vae), gradient(theirs, vae)
    assert (mine - other).norm() < 1e-5 * other.norm()


def test_sampled_and_analytic_rate_differ_draw_by_draw_and_agree_in_expectation():
    vae, x = small_vae(), torch.rand(1, 1, 8, 8).expand(4000, -1, -1, -1)
    sampled, exact = ELBO()(vae, x), ELBO(analytic_kl=True)(vae, x)
    assert not torch.isclose(sampled.rate, exact.rate, rtol=1e-4)
    q, p = vae.encode(x), vae.prior()
    z = q.sample()
    error = (q.log_prob(z) - p.log_prob(z)).std() / 4000**0.5
    assert abs(sampled.rate - exact.rate) < 4 * error


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_terms_beside_the_loss_are_those_of_its_own_draws(analytic, particles, beta):
    vae, x = small_vae(), torch.rand(6, 1, 8, 8)
    pyro.set_rng_seed(5)
    bound = ELBO(analytic, particles)(vae, x, beta)
    pyro.set_rng_seed(5)
    q = vae.encode(x)
    z = q.rsample((particles,)) if particles > 1 else q.rsample()
    distortion = -vae.decode(z).log_prob(x).mean()
    sampled = (q.log_prob(z) - vae.prior().log_prob(z)).mean()
    rate = torch.distributions.kl_divergence(q, vae.prior()).mean() if analytic else sampled
    assert torch.allclose(bound.rate, rate, rtol=1e-4)
    assert torch.allclose(bound.distortion, distortion, rtol=1e-4)
    assert torch.allclose(bound.loss, distortion + beta * rate, rtol=1e-4)


def double_vae():
    return small_vae().double(), torch.rand(5, 1, 8, 8, dtype=torch.double)


def gradients(vae, x, objective, **settings) -> dict[str, torch.Tensor]:
    """The gradient of each slot on the noise of seed 7."""
    pyro.set_rng_seed(7)
    vae.zero_grad()
    objective(vae, x, **settings).loss.backward()
    return {
        slot: torch.cat([p.grad.flatten().clone() for p in getattr(vae, slot).parameters()])
        for slot in ("likelihood", "posterior")
    }


def by_hand(vae, x, m: int, k: int):
    """Log-weights (m, k, B) from first principles, on the noise of seed 7, and the draws."""
    pyro.set_rng_seed(7)
    features = vae.posterior.encoder(x)
    mean, scale = vae.posterior.mean(features), (0.5 * vae.posterior.spread(features)).exp()
    z = mean + scale * torch.randn(m, k, *mean.shape, dtype=torch.double)
    normal = torch.distributions.Normal
    log_q = normal(mean, scale).log_prob(z).sum(-1)
    fixed_q = normal(mean.detach(), scale.detach()).log_prob(z).sum(-1)
    log_p = normal(0.0, 1.0).log_prob(z).sum(-1)
    logits = vae.likelihood.decoder(z)
    target = x.expand_as(logits)
    log_x = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum((-3, -2, -1))
    return log_x + log_p - log_q, log_x + log_p - fixed_q, z


def test_one_sample_and_beta_make_the_elbo():
    vae, x = double_vae()
    pyro.set_rng_seed(7)
    expected = ELBO()(vae, x, 2.0).loss
    pyro.set_rng_seed(7)
    assert torch.allclose(IWAE(samples=1)(vae, x, 2.0).loss, expected)
    pyro.set_rng_seed(7)
    both = IWAE(samples=6, elbo_weight=1.0)(vae, x).loss
    assert torch.allclose(both, -by_hand(vae, x, 1, 6)[0].mean())


def test_iwae_and_miwae_equal_their_definitions():
    vae, x = double_vae()
    for slot, found in gradients(vae, x, IWAE(samples=4, repeats=3)).items():
        vae.zero_grad()
        log_w, _, _ = by_hand(vae, x, 3, 4)
        (-(log_w.logsumexp(1)).mean()).backward()
        parts = getattr(vae, slot).parameters()
        assert torch.allclose(found, torch.cat([p.grad.flatten() for p in parts]), rtol=1e-6)


def test_partial_trains_the_likelihood_on_the_tight_bound_and_the_posterior_on_the_other():
    vae, x = double_vae()
    partial = gradients(vae, x, IWAE(samples=4, repeats=3, partial=True))
    multiply = gradients(vae, x, IWAE(samples=4, repeats=3))

    # All draws in one bound: 12 draws are made of the same noise as 3 times 4.
    tight = gradients(vae, x, IWAE(samples=12))
    assert torch.allclose(partial["likelihood"], tight["likelihood"], rtol=1e-6, atol=1e-10)
    assert torch.allclose(partial["posterior"], multiply["posterior"], rtol=1e-6, atol=1e-10)
    assert not torch.allclose(partial["posterior"], tight["posterior"], rtol=1e-3)


def test_the_doubly_reparameterized_gradient_equals_its_definition():
    vae, x = double_vae()
    found = gradients(vae, x, IWAE(samples=6, doubly_reparameterized=True))
    plain = gradients(vae, x, IWAE(samples=6))
    assert torch.allclose(found["likelihood"], plain["likelihood"], rtol=1e-6, atol=1e-10)
    _, log_w, z = by_hand(vae, x, 1, 6)
    (slope,) = torch.autograd.grad(log_w.sum(), z, retain_graph=True)
    weight = log_w.softmax(1).detach()
    surrogate = -(weight[..., None] ** 2 * slope.detach() * z).sum((1, 3)).mean()
    parameters = list(vae.posterior.parameters())
    expected = torch.autograd.grad(surrogate, parameters)
    expected = torch.cat([g.flatten() for g in expected])
    assert torch.allclose(found["posterior"], expected, rtol=1e-6, atol=1e-10)


class Unexpanded(dist.TorchDistribution):
    """A normal distribution that says nothing of how it is expanded."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support, has_rsample = constraints.real, True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape=()):
        noise = torch.randn(self._extended_shape(torch.Size(sample_shape)), dtype=self.loc.dtype)
        return self.loc + self.scale * noise

    def log_prob(self, value):
        return torch.distributions.Normal(self.loc, self.scale).log_prob(value)


class Triangular(dist.TorchDistribution):
    """A multivariate normal distribution that keeps nothing but its arguments."""

    arg_constraints = {"loc": constraints.real_vector, "scale_tril": constraints.lower_cholesky}
    support, has_rsample = constraints.real_vector, True

    def __init__(self, loc, scale_tril, validate_args=None):
        self.loc, self.scale_tril = loc, scale_tril
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        batch_shape, size = torch.Size(batch_shape), self.event_shape
        return Triangular(
            self.loc.expand(batch_shape + size), self.scale_tril.expand(batch_shape + size + size)
        )

    def rsample(self, sample_shape=()):
        noise = torch.randn(self._extended_shape(torch.Size(sample_shape)), dtype=self.loc.dtype)
        return self.loc + (self.scale_tril @ noise[..., None])[..., 0]

    def log_prob(self, value):
        normal = torch.distributions.MultivariateNormal
        return normal(self.loc, scale_tril=self.scale_tril).log_prob(value)


@pytest.mark.parametrize("setting", ["doubly_reparameterized", "partial"])
@pytest.mark.parametrize("kind", [posteriors.DiagonalNormal, posteriors.FullNormal])
def test_distributions_of_ones_own_have_the_gradients_of_ours(kind, setting):
    encoder = networks.MLPEncoder((1, 8, 8), (16,))
    vae, x = small_vae(posterior=kind(encoder, 2)).double(), torch.rand(5, 1, 8, 8).double()
    objective = IWAE(samples=4, repeats=2, **{setting: True})
    expected, ours = gradients(vae, x, objective), vae.posterior.forward

    def own(images):
        q = ours(images)
        if kind is posteriors.FullNormal:
            return Triangular(q.loc, q.scale_tril)
        return Unexpanded(q.base_dist.loc, q.base_dist.scale).to_event(1)

    vae.posterior.forward = own
    found = gradients(vae, x, objective)
    for slot, gradient_of_ours in expected.items():
        assert torch.allclose(found[slot], gradient_of_ours, rtol=1e-6, atol=1e-10)


@pytest.mark.slow
def test_the_doubly_reparameterized_gradient_agrees_in_expectation_and_varies_less():
    vae = small_vae()
    x = torch.rand(1, 1, 8, 8)
    parameter = vae.posterior.mean.bias

    def draws(doubly: bool, n: int = 600) -> torch.Tensor:
        objective = IWAE(samples=8, doubly_reparameterized=doubly)
        found = []
        for _ in range(n):
            (g,) = torch.autograd.grad(objective(vae, x).loss, parameter)
            found.append(g)
        return torch.stack(found)

    plain, doubly = draws(False), draws(True)
    error = (plain.var(0) / 600 + doubly.var(0) / 600).sqrt()
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4.5 * error).all()
    assert (doubly.var(0) < plain.var(0)).all()


def test_free_bits_let_a_cheap_dimension_be():
    vae, x = double_vae()
    q, p = vae.encode(x), vae.prior()
    rates = torch.distributions.kl_divergence(q.base_dist, p.base_dist).mean(0)
    between = rates.mean().item()
    bound = FreeBits(nats=between)(vae, x, beta=2.0)
    expected = bound.distortion + 2 * (between + rates.max())
    assert torch.allclose(bound.loss, expected)
    assert torch.allclose(bound.rate, rates.sum())
    flat = gradients(vae, x, FreeBits(nats=1e3))
    none = gradients(vae, x, ELBO(analytic_kl=True), beta=0.0)
    assert torch.allclose(flat["posterior"], none["posterior"], rtol=1e-5, atol=1e-9)


def test_a_capacity_pulls_the_rate_to_it_from_both_sides():
    vae, x = double_vae()
    rate = ELBO(analytic_kl=True)(vae, x).rate
    low, high = Capacity(nats=rate.item() / 2), Capacity(nats=2 * rate.item())
    for objective in (low, high):
        bound = objective(vae, x, beta=10.0)
        expected = bound.distortion + 10 * (rate - objective.nats).abs()
        assert torch.allclose(bound.loss, expected)
    start = low(vae, x, beta=10.0, elapsed=0.0)
    assert torch.allclose(start.loss, start.distortion + 10 * rate)


def test_the_total_correlation_parts_add_up_to_the_rate():
    """At beta = 1 the loss is distortion + rate, whatever the estimate of the aggregate."""
    vae, x = double_vae()
    bound = TotalCorrelation(images=1000)(vae, x, beta=1.0)
    assert torch.allclose(bound.loss, bound.distortion + bound.rate)


def test_the_total_correlation_of_a_known_aggregate():
    """Brute force over the batch, by the source's minibatch-weighted estimate."""
    vae, x = double_vae()
    pyro.set_rng_seed(7)
    one = TotalCorrelation(images=50)(vae, x, beta=1.0).loss
    pyro.set_rng_seed(7)
    three = TotalCorrelation(images=50)(vae, x, beta=3.0).loss
    pyro.set_rng_seed(7)
    q = vae.encode(x)
    z = q.rsample()
    total = 0.0
    for i in range(5):
        joint, marginal = [], [[], []]
        for j in range(5):
            each = torch.distributions.Normal(q.base_dist.loc[j], q.base_dist.scale[j])
            log_q = each.log_prob(z[i])
            joint.append(log_q.sum())
            for d in range(2):
                marginal[d].append(log_q[d])
        count = torch.tensor(250.0).double().log()
        log_joint = torch.stack(joint).logsumexp(0) - count
        log_product = sum(torch.stack(m).logsumexp(0) - count for m in marginal)
        total = total + (log_joint - log_product) / 5
    assert torch.allclose(three - one, 2 * total)


def test_what_an_objective_needs_it_checks_by_name():
    x = torch.rand(3, 1, 8, 8)
    mixed = small_vae(
        posterior=lambda x: dist.MultivariateNormal(torch.zeros(len(x), 2), torch.eye(2))
    )
    for objective in (FreeBits(), TotalCorrelation()):
        with pytest.raises(ObjectiveError, match="factorize.*MultivariateNormal does not"):
            objective(mixed, x)
    discrete = small_vae(posterior=lambda x: dist.Bernoulli(torch.rand(len(x), 2)).to_event(1))
    with pytest.raises(ObjectiveError, match="IWAE needs a reparameterized posterior"):
        IWAE()(discrete, x)
    with pytest.raises(ObjectiveError, match="need beta = 1, but beta is 2"):
        IWAE(doubly_reparameterized=True)(small_vae(), x, beta=2.0)
    with pytest.raises(ArgumentError, match="elbo_weight must be 0 with .*, got 0.5"):
        IWAE(doubly_reparameterized=True, elbo_weight=0.5)


@pytest.mark.parametrize(
    "objective",
    [
        ELBO(particles=3),
        FreeBits(),
        Capacity(nats=5.0),
        TotalCorrelation(),
        IWAE(samples=5),
        IWAE(samples=5, doubly_reparameterized=True),
        IWAE(samples=3, repeats=2, partial=True),
        IWAE(samples=3, repeats=2, partial=True, doubly_reparameterized=True),
        IWAE(samples=5, elbo_weight=0.5),
    ],
    ids=lambda objective: str(vars(objective))[:60],
)
def test_every_objective_trains_real_digits(objective, digits):
    vae = small_vae()
    before = evaluate(vae, digits.test).elbo
    fit(vae, digits.train, objective=objective, epochs=3, batch_size=100, learning_rate=5e-3,
        device="cpu", progress=False)  # fmt: skip
    assert evaluate(vae, digits.test).elbo > before + 5


def test_annealing_starts_at_exactly_zero():
    linear, cyclical = annealing.Linear(0.5), annealing.Cyclical(cycles=2, rise=0.5)
    assert [linear(t) for t in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert [cyclical(t) for t in (0.0, 0.125, 0.25, 0.5, 0.625, 1.0)] == [0, 0.5, 1, 0, 0.5, 1]
    for wrong in (0.0, 1.5):
        accepted = "warm_up must be a number above 0 and at most 1"
        with pytest.raises(ArgumentError, match=f"{accepted}, got {wrong}"):
            annealing.Linear(wrong)


def test_a_plateau_ends_a_training_only_below_its_smallest_learning_rate():
    """At exactly that learning rate the training continues."""
    optimizer = torch.optim.SGD([torch.zeros(1)])
    schedule = schedules.Plateau(factor=0.5, patience=0, stop_below=0.25)
    schedule.start(optimizer, 1.0)
    reached = [(schedule.after_epoch(1.0), optimizer.param_groups[0]["lr"]) for _ in range(4)]
    assert reached == [(True, 1.0), (True, 0.5), (True, 0.25), (False, 0.125)]


def test_annealed_training_sees_every_weight(digits):
    seen = []

    class Watching(ELBO):
        def __call__(self, vae, x, beta=1.0, elapsed=1.0):
            seen.append(beta)
            return super().__call__(vae, x, beta, elapsed)

    fit(small_vae(), digits.train, objective=Watching(), beta=2.0, epochs=2, batch_size=200,
        annealing=annealing.Linear(0.5), device="cpu", progress=False)  # fmt: skip
    assert seen[0] == 0.0 and max(seen) == seen[-1] == 2.0 and seen == sorted(seen)


def test_the_closed_form_falls_back_where_gradients_are_the_score_functions():
    vae = small_vae(
        prior=priors.Bernoulli(2),
        posterior=posteriors.Bernoulli(networks.ConvEncoder((1, 8, 8), channels=(8, 16)), 2),
    )
    x = torch.rand(20, 1, 8, 8)
    found = [
        torch.stack([objective(vae, x).loss for _ in range(100)])
        for objective in (ELBO(), ELBO(analytic_kl=True))
    ]
    error = found[0].std() / 10
    assert (found[0].mean() - found[1].mean()).abs() < 5 * error
    vae.zero_grad()
    found[1].mean().backward()
    assert (vae.posterior.logits.weight.grad != 0).any()


@pytest.mark.parametrize(
    "objective", [IWAE(samples=3, doubly_reparameterized=True), FreeBits(), Capacity()]
)
def test_a_delta_is_refused_by_name_where_a_density_is_needed(objective):
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    vae = small_vae(posterior=posteriors.Delta(encoder, 2))
    with pytest.raises(ObjectiveError, match="Delta has none"):
        objective(vae, torch.rand(4, 1, 8, 8))
