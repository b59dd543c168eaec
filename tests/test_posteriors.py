"""Posteriors: normalized for every image, true to their draws, with the gradients they promise."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from test_distributions import assert_mean, sphere
from test_priors import wiggled
from torch.distributions import kl_divergence
from zuko.nn import MaskedMLP

from pyro_vae import posteriors, priors
from pyro_vae.errors import ArgumentError
from pyro_vae.networks import ConvEncoder

SHAPE = (1, 8, 8)
REAL = {
    "DiagonalNormal": posteriors.DiagonalNormal,
    "FullNormal": posteriors.FullNormal,
    "Laplace": posteriors.Laplace,
    "InverseAutoregressiveFlow": posteriors.InverseAutoregressiveFlow,
    "PlanarFlow": posteriors.PlanarFlow,
}
BINARY = {
    "Bernoulli": posteriors.Bernoulli,
    "StraightThroughBernoulli": posteriors.StraightThroughBernoulli,
}
ALL = {
    **REAL,
    **BINARY,
    "PowerSpherical": posteriors.PowerSpherical,
    "Delta": posteriors.Delta,
}


def make(family, latent_size: int = 2):
    return wiggled(family(ConvEncoder(SHAPE, channels=(4, 8)), latent_size))


@pytest.mark.parametrize("name", ALL)
def test_posteriors_have_the_shapes_of_their_slot(name):
    posterior, x = make(ALL[name], 3), torch.rand(5, *SHAPE)
    q = posterior(x)
    assert (q.batch_shape, q.event_shape) == ((5,), (3,))
    assert q.has_rsample is (name != "Bernoulli")
    assert posterior.analytic_kl_only is (name == "StraightThroughBernoulli")
    with pyro.plate("particles", 4, dim=-2), pyro.plate("images", 5):
        z = pyro.sample("z", q)
    assert z.shape == (4, 5, 3) and q.log_prob(z).shape == (4, 5)
    assert z.requires_grad is (name != "Bernoulli")


@torch.no_grad()
@pytest.mark.parametrize("latent_size", [1, 2])
@pytest.mark.parametrize("name", REAL)
def test_posteriors_integrate_to_one_and_draw_what_they_say(name, latent_size):
    q = make(REAL[name], latent_size)(torch.rand(2, *SHAPE))
    axis = torch.linspace(-15, 15, 501)
    points = torch.cartesian_prod(*[axis] * latent_size).reshape(-1, latent_size)
    mass = q.log_prob(points[:, None]).exp() * (axis[1] - axis[0]) ** latent_size
    assert torch.allclose(mass.sum(0), torch.ones(2), atol=5e-3)
    draws = q.sample((20_000,))
    for moment in (lambda z: z, torch.square, torch.tanh, lambda z: z.prod(-1, keepdim=True)):
        assert_mean(moment(draws), mass.T @ moment(points))


def test_power_spherical_integrates_to_one_over_the_sphere():
    q = make(posteriors.PowerSpherical, 3)(torch.rand(2, *SHAPE))
    points, area = sphere(3, 500)
    mass = q.log_prob(points[:, None].float()).double().exp() * area
    assert torch.allclose(mass.sum(0), torch.ones(2).double(), atol=1e-4)
    assert_mean(q.sample((20_000,)), mass.T.float() @ points.float())


@pytest.mark.parametrize("name", BINARY)
def test_binary_codes_sum_to_one_and_are_drawn_as_often_as_they_say(name):
    q = make(BINARY[name], 3)(torch.rand(2, *SHAPE))
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    mass = q.log_prob(codes[:, None]).exp()
    assert torch.allclose(mass.sum(0), torch.ones(2))
    draws = q.sample((20_000,))
    for code, probability in zip(codes, mass, strict=True):
        assert_mean((draws == code).all(-1).float(), probability)


def test_a_full_normal_has_a_covariance_that_depends_on_the_image():
    posterior = make(posteriors.FullNormal, 4)
    q = posterior(torch.rand(3, *SHAPE))
    covariance = q.scale_tril @ q.scale_tril.mT
    correlated = covariance - covariance.diagonal(dim1=1, dim2=2).diag_embed()
    assert (correlated[:, *torch.tril_indices(4, 4, -1)].abs() > 1e-6).all()
    assert not torch.allclose(covariance[0], covariance[1])
    assert torch.equal(q.scale_tril.triu(1), torch.zeros(3, 4, 4))


@pytest.mark.parametrize("name", [*REAL, "PowerSpherical"])
def test_reparameterized_gradients_are_those_of_the_score_function(name):
    """Of E tanh(sum z): through the draws, and through the density of fixed draws."""
    posterior, x = make(ALL[name], 2).double(), torch.rand(1, *SHAPE).double()
    heads = [p for n, p in posterior.named_parameters() if n.endswith("bias") and "enc" not in n]
    q = posterior(x)
    z = q.rsample((20_000,))
    through = torch.autograd.grad(z.sum(-1).tanh().mean(), heads, retain_graph=True)
    fixed = z.detach()
    value = fixed.sum(-1).tanh()
    score = torch.autograd.grad(
        (q.log_prob(fixed) * (value - value.mean())).mean(), heads, retain_graph=True
    )
    for a, b in zip(through, score, strict=True):
        assert torch.allclose(a, b, atol=0.05 * max(1.0, a.abs().max().item()))
    assert max(a.abs().max() for a in through) > 0.1


@pytest.mark.parametrize("dimension", [2, 8])
def test_drawing_from_an_inverse_autoregressive_flow_takes_one_pass(dimension):
    posterior = make(posteriors.InverseAutoregressiveFlow, dimension)
    passes = []
    for module in posterior.modules():
        if isinstance(module, MaskedMLP):
            module.register_forward_hook(lambda *_: passes.append(1))
    q = posterior(torch.rand(3, *SHAPE))
    z = q.rsample((2,))
    drawn = q.log_prob(z)
    assert len(passes) == 2  # one for each transform, none for the score
    anew = q.log_prob(z.clone())
    assert len(passes) > 2 + dimension
    assert torch.allclose(drawn, anew, atol=1e-4)


def test_an_inverse_autoregressive_flow_is_conditioned_on_the_image_beyond_its_start():
    posterior = make(posteriors.InverseAutoregressiveFlow, 2)
    for head in (posterior.mean, posterior.log_scale):
        torch.nn.init.zeros_(head.weight)
    a, b = posterior(torch.rand(2, *SHAPE)).log_prob(torch.zeros(2))
    assert a != b


@pytest.mark.parametrize("name", ALL)
def test_absurd_features_keep_the_density_finite(name):
    posterior = make(ALL[name], 3)
    for x in (torch.rand(2, *SHAPE) * 1e4, -torch.rand(2, *SHAPE) * 1e4):
        q = posterior(x)
        assert torch.isfinite(q.log_prob(q.sample())).all()


def test_a_power_spherical_posterior_has_its_rate_in_closed_form():
    q = make(posteriors.PowerSpherical, 3)(torch.rand(4, *SHAPE))
    p = priors.HypersphereUniform(3)().expand((4,))
    z = q.sample((20_000,))
    assert_mean(q.log_prob(z) - p.log_prob(z), kl_divergence(q, p))
    with pytest.raises(ArgumentError, match="latent_size must be a whole number, 2 or more, got 1"):
        make(posteriors.PowerSpherical, 1)


def test_full_normals_have_their_rate_in_closed_form():
    q = make(posteriors.FullNormal, 3)(torch.rand(4, *SHAPE))
    p = dist.Normal(torch.zeros(3), torch.ones(3)).to_event(1).expand((4,))
    z = q.sample((20_000,))
    assert_mean(q.log_prob(z) - p.log_prob(z), kl_divergence(q, p))
