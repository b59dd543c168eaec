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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.capacity import refuse_too_large, should_stream
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError, one_line, say
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.attributes import read_table
from pyro_vae.data.splits import shuffled, split_by_seed
from pyro_vae.data.streams import Stream

SUFFIXES = (".npy", ".npz", ".pt", ".pth")

_MOST_CHANNELS = 4
#: Copies in memory at once: images as read and as (N, C, H, W), or that and in split order.
_COPIES = 2


def load_arrays(path: Path, options: LoadOptions) -> Dataset:
    """Load the images of an array file, as this module's docstring describes.

    Raises:
        DataError: the file cannot be read, or its content does not fit that description.
    """
    name = path.stem
    if path.suffix == ".npy" and (stream := _stream(path, options)) is not None:
        data = ImageData(stream, source=str(path))
        return split_by_seed(name, data, options.test_fraction, options.seed)
    refuse_too_large(
        _COPIES * _content_bytes(path),
        options,
        str(path),
        "save the images as bytes in an .npy file, which is read batch by batch",
    )
    content = _read_file(path)
    if "train_images" in content and "test_images" in content:
        train = _shuffled_if_sorted(_part(content, "train_", path), options.seed)
        return Dataset(name, train, _part(content, "test_", path))
    prefix = "train_" if "train_images" in content else ""
    data = _part(content, prefix, path)
    if not prefix and path.suffix == ".npz":
        data = replace(data, attributes=_attributes_beside(path, content, len(data)))
    return split_by_seed(name, data, options.test_fraction, options.seed)


def _part(content: dict[str, np.ndarray], prefix: str, path: Path) -> ImageData:
    key = f"{prefix}images"
    if key not in content:
        found = ", ".join(content) or "nothing"
        raise DataError(
            f"{path} holds {found}: name the images `images`, or `train_images` and `test_images`"
        )
    names = content.get("class_names")
    return ImageData(
        # Popped, so that the array as read is freed before the images are split.
        images=torch.from_numpy(to_images(content.pop(key), f"{path.name}: {key}")),
        labels=_to_labels(content.get(f"{prefix}labels"), f"{path.name}: {prefix}labels"),
        class_names=None if names is None else tuple(str(name) for name in names),
        source=str(path),
    )


def _stream(path: Path, options: LoadOptions) -> Stream | None:
    """Return the images of an `.npy` file as a stream, or None if they go into memory."""
    reader = ArrayReader(path)
    try:
        array = reader.array
    except Exception:  # `_read_file` reports what is wrong with it.
        return None
    if array.size == 0:
        return None
    images = _to_nchw(array, f"{path.name}: images")
    if not should_stream(len(images), images.shape[1:], options, str(path), _COPIES):
        return None
    if array.dtype != np.uint8 or array[:1000].max() <= 1:
        found = "binary values" if array.dtype == np.uint8 else array.dtype
        raise DataError(
            f"{path} holds {found}: only images as bytes, 0 to 255, can be read batch by batch "
            "from their file: save it as uint8 levels, or hold it in memory with stream=False"
        )
    return Stream(reader, torch.arange(len(images)))


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """A callable that reads the images at some positions of an `.npy` file of bytes.

    It returns uint8, (n, C, H, W).
    """

    path: Path

    @cached_property
    def array(self) -> np.ndarray:
        """The file's content, mapped into memory: the system reads a part when it is used."""
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __call__(self, positions: Tensor) -> Tensor:
        taken = _to_nchw(self.array, self.path.name)[positions.numpy()]
        return torch.from_numpy(np.ascontiguousarray(taken))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}  # A worker opens the file itself.

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _content_bytes(path: Path) -> int:
    """Return roughly how many bytes of memory a file's arrays take, or 0 if that is unknown."""
    try:
        if path.suffix != ".npz":
            return path.stat().st_size
        with ZipFile(path) as members:
            return sum(member.file_size for member in members.infolist())
    except (OSError, BadZipFile):  # `_read_file` reports what is wrong with it.
        return 0


def _read_file(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name; a single array is named `images`."""
    try:
        if path.suffix in (".pt", ".pth"):
            return _named(torch.load(path, map_location="cpu", weights_only=True))
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"images": loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # NumPy and PyTorch raise many kinds for a damaged file
        raise DataError(
            f"{path} cannot be read: it is damaged, cut short, or holds Python objects instead of "
            f"plain arrays: save it again with np.savez or torch.save ({one_line(error)[:200]})"
        ) from error


def _named(loaded: Any) -> dict[str, np.ndarray]:
    items = {"images": loaded} if isinstance(loaded, torch.Tensor) else loaded
    if not isinstance(items, dict):
        raise DataError(f"a {type(loaded).__name__}, not a tensor or a dict of tensors")
    return {str(key): _as_numpy(value) for key, value in items.items()}


def _as_numpy(value: Any) -> np.ndarray:
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.detach()
    return (value.float() if value.is_floating_point() else value).numpy()


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


def _to_labels(array: np.ndarray | None, what: str) -> torch.Tensor | None:
    if array is None:
        return None
    if array.dtype.kind not in "ui":
        raise DataError(f"{what} holds {array.dtype}: labels must be whole numbers, one per image")
    return torch.from_numpy(array.astype(np.int64).reshape(len(array), -1)).squeeze(1)


def _shuffled_if_sorted(data: ImageData, seed: int) -> ImageData:
    """Shuffle images that are sorted by class, because a validation split takes the last ones."""
    labels = data.labels
    if labels is None or labels[0] == labels[-1] or (labels.diff() < 0).any():
        return data
    say("the training images are sorted by class: they are shuffled, in an order fixed by the seed")
    return data.select(shuffled(len(data), seed))


def _attributes_beside(
    path: Path, content: Mapping[str, np.ndarray], count: int
) -> dict[str, torch.Tensor] | None:
    table = path.with_name("attributes.csv")
    if not table.exists():
        return None
    names = content.get("names")
    return read_table(table, count, None if names is None else [str(name) for name in names])
