"""Linear-Gaussian models, where everything is known in closed form."""

import pyro.distributions as dist
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from pyro_vae import VAE, fit, likelihoods, posteriors, priors, schedules
from pyro_vae.data import ImageData
from pyro_vae.evaluation import terms
from pyro_vae.networks import Decoder, Encoder

SHAPE, D, SCALE = (1, 3, 4), 2, 0.3
P = 12


class LinearDecoder(Decoder):
    """x = W z + b."""

    def __init__(self, latent_size: int, image_shape) -> None:
        super().__init__()
        self.image_shape = image_shape
        channels, height, width = image_shape
        self.layers = nn.Linear(latent_size, channels * height * width)


class LinearEncoder(Encoder):
    """The pixels themselves: the posterior's heads are then linear in x."""

    def __init__(self, image_shape) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.features = channels * height * width
        self.layers = nn.Flatten()


def linear_likelihood() -> likelihoods.Normal:
    return likelihoods.Normal(LinearDecoder(D, SHAPE), scale=SCALE, sigmoid=False).double()


def marginal(likelihood) -> dist.MultivariateNormal:
    """p(x) = N(b, W W^T + sigma^2 I). Probabilistic PCA (Tipping and Bishop, 1999), eq. 4."""
    w, b = likelihood.decoder.layers.weight, likelihood.decoder.layers.bias
    covariance = w @ w.T + likelihood.scale**2 * torch.eye(P, dtype=torch.double)
    return dist.MultivariateNormal(b, covariance)


def exact_posterior(likelihood):
    """p(z|x), full covariance, as a plain function. The same source, equation 6."""

    def posterior(x):
        w, b = likelihood.decoder.layers.weight, likelihood.decoder.layers.bias
        m = w.T @ w + likelihood.scale**2 * torch.eye(D, dtype=torch.double)
        mean = torch.linalg.solve(m, w.T @ (x.flatten(1) - b).T).T
        return dist.MultivariateNormal(mean, likelihood.scale**2 * torch.linalg.inv(m))

    return posterior


def test_with_the_exact_posterior_the_elbo_is_the_log_likelihood_of_every_image():
    likelihood = linear_likelihood()
    vae = VAE(priors.StandardNormal(D).double(), likelihood, exact_posterior(likelihood))
    x = torch.rand(50, *SHAPE, dtype=torch.double)
    expected = marginal(likelihood).log_prob(x.flatten(1))
    # At the exact posterior every single draw gives log p(x).
    distortion, rate = terms(vae, x)
    assert torch.allclose(-distortion - rate, expected, atol=1e-8)


def test_with_another_posterior_the_elbo_is_lower_by_the_divergence():
    likelihood = linear_likelihood()
    exact = exact_posterior(likelihood)

    def wrong(x):
        q = exact(x)
        return dist.MultivariateNormal(q.mean + 0.1, 2 * q.covariance_matrix)

    vae = VAE(priors.StandardNormal(D).double(), likelihood, wrong)
    x = torch.rand(1, *SHAPE, dtype=torch.double).expand(40_000, -1, -1, -1)
    distortion, rate = terms(vae, x, analytic_kl=True)
    elbo = -distortion - rate
    divergence = torch.distributions.kl_divergence(wrong(x[:1]), exact(x[:1]))
    expected = marginal(likelihood).log_prob(x[:1].flatten(1)) - divergence
    assert abs(elbo.mean() - expected) < 4 * elbo.std() / 200


@pytest.mark.slow
def test_a_trained_model_reaches_the_maximum_likelihood_of_probabilistic_pca():
    w = torch.randn(P, D) * 0.12
    x = 0.5 + torch.randn(2000, D) @ w.T + 0.05 * torch.randn(2000, P)
    images = ImageData((x.clamp(0, 1) * 255).round().to(torch.uint8).reshape(-1, *SHAPE))
    pixels = images.as_float().flatten(1).double().numpy()
    maximum = PCA(D).fit(pixels).score(pixels)
    vae = VAE(
        priors.StandardNormal(D),
        likelihoods.Normal(LinearDecoder(D, SHAPE), scale=0.3, learned=True, sigmoid=False),
        posteriors.DiagonalNormal(LinearEncoder(SHAPE), D),
    )
    fit(vae, images, epochs=150, batch_size=200, learning_rate=2e-2,
        schedule=schedules.OneCycle(), progress=False)  # fmt: skip
    likelihood = vae.likelihood.double()
    reached = marginal(likelihood).log_prob(torch.from_numpy(pixels)).mean().item()
    assert reached <= maximum + 1e-6
    assert reached > maximum - 0.05
    # The ELBO of the diagonal posterior is reached too: at the maximum it can be exact, since
    # the columns of W may be turned to be orthogonal.
    vae.double()
    x = torch.from_numpy(pixels).reshape(-1, *SHAPE)
    distortion, rate = terms(vae, x, analytic_kl=True)
    assert (-(distortion + rate)).mean() > maximum - 0.3
