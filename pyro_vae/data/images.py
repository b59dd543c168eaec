"""The types: `ImageData`, images as one uint8 tensor, and `Dataset`, a train and a test part.

Images that do not fit in memory are a `Stream` (see `pyro_vae.data.streams`) instead of the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae._spelling import RENAMED, warn_of
from pyro_vae.data.messages import DataError
from pyro_vae.data.streams import Stream, changed, selected

Pixels = Literal["gray", "binarized", "dequantized"]
_PIXELS: dict[str, Pixels] = {name: name for name in get_args(Pixels)}


@dataclass(frozen=True, eq=False)
class ImageData:
    """N images of one shape, with what is known about each.

    Raises:
        DataError: a tensor has another type or length than stated below, or `pixels` is not one
            of the accepted values.

    >>> levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    >>> images = ImageData(levels, labels=torch.tensor([0, 1, 1]), class_names=("dark", "bright"))
    >>> len(images), images.image_shape, images.pad(2).image_shape
    (3, (1, 1, 1), (1, 5, 5))
    >>> images.as_float().flatten()
    tensor([0.0000, 0.2000, 1.0000])
    >>> images.select(images.labels == 1).levels().flatten()
    tensor([ 51, 255], dtype=torch.uint8)
    """

    images: Tensor | Stream
    """uint8, (N, C, H, W): levels 0 to 255."""
    labels: Tensor | None = None
    """int64, (N,): an index into `class_names` if there are any."""
    class_names: tuple[str, ...] | None = None
    """The name of each class, in the order of the labels."""
    attributes: dict[str, Tensor] | None = None
    """name -> int64, (N,): the variant that each image has of, say, "hair"."""
    source: str = ""
    """Where the images come from, as shown to people."""
    pixels: Pixels = "gray"
    """How `as_float` turns levels into floats: "gray", "binarized" or "dequantized"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _checked_pixels(self.pixels, stacklevel=5))
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} of shape {tuple(self.images.shape)}"
            raise DataError(f"images must be uint8 of shape (N, C, H, W), not {found}")
        self._check_per_image("labels", self.labels)
        for name, values in (self.attributes or {}).items():
            self._check_per_image(f"attribute {name!r}", values)
        self._check_class_names()

    def _check_per_image(self, what: str, values: Tensor | None) -> None:
        if values is None:
            return
        if values.dtype != torch.int64 or values.shape != (len(self),):
            found = f"{values.dtype} of shape {tuple(values.shape)}"
            raise DataError(f"{what} must be int64 of shape ({len(self)},), not {found}")

    def _check_class_names(self) -> None:
        if self.labels is None or self.class_names is None or len(self) == 0:
            return
        low, high = self.labels.min().item(), self.labels.max().item()
        if low < 0 or high >= len(self.class_names):
            count = len(self.class_names)
            raise DataError(f"labels run from {low} to {high}, but there are {count} class names")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image, (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def streamed(self) -> bool:
        """Whether the images stay in their files until they are used."""
        return isinstance(self.images, Stream)

    def select(self, indices: slice | Tensor) -> ImageData:
        """Return the images at `indices`: a view for a slice, a copy for a tensor or a mask."""
        return replace(
            self,
            images=selected(self.images, indices),
            labels=None if self.labels is None else self.labels[indices],
            attributes=self.attributes and {k: v[indices] for k, v in self.attributes.items()},
        )

    def pad(self, margin: int) -> ImageData:
        """Pad every side with `margin` pixels of 0: 28×28 padded by 2 is 32×32.

        Raises:
            DataError: the margin is negative.
        """
        if margin < 0:
            raise DataError(f"the margin must be 0 pixels or more, not {margin}")
        if margin == 0:
            return self
        return replace(self, images=changed(self.images, partial(F.pad, pad=(margin,) * 4)))

    def to(self, device: torch.device | str) -> ImageData:
        """Return the same images on a device; a stream moves its images there as it reads them."""
        return replace(self, images=self.images.to(device))

    def levels(self, indices: slice | Tensor = slice(None)) -> Tensor:
        """Return levels 0 to 255: uint8, (n, C, H, W)."""
        return self.images[indices]

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
        """Yield all images as floats, (n, C, H, W), at most `batch_size` at a time.

        Args:
            batch_size: number of images in every batch but the last.
            order: int64, (N,): the order of the images. By default they keep theirs. Worker
                processes read the batches of a stream ahead.
        """
        if isinstance(self.images, Stream):
            order = torch.arange(len(self)) if order is None else order
            for levels in self.images.batches(order.split(batch_size)):
                yield self._to_float(levels)
        elif order is None:
            for start in range(0, len(self), batch_size):
                yield self.as_float(slice(start, start + batch_size))
        else:
            for indices in order.to(self.images.device).split(batch_size):
                yield self.as_float(indices)

    def as_float(self, indices: slice | Tensor = slice(None)) -> Tensor:
        """Return a new tensor of floats in [0, 1], float32, (n, C, H, W), according to `pixels`.

        "gray": level k becomes k/255. "binarized": it becomes 1 with probability k/255, else 0,
        drawn anew at every call. "dequantized": it becomes (k + u)/256, with u uniform in [0, 1)
        and drawn anew at every call.
        """
        return self._to_float(self.levels(indices))

    def _to_float(self, levels: Tensor) -> Tensor:
        levels = levels.to(torch.float32)
        if self.pixels == "dequantized":
            return levels.add_(torch.rand_like(levels)).div_(256)
        levels.div_(255)
        return torch.bernoulli(levels) if self.pixels == "binarized" else levels

    def with_pixels(self, pixels: Pixels) -> ImageData:
        """Return the same images with another rule for `as_float`.

        Raises:
            DataError: `pixels` is not "gray", "binarized" or "dequantized".
        """
        return replace(self, pixels=_checked_pixels(pixels, stacklevel=4))

    def binarized_once(self, seed: int = 0) -> ImageData:
        """Binarize the images for good: level k becomes 255 with probability k/255, else 0.

        The draws are fixed by `seed`, and made on the CPU, 1,000 images at a time, so that they
        are the same on every machine.

        Raises:
            DataError: the images are a stream, and too large to be kept.
        """
        if isinstance(self.images, Stream):
            raise DataError(
                f"{self.source}: images that stay in their files cannot be binarized once: draw "
                "anew at every reading (pixels binarized), or choose a size that fits in memory"
            )
        generator = torch.Generator().manual_seed(seed)
        drawn = [
            torch.bernoulli(part.to(torch.float32).div_(255).cpu(), generator=generator)
            for part in self.images.split(1000)
        ]
        images = torch.cat([part.mul_(255).to(torch.uint8) for part in drawn])
        return replace(self, images=images.to(self.images.device))

    def binarised_once(self, seed: int = 0) -> ImageData:
        """Call `binarized_once` under its old name, with a warning."""
        warn_of("ImageData.binarised_once", "ImageData.binarized_once", stacklevel=3)
        return self.binarized_once(seed)


def _checked_pixels(pixels: str, stacklevel: int) -> Pixels:
    """Return a value of `pixels` in today's spelling; warn of an old one, refuse any other."""
    current = _PIXELS.get(RENAMED.get(pixels, pixels))
    if current is None:
        raise DataError(f"pixels must be one of {', '.join(_PIXELS)}, not {pixels!r}")
    if current != pixels:
        warn_of(f"pixels={pixels!r}", repr(current), stacklevel)
    return current


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one shape in two parts: `train` to learn from, `test` to evaluate on.

    Raises:
        DataError: the two parts have different image shapes, or one is empty.

    >>> from pyro_vae import data
    >>> digits = data.load("digits").limit(1000)
    >>> train, validation = digits.split(validation=200)
    >>> len(train), len(validation), len(digits.test)
    (800, 200, 180)
    >>> binarized = digits.pad(2).map(lambda part: part.with_pixels("binarized"))
    >>> binarized.image_shape, binarized.test.as_float().unique()
    ((1, 12, 12), tensor([0., 1.]))
    """

    name: str
    """The name of the data set, or of its folder or file."""
    train: ImageData
    """The images to learn from."""
    test: ImageData
    """The images to evaluate on."""

    def __post_init__(self) -> None:
        train, test = self.train.image_shape, self.test.image_shape
        if train != test:
            raise DataError(f"{self.name}: train images are {train}, test images {test} (C, H, W)")
        if not len(self.train) or not len(self.test):
            raise DataError(f"{self.name}: at least one train and one test image are needed")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image, (C, H, W)."""
        return self.train.image_shape

    def map(self, change: Callable[[ImageData], ImageData]) -> Dataset:
        """Apply the same change to both parts."""
        return replace(self, train=change(self.train), test=change(self.test))

    def pad(self, margin: int) -> Dataset:
        """Pad the images of both parts with `margin` pixels of 0 on every side."""
        return self.map(lambda part: part.pad(margin))

    def limit(self, n: int) -> Dataset:
        """Keep the first `n` training images, or all if there are fewer; the test part stays.

        Raises:
            DataError: `n` is below 1.
        """
        if n < 1:
            raise DataError(f"{self.name}: cannot train on {n} images: the limit is at least 1")
        return replace(self, train=self.train.select(slice(n)))

    def split(self, validation: int) -> tuple[ImageData, ImageData]:
        """Return the train part without its last `validation` images, and those; both are views.

        Raises:
            DataError: `validation` is negative, or would leave no image to train on.
        """
        available = len(self.train)
        if not 0 <= validation < available:
            raise DataError(
                f"{self.name}: cannot hold out {validation} of {available} training images for "
                f"validation: choose from 0 to {available - 1}"
            )
        kept = available - validation
        return self.train.select(slice(kept)), self.train.select(slice(kept, None))
