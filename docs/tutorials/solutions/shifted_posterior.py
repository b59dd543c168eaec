"""Move the mean of the true posterior by one of its own deviations in every dimension.

In the coordinates in which the true posterior is N(0, I), the shifted one is
N(1, I). Its divergence is 1/2 in each dimension, since only the mean differs:
(mu - m)^2 / (2 tau^2) = 1/2. In 8 dimensions the gap is 4 nats.
"""

import pyro.distributions as dist
import torch
from sklearn.decomposition import PCA

from pyro_vae import VAE, data, priors
from pyro_vae.evaluation.importance import log_weights

torch.manual_seed(0)
digits = data.load("digits")
shape, D = digits.image_shape, 8
x = digits.test.as_float(slice(None))

pca = PCA(D).fit(digits.train.as_float(slice(None)).flatten(1).numpy())
noise = float(pca.noise_variance_)
stretched = pca.components_.T * (pca.explained_variance_ - noise) ** 0.5
W, b = (torch.tensor(each, dtype=torch.float) for each in (stretched, pca.mean_))
M = W.T @ W + noise * torch.eye(D)


def likelihood(z):
    """Return p(x|z)."""
    return dist.Normal((z @ W.T + b).unflatten(-1, shape), noise**0.5).to_event(3)


def shifted_posterior(x):
    """Return the true posterior, with its mean off by one deviation."""
    mean = torch.linalg.solve(M, W.T @ (x.flatten(1) - b).T).T
    q = dist.MultivariateNormal(mean, noise * torch.linalg.inv(M))
    return dist.MultivariateNormal(
        mean + q.scale_tril @ torch.ones(D), scale_tril=q.scale_tril
    )


vae = VAE(priors.StandardNormal(D), likelihood, shifted_posterior)
elbo = log_weights(vae, x, samples=2000).mean()
covariance = W @ W.T + noise * torch.eye(64)
exact = dist.MultivariateNormal(b, covariance).log_prob(x.flatten(1)).mean()
gap = (exact - elbo).item()
print(f"log p(x) {exact:.2f}, ELBO {elbo:.2f}, gap {gap:.2f}; expected {D / 2:.2f}")
