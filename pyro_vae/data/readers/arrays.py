"""Images from arrays: an `.npy` or `.npz` file, or tensors saved by PyTorch (`.pt`, `.pth`).

| content | meaning |
|---|---|
| one array or tensor | images |
| `images`, optionally `labels` | images without a test part: one is drawn by seed |
| `train_images`, `test_images`, optionally `train_labels`, `test_labels` | both parts |
| `class_names` | the name of each class, in the order of the labels |
| `names`, with `images` in an `.npz` file | a file name per image, to find it in `attributes.csv` |

Images are (N, H, W), (N, H, W, C) or (N, C, H, W). The channels are the one dimension of at most 4;
if both the second and the last are, the array is refused. Values are bytes, whole numbers from 0 to
255, floats in [0, 1], or binary (booleans, or whole numbers that are all 0 or 1). The bytes of an
`.npy` file that is too large for memory are read batch by batch; other files must fit. A file
`attributes.csv` beside an `.npz` file is read by `pyro_vae.data.readers.attributes`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae._files import open_regular
from pyro_vae.data.capacity import should_stream
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError, escaped, say, shown_path
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.array_files import COPIES, check_header, read_arrays
from pyro_vae.data.readers.attributes import read_table
from pyro_vae.data.splits import shuffled, split_by_seed
from pyro_vae.data.streams import Stream

_MOST_CHANNELS = 4
#: The arrays that are read of a file; others are left alone.
_WANTED = (
    *("images", "labels", "train_images", "train_labels", "test_images", "test_labels"),
    *("class_names", "names"),
)


def load_arrays(path: Path, options: LoadOptions) -> Dataset:
    """Load the images of an array file, as this module's docstring describes.

    Raises:
        DataError: the file cannot be read, or its content does not fit that description.
    """
    name = shown_path(path.stem)
    if path.suffix == ".npy" and (stream := _stream(path, options)) is not None:
        data = ImageData(stream, source=shown_path(path))
        return split_by_seed(name, data, options.test_fraction, options.seed)
    content = read_arrays(path, _WANTED, options)
    if "train_images" in content and "test_images" in content:
        train = _shuffled_if_sorted(_part(content, "train_", path), options.seed)
        return Dataset(name, train, _part(content, "test_", path))
    prefix = "train_" if "train_images" in content else ""
    data = _part(content, prefix, path)
    if not prefix and path.suffix == ".npz":
        data = replace(data, attributes=_attributes_beside(path, content, len(data)))
    return split_by_seed(name, data, options.test_fraction, options.seed)


def _part(content: dict[str, Any], prefix: str, path: Path) -> ImageData:
    key = f"{prefix}images"
    if key not in content:
        found = ", ".join(content) or "nothing"
        raise DataError(
            f"{path} holds {found}: name the images `images`, or `train_images` and `test_images`"
        )
    # Popped, so that the array as read is freed before the images are split.
    images = to_images(content.pop(key), f"{path.name}: {key}")
    labels = _to_labels(content.get(f"{prefix}labels"), f"{path.name}: {prefix}labels")
    names = _to_names(content.get("class_names"), f"{path.name}: class_names")
    class_names = None if names is None else tuple(escaped(name) for name in names)
    try:
        return ImageData(torch.from_numpy(images), labels, class_names, source=shown_path(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _stream(path: Path, options: LoadOptions) -> Stream | None:
    """Return the images of an `.npy` file as a stream, or None if they go into memory."""
    try:
        reader = ArrayReader(path, _state(path))
        array = reader.array
    except Exception:  # `read_arrays` reports what is wrong with it.
        return None
    if array.size == 0:
        return None
    images = _to_nchw(array, f"{path.name}: images")
    if not should_stream(len(images), images.shape[1:], options, str(path), COPIES):
        return None
    if array.dtype != np.uint8 or array[:1000].max() <= 1:
        found = "binary values" if array.dtype == np.uint8 else array.dtype
        raise DataError(
            f"{path} holds {found}: only images as bytes, 0 to 255, can be read batch by batch "
            "from their file: save it as uint8 levels, or hold it in memory with stream=False"
        )
    return Stream(reader, torch.arange(len(images)))


def _state(path: Path) -> tuple[int, int]:
    """Return what tells whether a file has changed: its size and the time of its last change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """A callable that reads the images at some positions of an `.npy` file of bytes.

    It returns uint8, (n, C, H, W).
    """

    path: Path
    state: tuple[int, int]
    """The size of the file, and the time of its last change, when it was found."""

    @cached_property
    def array(self) -> np.ndarray:
        """The file's content, mapped into memory: the system reads a part when it is used."""
        with open_regular(self.path) as file:
            check_header(file, os.fstat(file.fileno()).st_size)
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __call__(self, positions: Tensor) -> Tensor:
        self._require_unchanged()  # The system would end a program that reads past a file's end.
        taken = _to_nchw(self.array, self.path.name)[positions.numpy()]
        return torch.from_numpy(np.ascontiguousarray(taken))

    def _require_unchanged(self) -> None:
        try:
            unchanged = _state(self.path) == self.state
        except OSError:
            unchanged = False
        if not unchanged:
            raise DataError(f"{self.path} was changed while its images were in use: start again")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "state": self.state}  # A worker opens the file itself.

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def to_images(array: np.ndarray, what: str) -> np.ndarray:
    """Convert images of any accepted layout and type to uint8, (N, C, H, W).

    Args:
        array: the images, as this module's docstring describes.
        what: the name of the array in messages.

    Raises:
        DataError: the layout or the values do not fit that description.
    """
    if array.size == 0:
        raise DataError(f"{what} has shape {array.shape}: there are no images in it")
    return np.ascontiguousarray(_to_levels(_to_nchw(array, what), what))


def _to_nchw(array: np.ndarray, what: str) -> np.ndarray:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"{what} has shape {array.shape}: reshape it to (N, H, W), (N, H, W, C) or (N, C, H, W)"
        )
    first, last = array.shape[1] <= _MOST_CHANNELS, array.shape[3] <= _MOST_CHANNELS
    if first == last:
        either = "the second or the last" if first else "neither the second nor the last"
        raise DataError(
            f"{what} has shape {array.shape}: {either} dimension could be the channels (at most "
            f"{_MOST_CHANNELS}); give larger images, or make an ImageData of a tensor"
        )
    return array if first else array.transpose(0, 3, 1, 2)


def _to_levels(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{what} holds {array.dtype}: images are bytes or floats in [0, 1]; convert it first"
        )
    if not np.isfinite(array).all():
        raise DataError(f"{what} holds values that are not finite: replace them first")
    low, high = array.min(), array.max()
    whole = array.dtype.kind != "f"
    if low >= 0 and high <= 1:
        return _from_unit(array, what, binary=whole)
    if low >= 0 and high <= 255 and (whole or (array == np.floor(array)).all()):
        return array.astype(np.uint8, copy=False)
    raise DataError(
        f"{what} holds {array.dtype} from {low:g} to {high:g}: scale it to floats in [0, 1], or to "
        "whole numbers from 0 to 255"
    )


def _from_unit(array: np.ndarray, what: str, binary: bool) -> np.ndarray:
    if array.dtype.kind != "b":
        say(f"{what}: {'binary values' if binary else 'floats in [0, 1]'} scaled to 0 to 255")
    if binary:
        return array.astype(np.uint8) * np.uint8(255)
    return np.rint(array * np.float32(255)).astype(np.uint8)


def _to_labels(array: np.ndarray | None, what: str) -> Tensor | None:
    if array is None:
        return None
    if array.dtype.kind not in "ui":
        raise DataError(f"{what} holds {array.dtype}: labels must be whole numbers, one per image")
    if array.ndim == 0 or array.size != len(array):
        raise DataError(f"{what} has shape {array.shape}: labels must be one number per image")
    if array.size and (array.min() < 0 or array.max() >= 2**63):
        raise DataError(
            f"{what} run from {array.min()} to {array.max()}: they must be 0 or more, and below "
            "2^63"
        )
    return torch.from_numpy(array.astype(np.int64).reshape(len(array)))


def _to_names(array: np.ndarray | None, what: str) -> list[str] | None:
    if array is None:
        return None
    if array.ndim != 1:
        raise DataError(f"{what} has shape {array.shape}: it must be a list of names")
    try:
        return [
            each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each)
            for each in array
        ]
    except (SystemError, ValueError) as error:  # Numbers that are no characters.
        raise DataError(f"{what} holds something other than text: save the names again") from error


def _shuffled_if_sorted(data: ImageData, seed: int) -> ImageData:
    """Shuffle images that are sorted by class, because a validation split takes the last ones."""
    labels = data.labels
    if labels is None or labels[0] == labels[-1] or (labels.diff() < 0).any():
        return data
    say("the training images are sorted by class: they are shuffled, in an order fixed by the seed")
    return data.select(shuffled(len(data), seed))


def _attributes_beside(
    path: Path, content: Mapping[str, Any], count: int
) -> dict[str, Tensor] | None:
    table = path.with_name("attributes.csv")
    if not os.path.lexists(table):
        return None
    return read_table(table, count, _to_names(content.get("names"), f"{path.name}: names"))
