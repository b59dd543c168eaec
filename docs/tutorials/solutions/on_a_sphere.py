"""Put the latent vectors on a sphere of three coordinates.

All latent vectors have length 1, so none can be far from the others, and there is no middle that
they are pulled to. A walk along the equator ends where it began.
"""

import math

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

torch.manual_seed(0)
digits = data.load("digits")
shape, D = digits.image_shape, 3
decoder = networks.MLPDecoder(D, shape, hidden=(128,))
vae = VAE(
    prior=priors.HypersphereUniform(D),
    likelihood=likelihoods.Normal(decoder, scale=0.2, learned=True),
    posterior=posteriors.PowerSpherical(
        networks.MLPEncoder(shape, hidden=(128,)), D
    ),
)
settings = {"epochs": 20, "batch_size": 128, "learning_rate": 1e-2}
fit(vae, digits.train, progress=False, **settings)
found = evaluate(vae, digits.test)
print(found)

x = digits.test.as_float(slice(None))
with torch.no_grad():
    lengths = vae.encode(x).sample().norm(dim=1)
print(f"lengths of latent vectors: {lengths.min():.4f} to {lengths.max():.4f}")

angles = torch.linspace(0, 2 * math.pi, 13)
equator = torch.stack([angles.cos(), angles.sin(), 0 * angles], -1)
walk = vae.images(equator)
steps = (walk[1:] - walk[:-1]).square().sum((1, 2, 3)).sqrt()
print("distance between one image and the next:")
print(", ".join(f"{step:.2f}" for step in steps))
print(f"between the first and the last: {(walk[0] - walk[-1]).abs().max():.0e}")
