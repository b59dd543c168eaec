"""Images brought to the size and the number of channels that the options ask for."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae.data.capacity import refuse_too_large
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, say, warn
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.streams import changed

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look: ITU-R BT.601, as in Pillow
_ALL, _HALF = 0.99, 0.5  # of an image: a crop that leaves less is told, or warned of
_CHUNK = 1000  # images converted to floats at a time


def center_crop(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the largest central crop with given proportions.

    Args:
        have: (H, W) of the image, in pixels.
        want: (H, W) whose proportions the crop has; the crop is at least 1×1.
    """
    height = min(have[0], max(1, round(have[1] * want[0] / want[1])))
    width = min(have[1], max(1, round(have[0] * want[1] / want[0])))
    return (have[0] - height) // 2, (have[1] - width) // 2, height, width


def tell_of_cropped(name: str, have: tuple[int, int], want: tuple[int, int], source: str) -> None:
    """Say what share of an image its crop to other proportions leaves, where that is not all.

    Args:
        name: the image that loses most, as shown to people.
        have: (H, W) of it, in pixels.
        want: (H, W) that images are brought to.
        source: the images, as shown to people.
    """
    kept = share_kept(have, want)
    if kept > _ALL:
        return
    tell = say if kept > _HALF else warn
    tell(
        f"{source}: images are cropped at their edges and resized to {want[0]}×{want[1]}: "
        f"{kept:.0%} of {name}, {have[0]}×{have[1]}, is left"
    )


def share_kept(have: tuple[int, int], want: tuple[int, int]) -> float:
    """Return the share of an image (H, W) that its largest crop of some proportions has."""
    low, high = sorted((have[0] * want[1], have[1] * want[0]))
    return low / high


def resized(dataset: Dataset, options: LoadOptions) -> Dataset:
    """Return a data set in the chosen size and channels, or the same one if it has them already.

    Warns if images are enlarged, and says what is cropped.

    Raises:
        DataError: the resized images do not fit in memory, or have other channels than 1 or 3.
    """
    have, wanted = dataset.image_shape, _wanted(dataset.image_shape, options)
    if wanted == have:
        return dataset
    tell_of_cropped("each image", have[1:], wanted[1:], dataset.train.source)
    if have[1] < wanted[1] or have[2] < wanted[2]:
        warn(
            f"{dataset.train.source}: images of {have[1]}×{have[2]} are enlarged to "
            f"{wanted[1]}×{wanted[2]}; choose another size with size="
        )
    if wanted[0] == 1 and have[0] == 3 and options.channels is None:
        warn(f"{dataset.train.source}: color images are made gray, as the images of the record are")
    if not dataset.train.streamed:
        channels, height, width = wanted
        refuse_too_large(
            sum(map(len, dataset.parts.values())) * channels * height * width,
            options,
            f"{dataset.train.source}, at {channels}×{height}×{width},",
            "choose a smaller size (size=64, --size 64)",
        )
    change = partial(_fitted, shape=wanted)
    return dataset.map(lambda part: replace(part, images=changed(part.images, change)))


def _wanted(have: tuple[int, int, int], options: LoadOptions) -> tuple[int, int, int]:
    channels, *size = have
    return options.given.channels or channels, *(options.height_width or size)


def _fitted(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return _with_channels(_with_size(images, shape[1:]), shape[0])


def _with_channels(images: Tensor, channels: int) -> Tensor:
    have = images.shape[1]
    if have == channels:
        return images
    if (have, channels) == (1, 3):
        return images.repeat(1, 3, 1, 1)
    if (have, channels) == (3, 1):
        return torch.cat([_gray(chunk) for chunk in images.split(_CHUNK)])
    raise DataError(
        f"images of {have} channels cannot be converted to {channels}: only gray (1) and RGB (3) "
        "images can; leave out channels="
    )


def _gray(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device="cpu").view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).round_().to(torch.uint8)


def _with_size(images: Tensor, size: tuple[int, int]) -> Tensor:
    have = (images.shape[2], images.shape[3])
    if have == size:
        return images
    top, left, height, width = center_crop(have, size)
    part = images[:, :, top : top + height, left : left + width]
    return F.interpolate(part, size, mode="bilinear", antialias=True)
