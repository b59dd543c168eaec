"""The images that results are made of: their parts, their names, and their batches."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from torch import Tensor

from pyro_vae._arguments import Check
from pyro_vae._batching import images_at_once
from pyro_vae._modes import evaluating, seeded
from pyro_vae._progress import hidden, tqdm
from pyro_vae.data import Dataset, ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import as_images, require_images
from pyro_vae.vae import VAE

SomeParts = Annotated[
    ImageData | Tensor | np.ndarray | Dataset | Mapping[str, ImageData],
    Check("images", lambda _: None),  # `named_parts` checks them.
]
"""Images; or several parts of them, by name, such as "train" and "test"."""


def named_parts(owner: str, vae: VAE, images: SomeParts) -> dict[str, ImageData]:
    """Return images as their parts by name, in order; images alone are one part without a name.

    Raises:
        ArgumentError: there are no images, or they do not fit the model.
        ArgumentTypeError: they are neither images nor parts of them.
    """
    parts = {
        name: as_images(owner, part, f"images[{name!r}]" if name else "images")
        for name, part in _parts(images).items()
    }
    if not parts:
        raise ArgumentError(f"{owner}: images is empty: at least one image is needed.")
    for name, part in parts.items():
        require_images(owner, vae, part, f"images[{name!r}]" if name else "images")
    return parts


def _parts(images: SomeParts) -> Mapping[str, Any]:
    if isinstance(images, Dataset):
        return images.parts
    return images if isinstance(images, Mapping) else {"": images}


def names_of(parts: Mapping[str, ImageData]) -> tuple[str, ...]:
    """Return the name of every image: its file's, or else its part and position in it."""
    return tuple(name for part, images in parts.items() for name in _names(part, images))


def _names(part: str, images: ImageData) -> Iterator[str]:
    if images.names is not None:
        yield from images.names
        return
    for position in range(len(images)):
        yield f"{part}/{position:05d}" if part else f"{position:05d}"


def parts_of(parts: Mapping[str, ImageData]) -> tuple[str, ...]:
    """Return the part of every image."""
    return tuple(part for part, images in parts.items() for _ in range(len(images)))


def batches_of(
    vae: VAE,
    parts: Mapping[str, ImageData],
    doing: str,
    *,
    batch_size: int,
    seed: int,
    progress: bool,
) -> Iterator[Tensor]:
    """Yield all images in batches (B, C, H, W), in evaluation mode, on the model's device.

    Every part starts from the seed, so that its results do not depend on the parts before it.
    """
    with evaluating(vae):
        batch_size = images_at_once(vae, batch_size)
        count = sum(math.ceil(len(images) / batch_size) for images in parts.values())
        with tqdm(total=count, desc=doing, unit="batch", disable=hidden(progress)) as bar:
            for images in parts.values():
                with seeded(seed, vae.device):
                    for x in images.batches(batch_size):
                        yield x.to(vae.device)
                        bar.update()
