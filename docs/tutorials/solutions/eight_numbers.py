"""Compare models with latent vectors of two and of eight numbers.

The distortion falls, because the latent vector can say more, and the rate rises, because to
say more costs more. The ELBO says whether it was worth it: it is higher with eight.
"""

import torch

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

images = data.load("digits")
shape = images.image_shape


def train(size):
    """Return the numbers of a model with latent vectors of `size` numbers."""
    torch.manual_seed(0)
    decoder = networks.MLPDecoder(size, shape)
    encoder = networks.MLPEncoder(shape)
    vae = VAE(
        prior=priors.StandardNormal(size),
        likelihood=likelihoods.Normal(decoder, scale=0.2, learned=True),
        posterior=posteriors.DiagonalNormal(encoder, size),
    )
    settings = {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2}
    fit(vae, images.train, progress=False, **settings)
    return evaluate(vae, images.test)


found = {size: train(size) for size in (2, 8)}
print("numbers     ELBO  distortion   rate")
for size, each in found.items():
    print(f"{size:7d}{each.elbo:9.2f}{each.distortion:12.2f}{each.rate:7.2f}")
