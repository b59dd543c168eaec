"""Whether images can be given to a model."""

from typing import Annotated

import torch
from torch import Tensor

from pyro_vae._arguments import filled
from pyro_vae._modes import seeded
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.vae import VAE

SomeImages = Annotated[ImageData, filled(ImageData)]
"""One image or more."""


def require_images(owner: str, vae: VAE, images: ImageData, name: str = "images") -> None:
    """Refuse images of another shape than the model's, and none at all.

    Args:
        owner: the function that the error names.
        vae: the model.
        images: the images.
        name: the argument that the error names.

    Raises:
        ArgumentError: naming what was given and what is accepted.
    """
    if len(images) == 0:
        raise ArgumentError(f"{owner}: {name} is empty: at least one image is needed.")
    _require_shape(owner, vae, images.image_shape, name)


def require_batch(owner: str, vae: VAE, x: Tensor) -> None:
    """Refuse images x (B, C, H, W) of another shape than the model's.

    Raises:
        ArgumentError: naming what was given and what is accepted.
    """
    _require_shape(owner, vae, tuple(x.shape[1:]), "x")


def _require_shape(owner: str, vae: VAE, given: tuple[int, ...], name: str) -> None:
    with torch.no_grad(), seeded(0, vae.device):
        shape = tuple(vae.image_shape)
    if given != shape:
        raise ArgumentError(
            f"{owner}: {name} must have the model's shape {shape} (C, H, W), got {given}."
        )
