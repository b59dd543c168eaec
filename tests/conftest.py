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


def images_of(fig) -> list:
    """The images of a figure, in the order in which they were drawn."""
    return [image for ax in fig.axes for image in ax.images]


def captions(fig) -> list[str]:
    """What stands above each image of a figure of image panels."""
    (ax,) = fig.axes
    above = {rounded(*text.get_position()): text.get_text() for text in ax.texts}
    corners = [image.get_extent() for image in ax.images]
    return [above.get(rounded((left + right) / 2, top), "") for left, right, _, top in corners]


def rounded(x: float, y: float) -> tuple[float, float]:
    return round(x, 6), round(y, 6)


def row_names(fig) -> list[str]:
    """What stands beside the rows of a figure of image panels."""
    return [text.get_text() for text in fig.axes[0].texts if text.get_rotation() == 90]
