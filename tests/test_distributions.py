"""The distributions that Pyro lacks: normalized, true to their draws, and differentiable."""

import math
import subprocess
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.autograd import grad
from torch.distributions import kl_divergence
from torch.nn import functional as F

from pyro_vae import distributions
from pyro_vae.distributions import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    Flow,
    HypersphereUniform,
    LevelCategorical,
    Mixture,
    PowerSpherical,
    StraightThroughBernoulli,
    log_area,
    zuko,
)

LEVELS = torch.arange(256) / 255
N = 40_000


def assert_mean(values: torch.Tensor, expected: torch.Tensor) -> None:
    """The mean over the first dimension is what is expected, within 5 standard errors."""
    values, expected = values.double(), torch.as_tensor(expected).double()
    error = values.std(0) / len(values) ** 0.5
    assert ((values.mean(0) - expected).abs() <= 5 * error + 1e-6).all()


def test_importing_the_library_leaves_validation_on():
    """Zuko, when imported, switches it off for every distribution in the process."""
    program = (
        "import torch.distributions as d; before = vars(d.Distribution).copy(); import pyro_vae; "
        "assert d.Distribution._validate_args is True; "
        "assert vars(d.Distribution)['arg_constraints'] is before['arg_constraints']"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "order", ["pyro_vae, zuko", pytest.param("zuko, pyro_vae", marks=pytest.mark.slow)]
)
def test_zukos_own_flows_do_not_warn_beside_the_library(order):
    program = (
        f"import {order}; from torch.distributions import Distribution as D; "
        "D.set_default_validate_args(True); print(zuko.flows.MAF(2, transforms=1)())"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", program], check=True)


# ---------------------------------------------------------------------------------------- pixels


LOGITS = [-80.0, -17.0, -3.0, -0.21, -0.19, -1e-3, 0.0, 1e-5, 0.15, 0.7, 4.0, 20.0, 80.0]


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one(logit):
    x = torch.linspace(0, 1, 200_001)
    density = ContinuousBernoulli(torch.tensor(logit)).log_prob(x).double().exp()
    assert torch.trapezoid(density, x.double()).item() == pytest.approx(1, abs=2e-5)


def test_continuous_bernoulli_is_that_of_torch_where_that_is_right():
    logits = torch.tensor([-5.0, -0.3, 0.4, 6.0], dtype=torch.double)
    ours, theirs = ContinuousBernoulli(logits), dist.ContinuousBernoulli(logits=logits)
    x = torch.rand(50, 1, dtype=torch.double)
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x))
    assert torch.allclose(ours.mean, theirs.mean)


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_has_its_mean_and_draws(logit):
    p = ContinuousBernoulli(torch.tensor(logit))
    x = torch.linspace(0, 1, 200_001, dtype=torch.double)
    density = p.log_prob(x).exp()
    assert p.mean.item() == pytest.approx(torch.trapezoid(x * density, x).item(), abs=2e-5)
    draws = p.sample((N,))
    assert_mean(draws, p.mean)
    assert_mean(draws**2, torch.trapezoid(x**2 * density, x))


@pytest.mark.parametrize("logit", [-0.55, 0.1, 0.3, 0.59, 0.61])
def test_continuous_bernoulli_has_its_mean_where_the_series_ends(logit):
    mean = ContinuousBernoulli(torch.tensor(logit, dtype=torch.double)).mean.item()
    assert mean == pytest.approx(1 / (1 - math.exp(-logit)) - 1 / logit, abs=1e-8)


@pytest.mark.parametrize("logit", [-0.21, -0.19, -1e-4, 0.0, 1e-3, 0.2, 0.5, 30.0])
def test_continuous_bernoulli_has_the_gradient_of_its_log_density(logit):
    """d/dl log p(x) = x - E x."""
    logits = torch.tensor(logit, requires_grad=True)
    p = ContinuousBernoulli(logits)
    slope = grad(p.log_prob(torch.tensor(0.3)), logits)[0]
    assert slope.item() == pytest.approx(0.3 - p.mean.item(), abs=2e-5)


PIXELS = [(loc, scale) for loc in (-0.3, 0.0, 0.1234, 0.5, 1.0, 1.4) for scale in (1e-4, 3e-3, 1.0)]


@pytest.mark.parametrize("loc, scale", PIXELS)
def test_discretized_logistic_sums_to_one_and_is_a_difference_of_sigmoids(loc, scale):
    p = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale))
    log_prob = p.log_prob(LEVELS)
    assert torch.isfinite(log_prob).all()
    assert log_prob.double().exp().sum().item() == pytest.approx(1, abs=1e-4)
    edges = (torch.arange(1, 256, dtype=torch.double) - 0.5) / 255
    below = torch.sigmoid((edges - p.loc.double()) / p.scale.double())
    expected = torch.diff(below, prepend=torch.zeros(1), append=torch.ones(1))
    assert torch.allclose(log_prob.double().exp(), expected, atol=2e-4)


@pytest.mark.parametrize("loc, scale", PIXELS)
def test_discretized_logistic_draws_levels_as_often_as_it_says(loc, scale):
    p = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale))
    draws = p.sample((N,))
    assert distributions.levels.check(draws).all()
    probability = p.log_prob(LEVELS).double().exp()
    expected = (probability * LEVELS).sum()
    assert_mean(draws, expected)
    assert_mean((draws == 0).float(), probability[0])
    assert_mean((draws == 1).float(), probability[-1])
    assert abs(p.mean - expected) <= 1 / 510 + 1e-6


def test_discretized_logistic_refuses_what_is_not_a_level():
    p = DiscretizedLogistic(torch.zeros(()), torch.ones(()))
    for value in (0.5 / 255, -1 / 255, 256 / 255):
        with pytest.raises(ValueError, match="support"):
            p.log_prob(torch.tensor(value))


def test_categorical_over_levels_sums_to_one_and_draws_what_it_says():
    p = LevelCategorical(logits=3 * torch.randn(2, 256)).expand((2,))
    log_prob = p.log_prob(LEVELS[:, None])
    assert torch.allclose(log_prob.exp().sum(0), torch.ones(2), atol=1e-5)
    draws = p.sample((N,))
    assert_mean(draws, p.mean)
    assert_mean(p.log_prob(draws), (log_prob.exp() * log_prob).sum(0))


# ------------------------------------------------------------------------------- latent vectors


def sphere(dimension: int, steps: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the circle or the sphere, in double precision, and the area of each."""
    angle = (torch.arange(steps, dtype=torch.double) + 0.5) * 2 * math.pi / steps
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    if dimension == 2:
        return circle, torch.full((steps,), 2 * math.pi / steps, dtype=torch.double)
    # The area between two heights does not depend on where they are (Archimedes).
    height = (torch.arange(steps, dtype=torch.double) + 0.5) * 2 / steps - 1
    around = (1 - height**2).sqrt()[:, None, None] * circle
    points = torch.cat([around, height[:, None, None].expand(steps, steps, 1)], -1)
    return points.flatten(0, 1), torch.tensor(4 * math.pi / steps**2, dtype=torch.double)


def direction(dimension: int, first: float = -0.4) -> torch.Tensor:
    """A unit vector whose first coordinate has the sign of `first`."""
    return F.normalize(torch.linspace(first, 0.9, dimension, dtype=torch.double), dim=0)


def power_spherical(dimension: int, concentration: float, first: float = -0.4) -> PowerSpherical:
    kappa = torch.tensor(concentration, dtype=torch.double)
    return PowerSpherical(direction(dimension, first), kappa)


def test_the_sphere_has_its_area():
    areas = {2: 2 * math.pi, 3: 4 * math.pi, 4: 2 * math.pi**2, 5: 8 / 3 * math.pi**2}
    for dimension, area in areas.items():
        assert math.exp(log_area(dimension)) == pytest.approx(area)
    p = HypersphereUniform(torch.zeros(3, dtype=torch.double))
    points, area = sphere(3, 100)
    assert (p.log_prob(points).exp() * area).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("dimension", [2, 3, 50])
def test_uniform_draws_lie_on_the_sphere_and_favor_no_direction(dimension):
    draws = HypersphereUniform(torch.zeros(dimension)).sample((N // 10,))
    assert torch.allclose(draws.norm(dim=-1), torch.ones(N // 10))
    assert_mean(draws, torch.zeros(dimension))
    assert_mean(draws[:, :, None] * draws[:, None], torch.eye(dimension) / dimension)
    # A cube of Normals, not of uniforms: the fourth moment of a coordinate is 3 / (D (D + 2)).
    assert_mean(draws**4, torch.full((dimension,), 3 / (dimension * (dimension + 2))))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("concentration", [1e-3, 0.5, 5.0, 300.0])
def test_power_spherical_integrates_to_one_over_the_sphere(dimension, concentration):
    p = power_spherical(dimension, concentration)
    points, area = sphere(dimension)
    assert (p.log_prob(points).exp() * area).sum().item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("concentration", [0.5, 30.0, 1e3, 1e5])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_power_spherical_integrates_to_one_in_50_dimensions(concentration, dtype):
    """Over t = mu^T x: the points at one t are a sphere of radius sqrt(1 - t^2)."""
    mean = torch.eye(50, dtype=dtype)[0]
    p = PowerSpherical(mean, torch.tensor(concentration, dtype=dtype))
    # Even in the angle, which resolves the mass close to t = 1.
    angle = torch.cat([torch.linspace(1e-9, 0.2, 20_000), torch.linspace(0.2, math.pi, 20_000)[1:]])
    angle = angle.double()
    x = torch.zeros(len(angle), 50, dtype=torch.double)
    x[:, 0], x[:, 1] = angle.cos(), angle.sin()
    log_ring = log_area(49) + 48 * angle.sin().abs().clamp(min=1e-30).log()
    if dtype == torch.float:
        p = PowerSpherical(p.loc, p.concentration, validate_args=False)
    density = (p.log_prob(x.to(dtype)).double() + log_ring).exp()
    tolerance = 1e-5 if dtype == torch.double else 2e-2
    assert torch.trapezoid(density, angle).item() == pytest.approx(1, abs=tolerance)


SPHERICAL = [(2, 0.3), (2, 40.0), (3, 2.0), (3, 500.0), (50, 1.0), (50, 80.0)]


@pytest.mark.parametrize("first", [-0.4, 0.4])
@pytest.mark.parametrize("dimension, concentration", SPHERICAL)
def test_power_spherical_draws_have_its_moments(dimension, concentration, first):
    p = power_spherical(dimension, concentration, first)
    draws = p.rsample((N,))
    assert p.support.check(draws).all()
    # E mu^T x = kappa / (kappa + D - 1), from the Beta distribution.
    resultant = concentration / (concentration + dimension - 1)
    assert_mean(draws, resultant * p.loc)
    assert_mean((draws - resultant * p.loc) ** 2, p.variance)
    assert_mean(-p.log_prob(draws), p.entropy())


@pytest.mark.parametrize("dimension, concentration", SPHERICAL)
def test_power_spherical_divergence_from_the_uniform_agrees_with_its_draws(
    dimension, concentration
):
    q = power_spherical(dimension, concentration)
    p = HypersphereUniform(torch.zeros(dimension, dtype=torch.double))
    draws = q.sample((N,))
    assert_mean(q.log_prob(draws) - p.log_prob(draws), kl_divergence(q, p))


def test_power_spherical_divergence_is_accurate_in_single_precision():
    for dimension in (2, 3, 50):
        for concentration in (0.01, 1.0, 1e3, 1e5):
            exact = power_spherical(dimension, concentration)
            single = PowerSpherical(exact.loc.float(), exact.concentration.float())
            p = HypersphereUniform(torch.zeros(dimension))
            assert abs(kl_divergence(single, p) - kl_divergence(exact, p)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("dimension, concentration", [*SPHERICAL, (2, 1e5), (3, 1e5)])
def test_power_spherical_is_exactly_reparameterized(dimension, concentration, dtype):
    """The mean gradient of (a^T x)^2 + b^T x is that of its closed form, for every parameter."""
    a, b = direction(dimension, 0.3).to(dtype), direction(dimension, -0.8).flip(0).to(dtype)
    raw = (1.7 * direction(dimension)).to(dtype)
    values = []
    for _ in range(2):
        vector = raw.clone().requires_grad_()
        kappa = torch.tensor(concentration, dtype=dtype, requires_grad=True)
        values.append((vector, kappa))
    (vector, kappa), (v, k) = values

    resultant = k / (k + dimension - 1)
    alpha, beta = k + (dimension - 1) / 2, (dimension - 1) / 2
    along = 4 * alpha * beta / ((k + 2 * beta) ** 2 * (k + 2 * beta + 1)) + resultant**2
    across = (1 - along) / (dimension - 1)
    mean = F.normalize(v, dim=0)
    expected = across + (along - across) * (a @ mean) ** 2 + resultant * (b @ mean)
    slopes = grad(expected, (v, k))

    many = vector.expand(N, dimension), kappa.expand(N)
    draws = PowerSpherical(F.normalize(many[0], dim=-1), many[1]).rsample()
    each = grad(((draws @ a) ** 2 + draws @ b).sum(), many)
    for found, slope in zip(each, slopes, strict=True):
        error = found.double().std(0) / N**0.5
        assert ((found.double().mean(0) - slope).abs() <= 5 * error + 2e-3 * slope.abs()).all()


@pytest.mark.parametrize("dimension", [2, 3, 50])
def test_high_concentrations_have_their_gradient_in_single_precision(dimension):
    """Of E |x - mu|^2 / 2 = (D - 1) / (kappa + D - 1)."""
    kappa = torch.full((N,), 1e5, requires_grad=True)
    mean = direction(dimension).float()
    draws = PowerSpherical(mean, kappa).rsample()
    slopes = grad(((draws - mean) ** 2).sum() / 2, kappa)[0]
    assert_relative_mean(slopes, -(dimension - 1) / (1e5 + dimension - 1) ** 2)


def assert_relative_mean(values: torch.Tensor, expected: float) -> None:
    assert_mean(values / expected, 1.0)


def test_power_spherical_gradients_are_finite_at_every_pole():
    poles = torch.cat([torch.eye(3), -torch.eye(3)]).requires_grad_()
    kappa = torch.full((6,), 1e5, requires_grad=True)
    q = PowerSpherical(poles, kappa)
    x = q.rsample((2000,))
    gradients = grad((x.sum() + q.log_prob(x).sum()), (poles, kappa))
    assert all(torch.isfinite(g).all() and g.abs().max() < 1e9 for g in gradients)


def test_straight_through_draws_are_binary_and_pass_the_gradient_of_the_probability():
    logits = torch.randn(500, requires_grad=True)
    z = StraightThroughBernoulli(logits=logits).rsample((3,))
    assert ((z == 0) | (z == 1)).all()
    weights = torch.randn(3, 500)
    slope = grad((weights * z).sum(), logits)[0]
    assert torch.allclose(slope, weights.sum(0) * logits.sigmoid() * (1 - logits.sigmoid()))


def test_straight_through_has_the_log_prob_and_divergence_of_the_bernoulli():
    q = StraightThroughBernoulli(logits=torch.randn(5)).expand((3, 5)).to_event(1)
    assert isinstance(q.base_dist, StraightThroughBernoulli) and q.base_dist.analytic_kl_only
    p = dist.Bernoulli(probs=torch.full((3, 5), 0.2)).to_event(1)
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5)[:, None]
    mass = q.log_prob(codes).exp()
    assert torch.allclose(mass.sum(0), torch.ones(3))
    expected = (mass * (q.log_prob(codes) - p.log_prob(codes))).sum(0)
    assert torch.allclose(kl_divergence(q, p), expected, atol=1e-6)


def test_the_divergence_of_a_full_from_a_diagonal_normal_is_that_of_two_full_ones():
    a = torch.randn(4, 3, 3)
    q = dist.MultivariateNormal(torch.randn(4, 3), a @ a.mT + 0.1 * torch.eye(3))
    p = dist.Normal(torch.randn(3), torch.rand(3) + 0.5).to_event(1).expand((4,))
    full = dist.MultivariateNormal(p.mean, p.variance.diag_embed())
    assert torch.allclose(kl_divergence(q, p), kl_divergence(q, full), atol=1e-4)
    with pytest.raises(NotImplementedError):
        kl_divergence(q, dist.Laplace(torch.zeros(3), 1.0).to_event(1))


def test_a_mixture_is_that_of_torch():
    logits, components = (
        torch.randn(4),
        dist.Normal(torch.randn(4, 2), torch.rand(4, 2)).to_event(1),
    )
    ours = Mixture(logits, components)
    theirs = dist.MixtureSameFamily(dist.Categorical(logits=logits), components)
    x = torch.randn(7, 2)
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x), atol=1e-5)
    assert torch.allclose(ours.mean, theirs.mean, atol=1e-6)
    draws = ours.sample((N,))
    assert_mean(draws, theirs.mean)
    assert_mean((draws - theirs.mean) ** 2, theirs.variance)
    # Dimensions of one draw come from one component.
    cross = draws.prod(-1) - theirs.mean.prod()
    weights, loc = logits.softmax(0), components.mean
    assert_mean(cross, (weights * loc.prod(-1)).sum() - theirs.mean.prod())


def affine_flow(context: torch.Tensor | None = None) -> Flow:
    flow = zuko.flows.MAF(2, 3, transforms=2, hidden_features=(8,))
    base = dist.Normal(torch.zeros(5, 2), torch.ones(5, 2)).to_event(1)
    return Flow(flow.transform(torch.randn(5, 3)).inv, base)


def test_a_mixture_draws_some_at_a_time_as_many_as_asked(monkeypatch):
    components = dist.Normal(torch.tensor([[-9.0], [9.0]]), 0.1).to_event(1)
    mixture = distributions.Mixture(torch.tensor([0.25, 0.75]).log(), components)
    held = []
    draw = components.sample
    monkeypatch.setattr(components, "sample", lambda shape: held.append(shape[0]) or draw(shape))
    monkeypatch.setattr(distributions.mixtures, "MOST_DRAWN", 600)
    z = mixture.sample((1000,))
    assert z.shape == (1000, 1) and held == [300, 300, 300, 100]
    assert abs((z > 0).float().mean() - 0.75) < 0.06
    assert mixture.sample().shape == (1,)


def test_a_flow_scores_its_own_draws_as_it_scores_any_other():
    flow = affine_flow()
    z = flow.rsample((3,))
    kept, anew = flow.log_prob(z), flow.log_prob(z.clone())
    assert kept is flow.log_prob(z) and kept is not anew
    assert torch.allclose(kept, anew, atol=1e-5)
    assert torch.allclose(kept, flow.expand((3, 5)).log_prob(z), atol=1e-5)


def test_what_a_flow_drew_without_gradients_is_scored_with_them():
    """For the score function: the density kept from the draw knows no parameters."""
    flow = affine_flow()
    for z in (flow.sample(), flow.sample((2,))):
        assert not z.requires_grad and flow.log_prob(z).requires_grad
        with torch.no_grad():
            assert torch.allclose(flow.log_prob(z), flow.log_prob(z.clone()), atol=1e-5)


LATENT = {
    "uniform": lambda: HypersphereUniform(torch.zeros(3)),
    "power spherical": lambda: PowerSpherical(torch.eye(3)[0], torch.tensor(3.0)),
    "straight-through": lambda: StraightThroughBernoulli(torch.tensor([0.2, 0.5, 0.9])).to_event(1),
    "mixture": lambda: Mixture(torch.zeros(4), dist.Normal(torch.randn(4, 3), 1.0).to_event(1)),
    "flow": lambda: Flow(
        zuko.flows.NSF(3, transforms=1).transform(),
        dist.Normal(torch.zeros(3), torch.ones(3)).to_event(1),
    ),
}


@pytest.mark.parametrize("name", LATENT)
def test_every_latent_distribution_expands_under_plates(name):
    p = LATENT[name]()
    assert (p.batch_shape, p.event_shape) == ((), (3,))
    z = p.sample((6,))
    assert z.shape == (6, 3) and p.log_prob(z).shape == (6,)
    assert p.log_prob(z[0]).shape == () and p.sample().shape == (3,)
    wide = p.expand((4, 6))
    assert wide.sample((2,)).shape == (2, 4, 6, 3)
    assert torch.allclose(wide.log_prob(z), p.log_prob(z).expand(4, 6), atol=1e-6)
    # One vector, scored by every member of the batch.
    assert wide.log_prob(z[0]).shape == (4, 6)
    with pyro.plate("particles", 4, dim=-2), pyro.plate("images", 6):
        drawn = pyro.sample("z", p)
    assert drawn.shape == (4, 6, 3)
    assert not torch.equal(drawn[0, 0], drawn[1, 0]) or name == "straight-through"


def test_pixel_distributions_expand():
    for p in (
        ContinuousBernoulli(torch.randn(2)),
        DiscretizedLogistic(torch.rand(2), torch.rand(2)),
        LevelCategorical(logits=torch.randn(2, 256)),
    ):
        wide = p.expand((5, 2))
        x = wide.sample((3,))
        assert x.shape == (3, 5, 2) and type(wide) is type(p)
        assert torch.equal(wide.log_prob(x), p.log_prob(x))


def test_planar_transforms_invert_and_their_determinant_is_the_jacobians():
    u, w = 2 * torch.randn(2, 3, 4).double(), 2 * torch.randn(2, 3, 4).double()
    b = torch.randn(2, 3).double()
    planar = distributions.Planar(u, w, b)
    x = torch.randn(5, 2, 4).double()
    y, ladj = planar.call_and_ladj(x)
    assert torch.allclose(planar.inv(y), x, atol=1e-8)
    first = distributions.Planar(u[0], w[0], b[0])
    jacobian = torch.autograd.functional.jacobian(first, x[0, 0])
    assert torch.allclose(jacobian.det().abs().log(), ladj[0, 0], atol=1e-8)


def test_planar_transforms_stay_finite_at_the_edge_of_what_can_be_inverted():
    torch.manual_seed(0)
    w = torch.randn(1000, 1, 8)
    for product in (-12.0, -16.0, -40.0):
        u = product * w / w.square().sum(-1, keepdim=True)
        planar = distributions.Planar(u, w, torch.randn(1000, 1))
        y, log_determinant = planar.call_and_ladj(torch.randn(1000, 8))
        assert y.isfinite().all() and log_determinant.isfinite().all()


def test_the_planar_inverse_has_the_inverse_gradient():
    u, w, b = torch.randn(1, 2, 3).double(), torch.randn(1, 2, 3).double(), torch.randn(1, 2)
    planar = distributions.Planar(u, w, b.double())
    y = torch.randn(1, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(planar.inv, (y,), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_normal_of_one_scale_scores_as_pyros_bit_for_bit(dtype: torch.dtype):
    loc, value = torch.randn(2, 5, 1, 8, 8, dtype=dtype)
    for scale in (0.03, 0.7071, 5.0):
        found = []
        for family in (distributions.Normal, dist.Normal):
            mean = loc.clone().requires_grad_()
            p = family(mean, torch.tensor(scale, dtype=dtype)).to_event(3)
            score = p.expand((3, 5)).log_prob(value)
            score.sum().backward()
            p = family(loc, torch.tensor(scale, dtype=dtype)).to_event(3)
            found.append((score, mean.grad, p.expand((3, 5)).log_prob(value)))
        assert all(map(torch.equal, *found))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gray_levels_are_scored_as_pyros_bernoulli_scores_them_bit_for_bit(dtype: torch.dtype):
    logits = 8 * torch.randn(3, 5, 1, 9, 9, dtype=dtype)
    logits.view(-1)[:2] = torch.tensor([200.0, -200.0])
    gray = torch.rand(5, 1, 9, 9, dtype=dtype)
    gray[:2] = gray[:2].round()
    with pyro.validation_enabled(False):
        expected = dist.Bernoulli(logits=logits).log_prob(gray)
        assert torch.equal(distributions.GrayBernoulli(logits=logits).log_prob(gray), expected)
        learned = logits.clone().requires_grad_()
        found = distributions.GrayBernoulli(logits=learned).log_prob(gray)
    assert torch.equal(found, expected) and found.requires_grad
    with pytest.raises(ValueError, match="support"):
        distributions.GrayBernoulli(logits=logits).log_prob(2 + gray)


def test_a_normal_of_one_learned_scale_has_its_gradient():
    scale = torch.tensor(0.5, requires_grad=True)
    distributions.Normal(torch.zeros(9), scale).log_prob(torch.ones(9)).sum().backward()
    assert scale.grad is not None and torch.isclose(scale.grad, torch.tensor(9 * (8.0 - 2.0)))
