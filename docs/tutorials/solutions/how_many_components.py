"""Compare priors that are mixtures of 1 to 100 components, fitted to the latent vectors.

On the training images more components are better: with many, the mixture puts one on
every few latent vectors. On the test images the ELBO has a maximum at a middling number; after
it the prior has learned the latent vectors of the training images by heart.
"""

import pyro.distributions as dist
import torch
from sklearn.mixture import GaussianMixture

from pyro_vae import (
    VAE,
    data,
    evaluate,
    fit,
    likelihoods,
    networks,
    posteriors,
    priors,
)

torch.manual_seed(0)
digits = data.load("digits")
shape, D = digits.image_shape, 8
vae = VAE(
    prior=priors.StandardNormal(D),
    likelihood=likelihoods.Normal(networks.MLPDecoder(D, shape, (128,)), 0.1),
    posterior=posteriors.DiagonalNormal(networks.MLPEncoder(shape, (128,)), D),
)
settings = {"epochs": 20, "batch_size": 128, "learning_rate": 1e-2}
fit(vae, digits.train, progress=False, **settings)
with torch.no_grad():
    z = vae.encode(digits.train.as_float(slice(None))).sample()


def with_mixture(components):
    """Return the same model, whose prior is a mixture that was fitted to the latent vectors."""
    fitted = GaussianMixture(components, random_state=0).fit(z.numpy())
    weights, means, covariances = (
        torch.tensor(each, dtype=torch.float)
        for each in (fitted.weights_, fitted.means_, fitted.covariances_)
    )
    each = dist.MultivariateNormal(means, covariances)
    prior = dist.MixtureSameFamily(dist.Categorical(weights), each)
    return VAE(lambda: prior, vae.likelihood, vae.posterior)


elbos = {}
print("components   training images   test images")
for components in (1, 3, 10, 30, 100):
    model = with_mixture(components)
    elbos[components] = [
        evaluate(model, part).elbo for part in (digits.train, digits.test)
    ]
    print(
        f"{components:10d}{elbos[components][0]:18.2f}{elbos[components][1]:14.2f}"
    )
