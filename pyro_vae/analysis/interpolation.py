"""Interpolation between two images through the latent space."""

from typing import Literal

import torch
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Natural, Seed, Vector, checked
from pyro_vae.analysis.animation import Frame, image_frames
from pyro_vae.analysis.classes import captions, require_as_many
from pyro_vae.analysis.embeddings import decode, embed
from pyro_vae.analysis.pairs import places_of_pair
from pyro_vae.analysis.style import Figure, image_panels
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages, require_images
from pyro_vae.vae import VAE

Way = Literal["straight", "spherical"]


@checked
def path(start: Vector, end: Vector, steps: Count, way: Way = "straight") -> Tensor:
    r"""Return points on a path between two latent vectors, both ends included: (steps, D).

    The spherical path with the angle :math:`\omega` between the ends :math:`a` and :math:`b`,
    :math:`(\sin((1-t)\omega)\,a + \sin(t\omega)\,b) / \sin\omega`, follows the arc between their
    directions and keeps their distance from the origin if both have the same: Animating Rotation
    with Quaternion Curves (Shoemake, 1985). Parallel vectors have no such arc: their path is
    straight.

    Args:
        start: the first point, (D,).
        end: the last point, (D,).
        steps: number of points.
        way: "straight" or "spherical".

    Raises:
        ArgumentError: `way` is not one of these, or there are fewer than 2 steps.

    Example:
        >>> path(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000],
                [0.0000, 1.0000]])
    """
    if steps < 2:
        raise ArgumentError(f"steps: a path needs 2 steps or more, got {steps}.")
    t = torch.linspace(0, 1, steps, device=start.device)[:, None]
    cosine = torch.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if way == "straight" or torch.sin(angle) < 1e-4 or not start.norm() * end.norm():
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


@checked
def row(
    vae: VAE,
    pair: SomeImages,
    *,
    steps: Count = 20,
    way: Way = "straight",
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw the images decoded along a path from the first image of a pair to the second.

    Args:
        vae: the model.
        pair: two images.
        steps: number of images, both ends included.
        way: "straight" or "spherical", see `path`.
        codes: the codes of the pair, (2, D), if they are known.
        seed: seed of the draws from distributions that have no mean.
    """
    ends = _ends(vae, pair, codes, seed)
    images = decode(vae, path(*ends, steps, way), seed=seed)
    names = _names(pair)
    title = f"From {names[0]} to {names[1]}: {steps} steps along a {way} path in latent space"
    return image_panels(images, columns=min(steps, 10), title=title)


@checked
def both_ways(
    vae: VAE,
    pair: SomeImages,
    *,
    steps: Count = 10,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw the straight path between two images above the spherical one, see `row`."""
    ways: tuple[Way, ...] = ("straight", "spherical")
    ends = _ends(vae, pair, codes, seed)
    z = torch.cat([path(*ends, steps, way) for way in ways])
    names = _names(pair)
    title = f"From {names[0]} to {names[1]}: the straight and the spherical path"
    return image_panels(decode(vae, z, seed=seed), columns=steps, title=title, row_names=list(ways))


@checked
def frames(
    vae: VAE,
    pair: SomeImages,
    *,
    steps: Count = 100,
    way: Way = "straight",
    size: Count = 256,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> list[Frame]:
    """Return frames along the path of `row` and back, 2·steps − 2 frames of `size` pixels."""
    ends = _ends(vae, pair, codes, seed)
    images = decode(vae, path(*ends, steps, way), seed=seed)
    there = image_frames(images, size)
    return there + there[-2:0:-1]


@checked
def choose_pair(
    images: SomeImages, first: Natural | None = None, second: Natural | None = None
) -> ImageData:
    """Return two images to interpolate between.

    Args:
        images: N images.
        first: index of the first; by default the first image of class 1.
        second: index of the second; by default the first image of class 0.

    Raises:
        ArgumentError: there are fewer than two images.
    """
    return images.select(torch.tensor(places_of_pair(images, first, second), device="cpu"))


def _names(pair: ImageData) -> list[str]:
    """Return what each image of a pair is called in a title."""
    found = captions(pair)
    return (
        [text.replace("\n", ", ") for text in found] if found else ["the first image", "the second"]
    )


def _ends(vae: VAE, pair: ImageData, codes: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
    """Return the codes of a pair, which are found unless they are known."""
    if codes is None:
        require_images("interpolation", vae, pair, "pair")
    if len(pair) != 2:
        raise ArgumentError(f"pair must be two images, got {len(pair)}.")
    if codes is None:
        codes = embed(vae, pair, seed=seed)
    require_as_many(codes, pair)
    start, end = codes
    return start, end
