"""The bounds equal their hand-written forms, on the same noise: loss and gradient."""

import pyro
import pytest
import torch
from conftest import small_vae
from torch.nn import functional as F

from pyro_vae.objectives import ELBO
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
