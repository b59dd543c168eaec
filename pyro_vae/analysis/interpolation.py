"""From one image to another, through the latent space."""

from typing import Literal

import torch
from torch import Tensor

from pyro_vae.analysis.animation import Frame, image_frames
from pyro_vae.analysis.classes import class_names
from pyro_vae.analysis.embeddings import decode, embed
from pyro_vae.analysis.style import Figure, image_panels
from pyro_vae.data import ImageData
from pyro_vae.vae import VAE

Way = Literal["straight", "spherical"]


def path(start: Tensor, end: Tensor, steps: int, way: Way = "straight") -> Tensor:
    r"""`steps` points from `start` (D,) to `end` (D,), both included: (steps, D).

    "spherical" goes along the arc that joins the two directions from the origin, and keeps the
    length of the way where they are equally long,
    :math:`(\sin((1-t)\omega)\,a + \sin(t\omega)\,b) / \sin\omega`: Animating Rotation with
    Quaternion Curves (Shoemake, 1985). Parallel vectors have no such arc: straight then.

    Raises:
        ValueError: another way, or fewer than 2 steps.
    """
    if way not in ("straight", "spherical"):
        raise ValueError(f"way must be 'straight' or 'spherical', not {way!r}")
    if steps < 2:
        raise ValueError(f"a path needs 2 steps or more, not {steps}")
    t = torch.linspace(0, 1, steps)[:, None]
    cosine = torch.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if way == "straight" or torch.sin(angle) < 1e-4 or not start.norm() * end.norm():
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


def row(
    vae: VAE, pair: ImageData, *, steps: int = 20, way: Way = "straight", seed: int = 0
) -> Figure:
    """The images decoded on the way from the first image of a pair to the second.

    Args:
        vae: the model.
        pair: two images.
        steps: images, the two ends included.
        way: "straight", or "spherical", see `path`.
        seed: for a model without means.
    """
    images = decode(vae, _path_between(vae, pair, steps, way, seed), seed=seed)
    names = class_names(pair) or ["the first image", "the second"]
    title = f"From {names[0]} to {names[1]}: {steps} steps, {way}, through the latent space"
    return image_panels(images, columns=min(steps, 10), title=title)


def both_ways(vae: VAE, pair: ImageData, *, steps: int = 10, seed: int = 0) -> Figure:
    """The straight way between two images over the way along the sphere."""
    ways: tuple[Way, ...] = ("straight", "spherical")
    z = torch.cat([_path_between(vae, pair, steps, way, seed) for way in ways])
    names = class_names(pair) or ["the first image", "the second"]
    title = f"From {names[0]} to {names[1]}, straight and along the sphere"
    return image_panels(decode(vae, z, seed=seed), columns=steps, title=title, row_names=list(ways))


def frames(
    vae: VAE,
    pair: ImageData,
    *,
    steps: int = 100,
    way: Way = "straight",
    size: int = 256,
    seed: int = 0,
) -> list[Frame]:
    """`steps` frames from the first image of a pair to the second, and back: 2·steps − 2 frames."""
    images = decode(vae, _path_between(vae, pair, steps, way, seed), seed=seed)
    there = image_frames(images, size)
    return there + there[-2:0:-1]


def choose_pair(
    images: ImageData, first: int | None = None, second: int | None = None
) -> ImageData:
    """Two images to go between, by index; by default of two classes, 1 and 0 if there are such.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(images) < 2:
        raise ValueError("an interpolation needs two images")
    if first is None:
        first = _first_of_class(images, 1, 0)
    if second is None:
        second = _first_of_class(images, 0, 0)
        if second == first:  # No class 1, say.
            second = 1 if first == 0 else 0
    return images.select(torch.tensor([first, second]))


def _first_of_class(images: ImageData, label: int, otherwise: int) -> int:
    if images.labels is None or not (found := (images.labels == label).nonzero()).numel():
        return otherwise
    return int(found[0])


def _path_between(vae: VAE, pair: ImageData, steps: int, way: Way, seed: int) -> Tensor:
    start, end = embed(vae, pair, seed=seed)
    return path(start, end, steps, way)
