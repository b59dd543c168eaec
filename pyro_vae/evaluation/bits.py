"""Bits per dimension, and what kind of number a likelihood gives."""

import math

from pyro_vae._arguments import checked
from pyro_vae.data import ImageData
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.vae import VAE


@checked
def measure_of(likelihood: object, images: ImageData) -> str | None:
    """Return what a likelihood assigns to images: a "mass", a "density", or "none" normalized.

    A Bernoulli that accepts gray levels assigns a mass where all images are binary. None: the
    user's own likelihood does not say.
    """
    if isinstance(likelihood, Bernoulli) and images.binary:
        return "mass"
    return getattr(likelihood, "measure", None)


@checked
def bits_per_dimension(vae: VAE, images: ImageData, nats: float) -> float | None:
    """Return bits per value of an image, from -log p(x) in nats; None where that is not defined.

    For a likelihood of the levels themselves, nats / (P ln 2); for a density on [0, 1] of
    dequantized levels, (nats + P ln 256) / (P ln 2).
    """
    values = math.prod(images.image_shape)
    measure = measure_of(vae.likelihood, images)
    if measure == "mass" and images.pixels != "dequantized":
        return nats / (values * math.log(2))
    if measure == "density" and images.pixels == "dequantized":
        return (nats + values * math.log(256)) / (values * math.log(2))
    return None
