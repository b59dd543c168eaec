"""The types: `ImageData`, images as one uint8 tensor, and `Dataset`, a train and a test part.

What is too large for memory is a `Stream` (see `pyro_vae.data.streams`) instead of the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae.data.messages import DataError
from pyro_vae.data.streams import Stream, changed, selected

Pixels = Literal["grey", "binarised", "dequantised"]


@dataclass(frozen=True, eq=False)
class ImageData:
    """N images of one shape, with what is known about each.

    Raises:
        DataError: a tensor has another type or length than stated below.
    """

    images: Tensor | Stream
    """uint8, (N, C, H, W): levels 0 to 255."""
    labels: Tensor | None = None
    """int64, (N,): an index into `class_names` where there are any."""
    class_names: tuple[str, ...] | None = None
    attributes: dict[str, Tensor] | None = None
    """name -> int64, (N,): the variant that each image has of, say, "hair"."""
    source: str = ""
    """Where the bytes came from, for people."""
    pixels: Pixels = "grey"
    """What `as_float` makes of a level; an explicit choice, never a hidden one."""

    def __post_init__(self) -> None:
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
        """(C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def streamed(self) -> bool:
        """Whether the images stay in their files until they are asked for."""
        return isinstance(self.images, Stream)

    def select(self, indices: slice | Tensor) -> ImageData:
        """The images at `indices`: a view for a slice, a copy for a tensor of indices or a mask."""
        return replace(
            self,
            images=selected(self.images, indices),
            labels=None if self.labels is None else self.labels[indices],
            attributes=self.attributes and {k: v[indices] for k, v in self.attributes.items()},
        )

    def pad(self, margin: int) -> ImageData:
        """`margin` pixels of 0 on each side: 28×28 padded by 2 is 32×32.

        Raises:
            DataError: the margin is negative.
        """
        if margin < 0:
            raise DataError(f"the margin must be 0 pixels or more, not {margin}")
        if margin == 0:
            return self
        return replace(self, images=changed(self.images, partial(F.pad, pad=(margin,) * 4)))

    def to(self, device: torch.device | str) -> ImageData:
        """The same images on a device; those of a stream come there when they are read."""
        return replace(self, images=self.images.to(device))

    def levels(self, indices: slice | Tensor = slice(None)) -> Tensor:
        """uint8, (n, C, H, W): levels 0 to 255."""
        return self.images[indices]

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
        """All images as floats, (n, C, H, W), at most `batch_size` at a time.

        In `order`, int64 of shape (N,), if given. A stream is read ahead by worker processes.
        """
        if self.streamed:
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
        """float32 in [0, 1], (n, C, H, W): a new tensor, as `pixels` says.

        "grey": level k is k/255. "binarised": 1 with probability k/255, else 0, drawn anew at
        every call. "dequantised": (k + u)/256, u uniform in [0, 1), drawn anew at every call.
        """
        return self._to_float(self.levels(indices))

    def _to_float(self, levels: Tensor) -> Tensor:
        levels = levels.to(torch.float32)
        if self.pixels == "dequantised":
            return levels.add_(torch.rand_like(levels)).div_(256)
        levels.div_(255)
        return torch.bernoulli(levels) if self.pixels == "binarised" else levels

    def with_pixels(self, pixels: Pixels) -> ImageData:
        """The same images, seen by `as_float` in another way."""
        return replace(self, pixels=pixels)

    def binarised_once(self, seed: int = 0) -> ImageData:
        """Every level k drawn as 255 with probability k/255, else 0, once and for all by `seed`.

        Drawn a thousand images at a time, on the CPU: the same on every machine.

        Raises:
            DataError: the images are too large to be kept.
        """
        if self.streamed:
            raise DataError(
                f"{self.source}: images that stay in their files cannot be binarised once: draw "
                "anew at every reading (pixels binarised), or choose a size that fits in memory"
            )
        generator = torch.Generator().manual_seed(seed)
        drawn = [
            torch.bernoulli(part.to(torch.float32).div_(255).cpu(), generator=generator)
            for part in self.images.split(1000)
        ]
        images = torch.cat([part.mul_(255).to(torch.uint8) for part in drawn])
        return replace(self, images=images.to(self.images.device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to learn from and images to judge by, of one shape.

    Raises:
        DataError: the two parts have different image shapes, or one is empty.
    """

    name: str
    train: ImageData
    test: ImageData

    def __post_init__(self) -> None:
        train, test = self.train.image_shape, self.test.image_shape
        if train != test:
            raise DataError(f"{self.name}: train images are {train}, test images {test} (C, H, W)")
        if not len(self.train) or not len(self.test):
            raise DataError(f"{self.name}: at least one train and one test image are needed")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.train.image_shape

    def map(self, change: Callable[[ImageData], ImageData]) -> Dataset:
        """The same change made to both parts."""
        return replace(self, train=change(self.train), test=change(self.test))

    def pad(self, margin: int) -> Dataset:
        """Both parts zero-padded by `margin` pixels on each side."""
        return self.map(lambda part: part.pad(margin))

    def limit(self, n: int) -> Dataset:
        """Train on the first `n` images, all of them if there are fewer; the test part stays.

        Raises:
            DataError: `n` is below 1.
        """
        if n < 1:
            raise DataError(f"{self.name}: cannot train on the first {n} images: at least 1")
        return replace(self, train=self.train.select(slice(n)))

    def split(self, validation: int) -> tuple[ImageData, ImageData]:
        """(the train part without its last `validation` images, those images), both as views.

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
