"""The types: `ImageData`, images as one uint8 tensor, and `Dataset`, a train and a test part.

Images that do not fit in memory are a `Stream` (see `pyro_vae.data.streams`) instead of the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae._notebook import SHOWN, picture_of
from pyro_vae._spelling import RENAMED, warn_of
from pyro_vae.data.capacity import require_memory
from pyro_vae.data.decisions import Decisions
from pyro_vae.data.messages import DataError, one_line
from pyro_vae.data.options import check_seed, is_whole
from pyro_vae.data.streams import Stream, changed, selected
from pyro_vae.errors import PyroVAEError

Pixels = Literal["gray", "binarized", "dequantized"]
#: The label of an image whose class is unknown.
UNKNOWN = -1
_PIXELS: dict[str, Pixels] = {name: name for name in get_args(Pixels)}


@dataclass(frozen=True, eq=False)
class ImageData:
    """N images of one shape, with what is known about each.

    Raises:
        DataError: a tensor has another type or length than stated below, a label is below -1 or
            has no name among `class_names`, or `pixels` is not one of the accepted values.

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
    """int64, (N,): an index into `class_names` if there are any, or -1 for an unknown class."""
    class_names: tuple[str, ...] | None = None
    """The name of each class, in the order of the labels."""
    attributes: dict[str, Tensor] | None = None
    """name -> int64, (N,): the variant that each image has of, say, "hair"."""
    source: str = ""
    """Where the images come from, as shown to people."""
    pixels: Pixels = "gray"
    """How `as_float` turns levels into floats: "gray", "binarized" or "dequantized"."""
    names: tuple[str, ...] | None = None
    """The name of each image: its file, relative to the data, and `#3` for frame 3, from 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _checked_pixels(self.pixels, stacklevel=5))
        self._check_images()
        self._check_per_image("labels", self.labels)
        if not isinstance(self.attributes, dict | None):
            raise DataError(f"attributes must be a dict of tensors, not {_kind(self.attributes)}")
        for name, values in (self.attributes or {}).items():
            if not isinstance(name, str):
                raise DataError(f"attributes must have names, not {name!r}")
            self._check_per_image(f"attribute {name!r}", values)
        self._check_class_names()
        self._check_names()
        if not isinstance(self.source, str):
            raise DataError(f"source must be text, not {_kind(self.source)}")

    def _check_images(self) -> None:
        if not isinstance(self.images, Tensor | Stream):
            raise DataError(
                f"images must be a uint8 tensor of shape (N, C, H, W), not {_kind(self.images)}"
            )
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(f"images must be uint8 of shape (N, C, H, W), not {_kind(self.images)}")
        if isinstance(self.images, Tensor) and 0 in self.images.shape[1:]:
            raise DataError(f"images must have pixels, but their shape is {_kind(self.images)}")

    def _check_per_image(self, what: str, values: Any) -> None:
        if values is None:
            return
        whole = isinstance(values, Tensor) and values.dtype == torch.int64
        if not whole or values.shape != (len(self),):
            raise DataError(f"{what} must be int64 of shape ({len(self)},), not {_kind(values)}")

    def _check_class_names(self) -> None:
        names: Any = self.class_names
        if names is not None:
            if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
                raise DataError(f"class_names must be a tuple of names, not {names!r:.200}")
            object.__setattr__(self, "class_names", tuple(names))
        if self.labels is None or len(self) == 0:
            return
        low, high = int(self.labels.min()), int(self.labels.max())
        if names is not None and high >= len(names):
            raise DataError(
                f"labels run from {low} to {high}, but there are {len(names)} class names"
            )
        if low < UNKNOWN:
            raise DataError(
                f"labels must be 0 or more, or -1 for unknown, but run from {low} to {high}"
            )

    def _check_names(self) -> None:
        names: Any = self.names
        if names is None:
            return
        if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
            raise DataError(f"names must be a tuple of names, not {names!r:.200}")
        if len(names) != len(self):
            raise DataError(f"there are {len(names)} names for {len(self)} images")
        object.__setattr__(self, "names", tuple(names))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.image_shape))
        known = [f"ImageData: {len(self):,} image{'s' * (len(self) != 1)} of {shape}"]
        known += ["streamed from files"] * self.streamed
        known += [f"pixels {self.pixels}"] * (self.pixels != "gray")
        if self.labels is not None:
            known.append(
                f"{len(self.class_names or self.labels[self.labels >= 0].unique()):,} classes"
            )
        known += [f"attributes {', '.join(self.attributes)}"] if self.attributes else []
        known += [f"from {self.source}"] if self.source else []
        return ", ".join(known)

    def _repr_html_(self) -> str:
        """Show the first images in a notebook."""
        return f"{picture_of(self.levels(slice(SHOWN)))}<p>{escape(repr(self))}</p>"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image, (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def binary(self) -> bool:
        """Whether the values are 0 and 1 alone, in the first thousand images."""
        if self.pixels != "gray":
            return self.pixels == "binarized"
        levels = self.levels(slice(1000))
        return bool(((levels == 0) | (levels == 255)).all())

    @property
    def streamed(self) -> bool:
        """Whether the images stay in their files until they are used."""
        return isinstance(self.images, Stream)

    def select(self, indices: slice | Tensor) -> ImageData:
        """Return the images at `indices`: a view for a slice, a copy for a tensor or a mask.

        Raises:
            DataError: `indices` are not a slice, positions of images, or a mask of them.
        """
        with self._indexing(indices):
            return replace(
                self,
                images=selected(self.images, indices),
                labels=None if self.labels is None else self.labels[indices],
                attributes=self.attributes and {k: v[indices] for k, v in self.attributes.items()},
                names=None if self.names is None else _picked(self.names, indices),
            )

    def pad(self, margin: int) -> ImageData:
        """Pad every side with `margin` pixels of 0: 28×28 padded by 2 is 32×32.

        Raises:
            DataError: the margin is not a whole number, is negative, or more than memory holds.
        """
        if not is_whole(margin) or margin < 0:
            raise DataError(f"the margin must be 0 pixels or more, not {margin!r}")
        if margin == 0:
            return self
        channels, height, width = self.image_shape
        count = 1 if self.streamed else len(self)
        pixels = count * channels * (height + 2 * margin) * (width + 2 * margin)
        require_memory(pixels, f"a margin of {margin} pixels", "choose a smaller one")
        return replace(self, images=changed(self.images, partial(F.pad, pad=(int(margin),) * 4)))

    def to(self, device: torch.device | str) -> ImageData:
        """Return the same images on a device; a stream moves its images there as it reads them.

        Raises:
            DataError: there is no such device.
        """
        try:
            torch.empty(0, device=device)  # A stream is moved later.
            return replace(self, images=self.images.to(device))
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
            raise DataError(f"images cannot be moved to {device!r}: {one_line(error)}") from error

    def levels(self, indices: slice | Tensor = slice(None)) -> Tensor:
        """Return levels 0 to 255: uint8, (n, C, H, W).

        Raises:
            DataError: as `select`.
        """
        with self._indexing(indices):
            return self.images[indices]

    @contextmanager
    def _indexing(self, indices: object) -> Iterator[None]:
        """Answer indices that do not fit the images in words."""
        if not isinstance(indices, slice) and not _vector(indices, torch.bool):
            raise self._wrong(indices)
        try:
            yield
        except PyroVAEError:
            raise
        except (IndexError, TypeError, ValueError) as error:
            raise self._wrong(indices) from error

    def _wrong(self, indices: object) -> DataError:
        count = len(self)
        return DataError(
            f"indices must be a slice, whole numbers from {-count} to {count - 1} in a tensor of "
            f"shape (n,), or a mask of shape ({count},), not {_shown(indices)}"
        )

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
        """Yield all images as floats, (n, C, H, W), at most `batch_size` at a time.

        Args:
            batch_size: number of images in every batch but the last.
            order: int64, (N,): the order of the images. By default they keep theirs. Worker
                processes read the batches of a stream ahead.

        Raises:
            DataError: `batch_size` is not a whole number above 0, or `order` is not a vector of
                whole numbers.
        """
        if not is_whole(batch_size) or batch_size < 1:
            raise DataError(f"batch_size must be 1 image or more, not {batch_size!r}")
        if order is not None and not _vector(order):
            raise DataError(f"order must be int64 of shape ({len(self)},), not {_kind(order)}")
        return self._batches(int(batch_size), order)

    def _batches(self, batch_size: int, order: Tensor | None) -> Iterator[Tensor]:
        if order is None and not isinstance(self.images, Stream):
            for start in range(0, len(self), batch_size):
                yield self.as_float(slice(start, start + batch_size))
            return
        if order is None:
            order = torch.arange(len(self), device="cpu")
        elif isinstance(self.images, Tensor):
            order = order.to(self.images.device)
        yield from self.batches_at(order.split(batch_size))

    def batches_at(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of `parts`, int64 (n,), as floats, (n, C, H, W)."""
        if isinstance(self.images, Stream):
            for levels in self.images.batches(parts):
                yield self._to_float(levels)
        else:
            for indices in parts:
                yield self.as_float(indices)

    def as_float(self, indices: slice | Tensor = slice(None)) -> Tensor:
        """Return a new tensor of floats in [0, 1], float32, (n, C, H, W), according to `pixels`.

        "gray": level k becomes k/255. "binarized": it becomes 1 with probability k/255, else 0,
        drawn anew at every call. "dequantized": it becomes (k + u)/256, with u uniform in [0, 1)
        and drawn anew at every call.

        Raises:
            DataError: as `select`.
        """
        return self._to_float(self.levels(indices))

    def _to_float(self, levels: Tensor) -> Tensor:
        levels = levels.to(torch.float32)
        match self.pixels:
            case "dequantized":
                return levels.add_(torch.rand_like(levels)).div_(256)
            case "binarized":
                return torch.bernoulli(levels.div_(255))
            case "gray":
                return levels.div_(255)

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
            DataError: the images are a stream, and too large to be kept; or the seed is not a whole
                number from 0 to 2^63 - 1.
        """
        check_seed(seed)
        if isinstance(self.images, Stream):
            raise DataError(
                f"{self.source}: images that stay in their files cannot be binarized once: draw "
                "anew at every reading (pixels binarized), or choose a size that fits in memory"
            )
        generator = torch.Generator().manual_seed(int(seed))
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


def _checked_pixels(pixels: object, stacklevel: int) -> Pixels:
    """Return a value of `pixels` in today's spelling; warn of an old one, refuse any other."""
    current = _PIXELS.get(RENAMED.get(pixels, pixels)) if isinstance(pixels, str) else None
    if current is None:
        raise DataError(f"pixels must be one of {', '.join(_PIXELS)}, not {pixels!r}")
    if current != pixels:
        warn_of(f"pixels={pixels!r}", repr(current), stacklevel)
    return current


def _picked(names: tuple[str, ...], indices: slice | Tensor) -> tuple[str, ...]:
    """Return the names at indices that a tensor would take."""
    if isinstance(indices, slice):
        return names[indices]
    chosen = torch.arange(len(names), device="cpu")[indices.cpu()]
    return tuple(names[index] for index in chosen.tolist())


def _vector(value: object, *further: torch.dtype) -> bool:
    """Whether a value is a tensor of shape (n,), of whole numbers or of one of further types."""
    if not isinstance(value, Tensor):
        return False
    return value.ndim == 1 and value.dtype in (torch.int64, torch.int32, *further)


def _shown(indices: object) -> str:
    """Return indices for a message: a slice as it is, a few numbers too."""
    if isinstance(indices, Tensor) and indices.numel() <= 10:
        return f"{indices.tolist()}"
    return repr(indices) if isinstance(indices, slice) else _kind(indices)


def _kind(value: object) -> str:
    """Return what a value is, for messages: a tensor by its type and shape."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one shape in two parts: `train` to learn from, `test` to evaluate on.

    Some data have a third part, `validation`. Images that a trained model is given are not divided
    (`load(..., divide=False)`): `train` and `test` are then the same `ImageData`.

    Raises:
        DataError: the parts have different image shapes, or one is empty.

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
    validation: ImageData | None = None
    """The images to validate on, where the data have such a part of their own."""
    decisions: Decisions | None = None
    """What was decided about the data as they were read; `load` can be given it again."""
    divided: bool = True
    """Whether there are parts; otherwise `train` and `test` are the same images, all there are."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise DataError(f"name must be text, not {_kind(self.name)}")
        if not isinstance(self.decisions, Decisions | None):
            raise DataError(f"{self.name}: decisions must be Decisions or None")
        for part, images in (("train", self.train), ("test", self.test)):
            if not isinstance(images, ImageData):
                raise DataError(f"{self.name}: {part} must be ImageData, not {_kind(images)}")
        if not len(self.train) or not len(self.test):
            raise DataError(f"{self.name}: at least one train and one test image are needed")
        train, test = self.train.image_shape, self.test.image_shape
        if train != test:
            raise DataError(f"{self.name}: train images are {train}, test images {test} (C, H, W)")
        self._check_validation()

    def _check_validation(self) -> None:
        images: Any = self.validation
        if images is None:
            return
        if not isinstance(images, ImageData):
            raise DataError(f"{self.name}: validation must be ImageData, not {_kind(images)}")
        if not len(images):
            raise DataError(f"{self.name}: the validation part has no images: make it None")
        if images.image_shape != self.image_shape:
            raise DataError(
                f"{self.name}: train images are {self.image_shape}, validation images "
                f"{images.image_shape} (C, H, W)"
            )

    def __repr__(self) -> str:
        lines = [f"  {name}: {part}" for name, part in self.parts.items()]
        return "\n".join([f"Dataset {self.name}", *lines])

    def _repr_html_(self) -> str:
        """Show the first training images in a notebook."""
        return f"{picture_of(self.train.levels(slice(SHOWN)))}<pre>{escape(repr(self))}</pre>"

    @property
    def parts(self) -> dict[str, ImageData]:
        """The parts by name: train, validation if there is one, and test.

        Images that are not divided are the test part alone.
        """
        train = self.train if self.divided else None
        parts = {"train": train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image, (C, H, W)."""
        return self.train.image_shape

    def map(self, change: Callable[[ImageData], ImageData]) -> Dataset:
        """Apply the same change to every part.

        Raises:
            DataError: `change` is not callable, or returns something other than `ImageData`.
        """
        if not callable(change):
            raise DataError(f"change must be a function of ImageData, not {_kind(change)}")
        train = change(self.train)
        test = change(self.test) if self.divided else train
        validation = None if self.validation is None else change(self.validation)
        return replace(self, train=train, test=test, validation=validation)

    def pad(self, margin: int) -> Dataset:
        """Pad the images of every part with `margin` pixels of 0 on every side.

        Raises:
            DataError: as `ImageData.pad`.
        """
        return self.map(lambda part: part.pad(margin))

    def limit(self, n: int) -> Dataset:
        """Keep the first `n` training images, or all if there are fewer; the test part stays.

        Raises:
            DataError: `n` is not a whole number, or below 1.
        """
        if not is_whole(n):
            raise DataError(f"{self.name}: the limit must be a whole number of images, not {n!r}")
        if n < 1:
            raise DataError(f"{self.name}: cannot train on {n} images: the limit is at least 1")
        return replace(self, train=self.train.select(slice(int(n))))

    def split(self, validation: int) -> tuple[ImageData, ImageData]:
        """Return the train part without its last `validation` images, and those; both are views.

        Raises:
            DataError: `validation` is not a whole number, is negative, or would leave no image to
                train on.
        """
        available = len(self.train)
        if not is_whole(validation) or not 0 <= validation < available:
            raise DataError(
                f"{self.name}: cannot hold out {validation!r} of {available} training images for "
                f"validation: choose from 0 to {available - 1}"
            )
        kept = available - int(validation)
        return self.train.select(slice(kept)), self.train.select(slice(kept, None))
