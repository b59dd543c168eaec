"""Arrays of four channels: red, green, blue and alpha, put on a ground as PNG files are."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.decisions import GROUNDS, KEEP, Decisions
from pyro_vae.data.messages import say, warn
from pyro_vae.data.streams import Stream, changed

_CHUNK = 1000
_SAMPLE = 1000
_CONTRAST = 16  # levels; in an image of less there is nothing to see


def on_ground(
    parts: dict[str, Tensor | Stream], given: Decisions, what: str
) -> tuple[dict[str, Tensor | Stream], str | None]:
    """Put images of four channels on one ground; others stay as they are.

    Args:
        parts: the images of each part, uint8, (N, C, H, W).
        given: the decisions so far.
        what: the images, as shown to people.

    Returns:
        The images of each part, of 3 channels, or 1 if none has colors; and the ground.
    """
    four = all(images.shape[1] == 4 for images in parts.values())
    if not four or given.rules == 1:
        return parts, given.ground
    if given.ground == KEEP:
        say(f"{what}: the four channels are kept as they are")
        return parts, KEEP
    samples = [_sample(images) for images in parts.values()]
    plain = {name: sum(_plain(each, level) for each in samples) for name, level in GROUNDS.items()}
    ground = given.ground or min(GROUNDS, key=plain.__getitem__)
    colored = any(not _gray(images) for images in parts.values())
    if plain[ground]:
        warn(
            f"{what}: nothing is to be seen in {plain[ground]} images on {ground}: choose another "
            "ground= (--ground)"
        )
    say(
        f"{what}: four channels are taken as red, green, blue and alpha, and put on {ground}"
        f"{'' if colored else ', in gray, as there are no colors'}; ground='{KEEP}' "
        f"(--ground {KEEP}) leaves them as they are"
    )
    change = partial(composited, level=GROUNDS[ground], colored=colored)
    return {part: changed(images, change) for part, images in parts.items()}, ground


def composited(images: Tensor, level: int, colored: bool) -> Tensor:
    """Return images, uint8 of shape (N, 4, H, W), on a ground: (N, 3, H, W), or (N, 1, H, W)."""
    kept = 3 if colored else 1
    return torch.cat([_composited(chunk, level, kept) for chunk in images.split(_CHUNK)])


def _composited(images: Tensor, level: int, kept: int) -> Tensor:
    colors, alpha = images[:, :kept].int(), images[:, 3:].int()
    mixed = colors * alpha + level * (255 - alpha)
    return mixed.add_(127).div_(255, rounding_mode="floor").to(torch.uint8)


def _sample(images: Tensor | Stream) -> Tensor:
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), _SAMPLE)).astype(int))
    taken = torch.from_numpy(chosen)
    return images[taken]


def _plain(images: Tensor, level: int) -> int:
    """Return in how many images that have transparent pixels nothing is to be seen on a ground."""
    flat = composited(images, level, colored=True).flatten(2).int()
    spread = (flat.amax(2) - flat.amin(2)).amax(1)
    transparent = (images[:, 3] < 255).flatten(1).any(1)
    return int(((spread < _CONTRAST) & transparent).sum())


def _gray(images: Tensor | Stream) -> bool:
    """Whether no visible pixel has a color."""
    for start in range(0, len(images), _CHUNK):
        chunk = images[slice(start, start + _CHUNK)]
        visible = chunk[:, 3:] > 0
        if ((chunk[:, :3] != chunk[:, :1]) & visible).any():
            return False
    return True
