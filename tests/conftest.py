"""Small real data and small models that the tests share."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import pyro
import pytest
import torch

from pyro_vae import VAE, data, likelihoods, networks, posteriors, priors
from pyro_vae.data import Dataset


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts from the same random state and an empty parameter store."""
    torch.set_num_threads(1)  # the models are small
    pyro.set_rng_seed(0)
    pyro.clear_param_store()


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """scikit-learn's 1,797 real digits, 8x8."""
    return data.load("digits")


def small_vae(image_shape=(1, 8, 8), latent_size: int = 2, **slots) -> VAE:
    """A convolutional VAE with few channels; `slots` replace its distributions."""
    encoder = networks.ConvEncoder(image_shape, channels=(8, 16))
    decoder = networks.ConvDecoder(latent_size, image_shape, channels=(16, 8))
    defaults = {
        "prior": lambda: priors.StandardNormal(latent_size),
        "likelihood": lambda: likelihoods.Bernoulli(decoder, gray_levels=True),
        "posterior": lambda: posteriors.DiagonalNormal(encoder, latent_size),
    }
    return VAE(**{name: slots.get(name) or make() for name, make in defaults.items()})
