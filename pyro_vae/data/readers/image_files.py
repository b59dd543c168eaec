"""Many image files in one shape: read into one tensor, or left in place as a stream."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from statistics import median_low
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pyro_vae._progress import hidden, tqdm
from pyro_vae.data.capacity import should_stream
from pyro_vae.data.decisions import Decisions
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.levels import warn_of_extremes
from pyro_vae.data.messages import DataError, say, shown_path, warn
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.image_formats import (
    Frame,
    Header,
    Look,
    look,
    read_header,
    read_pixels,
)
from pyro_vae.data.readers.survey import surveyed
from pyro_vae.data.resizing import share_kept, tell_of_cropped
from pyro_vae.data.splits import held_out_count, shuffled
from pyro_vae.data.streams import Stream, selected

_MANY = 500  # number of files from which a progress bar is shown
_MOST_THREADS = 16
_LISTED = 20  # unreadable files named in one message

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images in files, in the order in which they are read, with what is known about each."""

    frames: list[Frame]
    labels: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    attributes: dict[str, Tensor] | None = None

    @classmethod
    def of(cls, paths: list[Path], **known: Any) -> "ImageFiles":
        """Return files of one image each."""
        return cls([Frame(path) for path in paths], **known)

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, indices: Tensor) -> "ImageFiles":
        """Return the images at `indices`, int64 of shape (n,), in that order."""
        return ImageFiles(
            frames=[self.frames[index] for index in indices.tolist()],
            labels=None if self.labels is None else self.labels[indices],
            class_names=self.class_names,
            attributes=self.attributes and {k: v[indices] for k, v in self.attributes.items()},
        )

    def unfolded(self, headers: dict[Path, Header]) -> "ImageFiles":
        """Return every frame of every file, with what is known about the file."""
        counts = [headers[f.path].frames if f.path in headers else 1 for f in self.frames]
        if max(counts, default=1) == 1:
            return self
        repeated = torch.arange(len(self), device="cpu").repeat_interleave(
            torch.tensor(counts, device="cpu")
        )
        frames = [
            Frame(frame.path, index, count)
            for frame, count in zip(self.frames, counts, strict=True)
            for index in range(count)
        ]
        return replace(self.select(repeated), frames=frames)


#: The part of files that are still to be divided.
UNDIVIDED = "all"


def read_parts(
    name: str,
    listed: Mapping[str, ImageFiles],
    options: LoadOptions,
    folder: Path,
    places: Mapping[str, str] | None = None,
    *,
    source: str = "",
) -> Dataset:
    """Read all parts in one shape, as views of one tensor or stream.

    Args:
        name: the name of the data set.
        listed: the files of "train", "test" and, where there is one, "validation"; or those of
            `UNDIVIDED`, of which a test part is drawn by seed if they are to be divided.
        options: of `load`.
        folder: the folder that names are relative to.
        places: the folder of each part, for the record.
        source: the images, as shown to people; by default the folder.

    Raises:
        DataError: files cannot be read and are not to be skipped.
    """
    source = source or shown_path(folder)
    paths = [frame.path for files in listed.values() for frame in files.frames]
    faults: dict[Frame, str] = {}
    headers = _headers(paths, faults)
    if not headers:
        raise DataError(f"{_unreadable(faults, len(paths), source)}\nRepair or replace them")
    if (options.given.frames or "all") == "all":
        listed = {part: files.unfolded(headers) for part, files in listed.items()}
    parts = _divided(name, listed, options, source)
    _tell_frames(parts.values(), headers, options, source)
    frames = [frame for files in parts.values() for frame in files.frames]
    images, decisions = _read_images(frames, headers, faults, options, source)
    found: dict[str, ImageData] = {}
    start = 0
    for part, files in parts.items():
        good = torch.tensor(
            [frame not in faults for frame in files.frames], dtype=torch.bool, device="cpu"
        )
        kept = files.select(good.nonzero().squeeze(1))
        taken = selected(images, slice(start, start + len(kept)))
        start += len(kept)
        if len(kept) or part != "validation":
            found[part] = _part(taken, kept, folder, source)
    names = next(iter(parts.values())).class_names
    drawn = {"train": "", "test": "drawn by seed"} if options.divide else {"test": ""}
    decisions = replace(
        decisions,
        frames=options.given.frames or "all",
        parts=dict(places or drawn),
        class_names=names,
    )
    if UNDIVIDED in found:
        whole = found[UNDIVIDED]
        return Dataset(name, whole, whole, decisions=decisions, divided=False)
    return Dataset(name, found["train"], found["test"], found.get("validation"), decisions)


def _divided(
    name: str, listed: Mapping[str, ImageFiles], options: LoadOptions, source: str
) -> dict[str, ImageFiles]:
    """Draw the parts of files that have none; shuffle the training part of those that have."""
    if UNDIVIDED not in listed:
        train = listed["train"]
        return {**listed, "train": train.select(_shuffled(train, options))}
    files = listed[UNDIVIDED]
    if not options.divide:
        return {UNDIVIDED: files}
    held_out = held_out_count(name, len(files), options.test_fraction)
    if _together(files, options):
        order, held_out = _by_file(files, held_out, options, source)
    else:
        order = shuffled(len(files), options.seed)
    return {"train": files.select(order[held_out:]), "test": files.select(order[:held_out])}


def _together(files: ImageFiles, options: LoadOptions) -> bool:
    """Whether frames of one file are kept together, because they resemble each other."""
    return options.given.rules > 2 and any(frame.of > 1 for frame in files.frames)


def _shuffled(files: ImageFiles, options: LoadOptions) -> Tensor:
    """Return the places of images, shuffled by seed; those of one file stay together."""
    if not _together(files, options):
        return shuffled(len(files), options.seed)
    films = _places_by_file(files)
    return torch.cat([films[film] for film in shuffled(len(films), options.seed).tolist()])


def _places_by_file(files: ImageFiles) -> list[Tensor]:
    """Return the places of the images of each file, int64, (n,)."""
    places: dict[Path, list[int]] = {}
    for place, frame in enumerate(files.frames):
        places.setdefault(frame.path, []).append(place)
    return [torch.tensor(each, device="cpu") for each in places.values()]


def _by_file(
    files: ImageFiles, held_out: int, options: LoadOptions, source: str
) -> tuple[Tensor, int]:
    """Divide images such that those of one file lie in one part; of a single file, the last ones.

    Args:
        files: the images.
        held_out: the number of images that the test part should have, and may not exceed unless
            every file has more.
        options: hold the seed, and the share of the files.
        source: the images, as shown to people.

    Returns:
        The places of all images, those of the test part first, and the number of these.
    """
    films = _places_by_file(files)
    if len(films) == 1:
        say(
            f"{source}: frames of one file resemble each other: its last {held_out} of "
            f"{len(files)} frames are the test part"
        )
        return films[0].roll(held_out), held_out
    chosen: list[Tensor] = []
    count = 0
    order = [films[film] for film in shuffled(len(films), options.seed).tolist()]
    for film in order:
        few = len(chosen) < held_out_count(source, len(films), options.test_fraction)
        if few and count + len(film) <= held_out:
            chosen.append(film)
            count += len(film)
    chosen = chosen or [min(order, key=len)]
    rest = [film for film in order if not any(film is each for each in chosen)]
    count = sum(map(len, chosen))
    say(
        f"{source}: frames of one file stay in one part: {len(chosen)} of {len(films)} files, "
        f"{count} of {len(files)} images, are the test part"
    )
    return torch.cat([*chosen, *rest]), count


def _tell_frames(
    parts: Iterable[ImageFiles], headers: dict[Path, Header], options: LoadOptions, source: str
) -> None:
    """Say what becomes of files that hold several images."""
    films = [header for header in headers.values() if header.frames > 1]
    if films and (options.given.frames or "all") == "all":
        total = sum(header.frames for header in films)
        say(
            f"{source}: {_files(films)} {total} frames, and each frame is an image; "
            "frames='first' (--frames first) takes only the first"
        )
    aside = sum(header.frames - 1 for header in films)
    if films and options.given.frames == "first":
        say(f"{source}: the first frame of {len(films)} files is taken, {aside} are left aside")
    others = [header.others for header in headers.values() if header.others]
    if others:
        warn(
            f"{source}: {_files(others)} frames of several sizes or kinds, as previews "
            f"are: the first is taken, {sum(others)} are left aside"
        )


def _files(some: list[Any]) -> str:
    return "1 file holds" if len(some) == 1 else f"{len(some)} files hold"


def _part(images: Tensor | Stream, files: ImageFiles, folder: Path, source: str) -> ImageData:
    return ImageData(
        images,
        files.labels,
        files.class_names,
        files.attributes,
        source,
        names=tuple(_name(frame, folder) for frame in files.frames),
    )


def _name(frame: Frame, folder: Path) -> str:
    return shown_path(frame.suffixed(frame.path.relative_to(folder).as_posix()))


def _headers(paths: list[Path], faults: dict[Frame, str]) -> dict[Path, Header]:
    frames = [Frame(path) for path in paths]
    found = _each(lambda frame: read_header(frame.path), frames, faults, "reading image headers")
    return {frame.path: header for frame, header in found}


def _read_images(
    frames: list[Frame],
    headers: dict[Path, Header],
    faults: dict[Frame, str],
    options: LoadOptions,
    source: str,
) -> tuple[Tensor | Stream, Decisions]:
    """Read the images whose headers could be read, and collect the faults of the others.

    Raises:
        DataError: images cannot be read and are not to be skipped.
    """
    readable = [frame for frame in frames if frame.path in headers]

    def looks(some: Sequence[Frame]) -> Iterator[tuple[Frame, Look]]:
        # Faults are found again in reading.
        return _each(look, _in_file_order(some), {}, "looking at images")

    decisions = surveyed(readable, lambda f: headers[f.path], looks, options, source)
    shape = choose_shape(headers, decisions, options, source)
    streams = should_stream(len(readable), shape, options, source)
    read = _stream if streams else _tensor
    images, lows, highs = read(readable, shape, decisions, faults)
    _report_faults(faults, len(frames), options, source)
    warn_of_extremes(lows, highs, source, decisions.ranges)
    return images, decisions


def _tensor(
    frames: list[Frame],
    shape: tuple[int, int, int],
    decisions: Decisions,
    faults: dict[Frame, str],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the images, and the lowest and the highest level of each, (n,)."""
    try:
        images = torch.empty((len(frames), *shape), dtype=torch.uint8, device="cpu")
    except RuntimeError as error:  # Where `stream=False` insists on more than there is.
        channels, height, width = shape
        raise DataError(
            f"there is no memory for {len(frames)} images of {channels}×{height}×{width}: choose a "
            "smaller size (size=64, --size 64), or leave out stream=False"
        ) from error
    read = partial(read_pixels, shape=shape, decisions=decisions)
    places = {frame: place for place, frame in enumerate(frames)}
    for frame, pixels in _each(read, _in_file_order(frames), faults, "reading images"):
        images[places[frame]] = torch.from_numpy(pixels)
    if any(frame in faults for frame in frames):
        images = images[[place for frame, place in places.items() if frame not in faults]]
    levels = images.flatten(1)
    return images, levels.amin(1), levels.amax(1)


def _stream(
    frames: list[Frame],
    shape: tuple[int, int, int],
    decisions: Decisions,
    faults: dict[Frame, str],
) -> tuple[Stream, Tensor, Tensor]:
    """Decode every file once, so that a fault shows now and not in the middle of training.

    Returns:
        The images, and the lowest and the highest level of each, (n,).
    """

    def check(frame: Frame) -> tuple[int, int]:
        pixels = read_pixels(frame, shape, decisions)
        return int(pixels.min()), int(pixels.max())

    checked = dict(_each(check, _in_file_order(frames), faults, "checking images"))
    found = {frame: checked[frame] for frame in frames if frame in checked}
    extremes = torch.tensor(list(found.values()), dtype=torch.int64, device="cpu").reshape(
        len(found), 2
    )
    lows, highs = extremes.unbind(1)
    reader = FileReader(list(found), shape, decisions)
    return Stream(reader, torch.arange(len(found), device="cpu")), lows, highs


@dataclass(frozen=True, eq=False)
class FileReader:
    """A callable that reads the images at some positions of a list: uint8, (n, C, H, W)."""

    frames: list[Frame]
    shape: tuple[int, int, int]
    decisions: Decisions

    def __call__(self, positions: Tensor) -> Tensor:
        images = torch.empty((len(positions), *self.shape), dtype=torch.uint8, device="cpu")
        frames = [self.frames[position] for position in positions.tolist()]
        for place in sorted(range(len(frames)), key=frames.__getitem__):
            images[place] = torch.from_numpy(self._pixels(frames[place]))
        return images

    def _pixels(self, frame: Frame) -> np.ndarray:
        try:
            return read_pixels(frame, self.shape, self.decisions)
        except DataError as error:
            raise DataError(f"{frame.path} could be read before, but no longer: {error}") from error


def _in_file_order(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return frames in the order in which files hold them, so that each file is read once."""
    return sorted(frames) if any(frame.of > 1 for frame in frames) else frames


def _each(
    read: Callable[[Frame], T], frames: Sequence[Frame], faults: dict[Frame, str], task: str
) -> Iterator[tuple[Frame, T]]:
    """Yield each image with what `read` returns, in order; collect DataErrors in `faults`."""
    if not frames:
        return

    def attempt(frame: Frame) -> T | DataError:
        try:
            return read(frame)
        except DataError as error:
            return error

    threads = min(os.cpu_count() or 1, _MOST_THREADS)  # Pillow releases Python's lock to decode
    with warnings.catch_warnings(), ThreadPool(threads) as pool:
        # Too many pixels are refused in `read_header`, in words of this library.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = pool.imap(attempt, frames, chunksize=8)
        bar = tqdm(results, task, len(frames), disable=hidden(len(frames) >= _MANY), leave=False)
        for frame, result in zip(frames, bar, strict=True):
            if isinstance(result, DataError):
                faults[frame] = str(result)
            else:
                yield frame, result


def choose_shape(
    headers: dict[Path, Header], decisions: Decisions, options: LoadOptions, source: str
) -> tuple[int, int, int]:
    """Return (C, H, W) as decided, or by the rules of `pyro_vae.data.readers.folders`."""
    channels = decisions.channels or 3
    if options.height_width is None:
        size = _infer_size(headers, source)
    else:
        size = options.height_width
        path = min(headers, key=lambda path: (share_kept(headers[path].size, size), path))
        tell_of_cropped(shown_path(path.name), headers[path].size, size, source)
    _warn_of_enlarged(headers, size, source)
    return channels, *size


def _infer_size(headers: dict[Path, Header], source: str) -> tuple[int, int]:
    sizes = {header.size for header in headers.values()}
    if len(sizes) == 1:
        return sizes.pop()
    side = median_low(min(header.size) for header in headers.values())
    say(
        f"{source}: images of {len(sizes)} sizes, each cropped to its central square and resized "
        f"to {side}×{side}, the median of the shorter sides; choose another size with size= "
        "(--size)"
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


def _report_faults(faults: dict[Frame, str], count: int, options: LoadOptions, source: str) -> None:
    """Raise an error about files that cannot be read; warn of them if they are to be skipped."""
    if not faults:
        return
    told = _unreadable(faults, count, source)
    if not options.skip_corrupt or len(faults) == count:
        raise DataError(
            f"{told}\nRepair or remove them, or skip them with skip_corrupt=True (--skip-corrupt)"
        )
    warn(f"skipped: {told}")


def _unreadable(faults: dict[Frame, str], count: int, source: str) -> str:
    ordered = sorted(faults.items())
    lines = [
        f"  - {shown_path(frame.suffixed(str(frame.path)))}: {reason}"
        for frame, reason in ordered[:_LISTED]
    ]
    if len(ordered) > _LISTED:
        lines.append(f"  - and {len(ordered) - _LISTED} more")
    return "\n".join([f"{source}: {len(faults)} of {count} images cannot be read:", *lines])
