"""Many image files in one shape: read into one tensor, or left in place as a stream."""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from statistics import median_low
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pyro_vae.data.capacity import should_stream
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError, say, shown_path, warn
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.image_formats import Header, read_header, read_pixels
from pyro_vae.data.streams import Stream, selected

_MANY = 500  # number of files from which a progress bar is shown
_MOST_THREADS = 16
_LISTED = 20  # unreadable files named in one message

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files in the order in which they are read, with what is known about each."""

    paths: list[Path]
    labels: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    attributes: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Tensor) -> "ImageFiles":
        """Return the files at `indices`, int64 of shape (n,), in that order."""
        return ImageFiles(
            paths=[self.paths[index] for index in indices.tolist()],
            labels=None if self.labels is None else self.labels[indices],
            class_names=self.class_names,
            attributes=self.attributes and {k: v[indices] for k, v in self.attributes.items()},
        )


def read_parts(
    name: str, train: ImageFiles, test: ImageFiles, options: LoadOptions, source: str
) -> Dataset:
    """Read both parts in one shape, as two views of one tensor or stream.

    Raises:
        DataError: files cannot be read and are not to be skipped.
    """
    images, readable = read_images(train.paths + test.paths, options, source)
    train = train.select(readable[: len(train)].nonzero().squeeze(1))
    test = test.select(readable[-len(test) :].nonzero().squeeze(1))
    return Dataset(
        name,
        _part(selected(images, slice(len(train))), train, source),
        _part(selected(images, slice(len(train), None)), test, source),
    )


def _part(images: Tensor | Stream, files: ImageFiles, source: str) -> ImageData:
    return ImageData(images, files.labels, files.class_names, files.attributes, source)


def read_images(
    paths: list[Path], options: LoadOptions, source: str
) -> tuple[Tensor | Stream, Tensor]:
    """Read N files, of which n can be read.

    Returns:
        The images, uint8, (n, C, H, W), and whether each file could be read, bool, (N,).

    Raises:
        DataError: files cannot be read and are not to be skipped.
    """
    faults: dict[Path, str] = {}
    headers = dict(_each(read_header, paths, faults, "reading image headers"))
    if not headers:
        raise _unreadable(faults, paths, source)
    shape = choose_shape(headers, options, source)
    take = _stream if should_stream(len(headers), shape, options, source) else _tensor
    images = take(list(headers), shape, faults)
    _report_faults(faults, paths, options, source)
    return images, torch.tensor([path not in faults for path in paths])


def _tensor(paths: list[Path], shape: tuple[int, int, int], faults: dict[Path, str]) -> Tensor:
    try:
        images = torch.empty((len(paths), *shape), dtype=torch.uint8)
    except RuntimeError as error:  # Where `stream=False` insists on more than there is.
        channels, height, width = shape
        raise DataError(
            f"there is no memory for {len(paths)} images of {channels}×{height}×{width}: choose a "
            "smaller size (size=64, --size 64), or leave out stream=False"
        ) from error
    readers = _each(partial(read_pixels, shape=shape), paths, faults, "reading images")
    count = 0
    for count, (_, pixels) in enumerate(readers, start=1):
        images[count - 1] = torch.from_numpy(pixels)
    return images[:count]


def _stream(paths: list[Path], shape: tuple[int, int, int], faults: dict[Path, str]) -> Stream:
    """Decode every file once, so that a fault shows now and not in the middle of training."""

    def check(path: Path) -> None:
        read_pixels(path, shape)

    readable = [path for path, _ in _each(check, paths, faults, "checking images")]
    return Stream(FileReader(readable, shape), torch.arange(len(readable)))


@dataclass(frozen=True, eq=False)
class FileReader:
    """A callable that reads the files at some positions of a list: uint8, (n, C, H, W)."""

    paths: list[Path]
    shape: tuple[int, int, int]

    def __call__(self, positions: Tensor) -> Tensor:
        images = torch.empty((len(positions), *self.shape), dtype=torch.uint8)
        for image, position in zip(images, positions.tolist(), strict=True):
            image.copy_(torch.from_numpy(self._pixels(self.paths[position])))
        return images

    def _pixels(self, path: Path) -> np.ndarray:
        try:
            return read_pixels(path, self.shape)
        except DataError as error:
            raise DataError(f"{path} could be read before, but no longer: {error}") from error


def _each(
    read: Callable[[Path], T], paths: list[Path], faults: dict[Path, str], task: str
) -> Iterator[tuple[Path, T]]:
    """Yield each path with what `read` returns for it, in order; collect DataErrors in `faults`."""

    def attempt(path: Path) -> T | DataError:
        try:
            return read(path)
        except DataError as error:
            return error

    threads = min(os.cpu_count() or 1, _MOST_THREADS)  # Pillow releases Python's lock to decode
    with warnings.catch_warnings(), ThreadPool(threads) as pool:
        # Too many pixels are refused in `read_header`, in words of this library.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = pool.imap(attempt, paths, chunksize=8)
        bar = tqdm(results, task, len(paths), disable=len(paths) < _MANY, leave=False)
        for path, result in zip(paths, bar, strict=True):
            if isinstance(result, DataError):
                faults[path] = str(result)
            else:
                yield path, result


def choose_shape(
    headers: dict[Path, Header], options: LoadOptions, source: str
) -> tuple[int, int, int]:
    """Return (C, H, W) as chosen, or by the rules of `pyro_vae.data.readers.folders`."""
    gray = all(header.gray for header in headers.values())
    channels = options.channels or (1 if gray else 3)
    size = options.height_width or _infer_size(headers, source)
    _warn_of_enlarged(headers, size, source)
    return channels, *size


def _infer_size(headers: dict[Path, Header], source: str) -> tuple[int, int]:
    sizes = {header.size for header in headers.values()}
    if len(sizes) == 1:
        return sizes.pop()
    side = median_low(min(header.size) for header in headers.values())
    say(
        f"{source}: images of {len(sizes)} sizes, each cropped to its central square and resized "
        f"to {side}×{side}, the median of the shorter sides; choose another size with size="
    )
    return side, side


def _warn_of_enlarged(headers: dict[Path, Header], size: tuple[int, int], source: str) -> None:
    small = [
        (header.size, path)
        for path, header in headers.items()
        if header.size[0] < size[0] or header.size[1] < size[1]
    ]
    if small:
        (height, width), path = min(small)
        warn(
            f"{source}: {len(small)} of {len(headers)} images are smaller than "
            f"{size[0]}×{size[1]} and are enlarged; the smallest is {shown_path(path.name)}, "
            f"{height}×{width}"
        )


def _report_faults(
    faults: dict[Path, str], paths: list[Path], options: LoadOptions, source: str
) -> None:
    """Raise an error about files that cannot be read; warn of them if they are to be skipped."""
    if not faults:
        return
    error = _unreadable(faults, paths, source)
    if not options.skip_corrupt or len(faults) == len(paths):
        raise error
    warn(f"skipped: {error}")


def _unreadable(faults: dict[Path, str], paths: list[Path], source: str) -> DataError:
    ordered = sorted(faults.items())
    lines = [f"  - {shown_path(path)}: {reason}" for path, reason in ordered[:_LISTED]]
    if len(ordered) > _LISTED:
        lines.append(f"  - and {len(ordered) - _LISTED} more")
    return DataError(
        f"{source}: {len(faults)} of {len(paths)} images cannot be read:\n"
        + "\n".join(lines)
        + "\nRepair or remove them, or skip them with skip_corrupt=True (--skip-corrupt)"
    )
