r"""
Bring your own
==============

This page brings images from a folder, and a prior, a posterior and a likelihood
that this library does not have. Each is a few lines, and training, evaluation and
every picture work as they do for the library's own.
"""

# %%
# Images
# ------
# All that is needed is a folder with a subfolder for each class. (Sizes and formats
# may be mixed; an ``.npz`` file or a NumPy array works as well.) Here
# scikit-learn's digits become such a folder:

import tempfile
import textwrap
from pathlib import Path

import pyro.distributions as dist
import torch
from PIL import Image
from torch import nn

from pyro_vae import VAE, data, evaluate, fit, networks
from pyro_vae.analysis import interpolation, reconstructions, samples
from pyro_vae.slots import SlotError

digits = data.load("digits")
folder = Path(tempfile.mkdtemp())
for number, label in enumerate(digits.train.labels[:450].tolist()):
    place = folder / f"digit {label}"
    place.mkdir(exist_ok=True)
    pixels = digits.train.images[number, 0].numpy()
    Image.fromarray(pixels).save(place / f"{number}.png")

images = data.load(folder)
print(f"{len(images.train)} images to train on, {len(images.test)} to test")
print(f"shape {images.image_shape}, classes {images.train.class_names[:3]}, ...")

# %%
# Three distributions
# -------------------
# Any callable that returns a Pyro distribution fits a slot. A function will do if
# it has no parameters; what is learned is an ``nn.Module``. The slots only
# prescribe shapes, which are checked before training: :math:`p(z)` has event shape
# (D,), :math:`q(z \mid x)` batch shape (B,) and event shape (D,), and :math:`p(x
# \mid z)` event shape (C, H, W).

torch.manual_seed(0)
shape, D = images.image_shape, 2


def ring():
    """Return the prior p(z): eight Gaussians on a circle."""
    angles = torch.arange(8) * torch.pi / 4
    places = 2 * torch.stack([angles.cos(), angles.sin()], -1)
    each = dist.Normal(places, 0.5).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(8)), each)


class Logistic(nn.Module):
    """q(z|x), a logistic distribution, whose tails are heavier than a Normal's."""

    def __init__(self):
        super().__init__()
        self.encoder = networks.MLPEncoder(shape)
        self.head = nn.Linear(self.encoder.features, 2 * D)

    def forward(self, x):
        location, log_scale = self.head(self.encoder(x)).chunk(2, -1)
        base = dist.Uniform(torch.zeros_like(location), 1.0)
        steps = [
            dist.transforms.SigmoidTransform().inv,
            dist.transforms.AffineTransform(location, log_scale.exp()),
        ]
        return dist.TransformedDistribution(base, steps).to_event(1)


class BetaPixels(nn.Module):
    """p(x|z), a Beta for each pixel, stretched so that 0 and 1 lie inside."""

    def __init__(self):
        super().__init__()
        self.decoder = networks.MLPDecoder(D, (2, *shape[1:]))

    def forward(self, z):
        mean, strength = self.decoder(z).chunk(2, -3)
        mean, strength = mean.sigmoid(), 1 + nn.functional.softplus(strength)
        beta = dist.Beta(0.01 + mean * strength, 0.01 + (1 - mean) * strength)
        stretch = dist.transforms.AffineTransform(-0.05, 1.1)
        return dist.TransformedDistribution(beta, [stretch]).to_event(3)


vae = VAE(ring, BetaPixels(), Logistic())
fit(vae, images.train, epochs=60, learning_rate=3e-3, progress=False)

found = evaluate(vae, images.test, samples=500)
print(f"ELBO        {found.elbo:8.2f} nats per image")
print(f"distortion  {found.distortion:8.2f}")
print(f"rate        {found.rate:8.2f}")
print(f"log p(x)    {found.log_likelihood:8.2f}")
print(found.verdict)

# %%
# Pictures
# --------
# Each picture is a function that returns a figure. ``pyro_vae.analysis.draw`` draws
# all of them.

figure = reconstructions.with_log_likelihood(vae, images.test.select(slice(8)))

# %%

figure = samples.from_prior(vae, 16)

# %%

figure = interpolation.row(vae, images.test.select(slice(2)), steps=10)

# %%
# When it does not fit
# --------------------
# If a slot does not fit, the error says which slot it is, what was returned, and
# what was expected.


def forgot_the_event():
    """Return two numbers where one vector is meant."""
    return dist.Normal(torch.zeros(D), 1.0)


try:
    fit(
        VAE(forgot_the_event, vae.likelihood, vae.posterior), images.train, epochs=1
    )
except SlotError as error:
    print(textwrap.fill(str(error), 80))
