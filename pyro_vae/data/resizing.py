"""Images of another size or number of channels than wanted, brought to it."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae.data.capacity import refuse_too_large
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, warn
from pyro_vae.data.settings import Settings
from pyro_vae.data.streams import changed

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look: ITU-R BT.601, as in Pillow
_CHUNK = 1000  # images turned to floats at a time


def centre_crop(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the largest central part of `have` with `want`'s proportions.

    Both are (H, W) in pixels; the part is at least 1×1.
    """
    height = min(have[0], max(1, round(have[1] * want[0] / want[1])))
    width = min(have[1], max(1, round(have[0] * want[1] / want[0])))
    return (have[0] - height) // 2, (have[1] - width) // 2, height, width


def fit(dataset: Dataset, settings: Settings) -> Dataset:
    """The data set in the chosen size and channels; itself where it has them already.

    Warns where images are enlarged.

    Raises:
        DataError: they cannot be held in the memory that there is.
    """
    have, wanted = dataset.image_shape, _wanted(dataset.image_shape, settings)
    if wanted == have:
        return dataset
    if have[1] < wanted[1] or have[2] < wanted[2]:
        warn(
            f"{dataset.train.source}: images of {have[1]}×{have[2]} are enlarged to "
            f"{wanted[1]}×{wanted[2]}; choose another with size="
        )
    if not dataset.train.streamed:
        channels, height, width = wanted
        refuse_too_large(
            (len(dataset.train) + len(dataset.test)) * channels * height * width,
            settings,
            f"{dataset.train.source}, at {channels}×{height}×{width},",
            "choose a smaller size (size=64, --size 64)",
        )
    change = partial(_fitted, shape=wanted)
    return dataset.map(lambda part: replace(part, images=changed(part.images, change)))


def _wanted(have: tuple[int, int, int], settings: Settings) -> tuple[int, int, int]:
    channels, *size = have
    return settings.channels or channels, *(settings.height_width or size)


def _fitted(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return _with_channels(_with_size(images, shape[1:]), shape[0])


def _with_channels(images: Tensor, channels: int) -> Tensor:
    have = images.shape[1]
    if have == channels:
        return images
    if (have, channels) == (1, 3):
        return images.repeat(1, 3, 1, 1)
    if (have, channels) == (3, 1):
        return torch.cat([_grey(chunk) for chunk in images.split(_CHUNK)])
    raise DataError(f"images of {have} channels cannot be turned into {channels}: only 1 and 3 can")


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).round_().to(torch.uint8)


def _with_size(images: Tensor, size: tuple[int, int]) -> Tensor:
    have = (images.shape[2], images.shape[3])
    if have == size:
        return images
    top, left, height, width = centre_crop(have, size)
    part = images[:, :, top : top + height, left : left + width]
    return F.interpolate(part, size, mode="bilinear", antialias=True)
