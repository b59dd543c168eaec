"""Images from arrays: an `.npy` or `.npz` file, or tensors saved by PyTorch (`.pt`, `.pth`).

| content | meaning |
|---|---|
| one array or tensor | images |
| `images` (or `imgs`), optionally `labels` | images without a test part: one is drawn by seed |
| `train_images`, `test_images`, optionally `train_labels`, `test_labels` | both parts |
| `val_images`, optionally `val_labels`, beside these | the validation part |
| `class_names` | the name of each class, in the order of the labels |
| `latents_classes` | the attributes of each image, as in dSprites |
| `names`, with `images` in an `.npz` file | a file name per image, to find it in `attributes.csv` |

Images are (N, H, W), (N, H, W, C) or (N, C, H, W). The channels are the one dimension of at most 4;
if both the second and the last are, the array is refused, and so is an array that is likelier one
picture. Four channels are red, green, blue and alpha, unless `ground="keep"` says otherwise.

Values become levels as in `pyro_vae.data.levels`, for all parts alike. Labels are whole numbers (-1
for an unknown class), words, or one-hot rows; several labels for each image become attributes. An
`.npy` file that is too large for memory is read batch by batch; other files must fit. Images
without names of their own are named after the file and their row in it, from 0: `scans.npy#12`, or
`scans.npz/train_images#12` where there are several parts. A file `attributes.csv` beside an `.npz`
file is read by `pyro_vae.data.readers.attributes`.
"""

import math
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
from pyro_vae.data.decisions import Decisions, Range
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.levels import (
    BYTES,
    Extent,
    extent_of,
    kind_of,
    natural_range,
    stretch_range,
    tell_range,
    to_levels,
    unclear,
    warn_of_plain,
)
from pyro_vae.data.messages import DataError, escaped, say, shown_path, warn
from pyro_vae.data.options import AUTO, LoadOptions
from pyro_vae.data.readers.array_files import COPIES, check_header, read_arrays
from pyro_vae.data.readers.attributes import read_table
from pyro_vae.data.readers.grounds import on_ground
from pyro_vae.data.readers.labels import Labels, read_labels, to_names
from pyro_vae.data.readers.layouts import to_nchw
from pyro_vae.data.splits import divided, shuffled
from pyro_vae.data.streams import Stream

#: The prefixes of the arrays of each part.
_PREFIXES = {"train": ("train_",), "test": ("test_",), "validation": ("val_", "validation_")}
_IMAGES, _LABELS = ("images", "imgs"), ("labels", "latents_classes")
#: The arrays that are read of a file; others are left alone.
_WANTED = (
    *(
        f"{prefix}{key}"
        for prefixes in _PREFIXES.values()
        for prefix in prefixes
        for key in ("images", "labels")
    ),
    *(*_IMAGES, *_LABELS, "class_names", "names"),
)
#: The part of images that are still to be divided.
_WHOLE = "all"


def load_arrays(path: Path, options: LoadOptions) -> Dataset:
    """Load the images of an array file, as this module's docstring describes.

    Raises:
        DataError: the file cannot be read, or its content does not fit that description.
    """
    name = shown_path(path.stem)
    if path.suffix == ".npy" and (found := _stream(path, options)) is not None:
        stream, decisions = found
        data = _with_rows(ImageData(stream, source=shown_path(path)), path.name)
        return _drawn(name, data, decisions, options)
    content = read_arrays(path, _WANTED, options)
    keys = _image_keys(content, path, options)
    parts, decisions = _parts(content, keys, path, options)
    for part, images in parts.items():
        file = path.name if len(parts) == 1 else f"{path.name}/{keys[part]}"
        parts[part] = _with_rows(images, file)
    if _WHOLE not in parts:
        decisions = replace(decisions, parts={part: keys[part] for part in parts})
        train = _shuffled_if_sorted(parts["train"], options.seed)
        return Dataset(name, train, parts["test"], parts.get("validation"), decisions)
    dataset = _drawn(name, parts[_WHOLE], decisions, options, keys[_WHOLE])
    return replace(dataset, validation=parts.get("validation"))


def _drawn(
    name: str, data: ImageData, decisions: Decisions, options: LoadOptions, key: str = "images"
) -> Dataset:
    dataset = divided(name, data, options)
    parts = {"train": key, "test": "drawn by seed"} if dataset.divided else {"test": key}
    return replace(dataset, decisions=replace(decisions, parts=parts))


def _with_rows(images: ImageData, file: str) -> ImageData:
    """Name images after their rows in a file, unless they have names."""
    if images.names is not None:
        return images
    shown = shown_path(file)
    return replace(images, names=tuple(f"{shown}#{row}" for row in range(len(images))))


def _image_keys(content: Mapping[str, Any], path: Path, options: LoadOptions) -> dict[str, str]:
    """Return the key of the images of each part, or of those that are to be divided."""
    found = {
        part: f"{prefix}images"
        for part, prefixes in _PREFIXES.items()
        for prefix in prefixes
        if f"{prefix}images" in content
    }
    if options.given.rules == 1:
        found.pop("validation", None)
    if "train" in found and "test" in found:
        return {part: found[part] for part in _PREFIXES if part in found}
    if "test" in found and not options.divide:
        return {_WHOLE: found["test"]}
    if "train" in found:
        if "validation" in found and options.divide:
            say(f"{path}: {found['validation']} validates, and a test part is drawn by seed")
        return {_WHOLE: found["train"]} | {
            part: key for part, key in found.items() if part == "validation"
        }
    key = next((key for key in _IMAGES if key in content), None)
    if key is None:
        listed = ", ".join(content) or "nothing"
        raise DataError(
            f"{path} holds {listed}: name the images `images`, or `train_images` and `test_images`"
        )
    return {_WHOLE: key}


def _parts(
    content: dict[str, Any], keys: Mapping[str, str], path: Path, options: LoadOptions
) -> tuple[dict[str, ImageData], Decisions]:
    """Make the images of each part, treated alike."""
    lone = len(keys) == 1 and keys.get(_WHOLE) in _IMAGES
    labels = _labels(content, keys, path, options)
    counts = {part: _count(content, part, labels) for part in keys} if lone else {}
    # Popped, so that an array as read is freed before the images are split.
    raw = {part: content.pop(key) for part, key in keys.items()}
    whats = {part: f"{path.name}: {key}" for part, key in keys.items()}
    images, decisions = _images(raw, whats, counts, options)
    listed = content.get("class_names")
    class_names = labels.class_names
    if listed is not None:
        shown = to_names(np.asarray(listed), f"{path.name}: class_names")
        class_names = tuple(escaped(name) for name in shown)
    found: dict[str, ImageData] = {}
    for part, each in images.items():
        try:
            found[part] = ImageData(
                each,
                labels.labels.get(part),
                class_names,
                labels.attributes.get(part),
                source=shown_path(path),
            )
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    if keys.get(_WHOLE) in _IMAGES and path.suffix == ".npz":
        found[_WHOLE] = _with_table(found[_WHOLE], path, content)
    return found, replace(decisions, class_names=class_names)


def _count(content: Mapping[str, Any], part: str, labels: Labels) -> int:
    """Return the number of images that an array's labels or names state, or 0."""
    if part in labels.labels:
        return len(labels.labels[part])
    if part in labels.attributes:
        return len(next(iter(labels.attributes[part].values()), ()))
    names = content.get("names")
    return 0 if names is None or np.ndim(names) != 1 else len(names)


def _labels(
    content: Mapping[str, Any], keys: Mapping[str, str], path: Path, options: LoadOptions
) -> Labels:
    named: dict[str, str] = {}
    for part, key in keys.items():
        prefix = key.removesuffix("images") if key.endswith("images") else ""
        candidates = (f"{prefix}labels",) if prefix else _LABELS
        present = [each for each in candidates if content.get(each) is not None]
        if present:
            named[part] = present[0]
    arrays = {part: content[key] for part, key in named.items()}
    return read_labels(arrays, named, path.name, options.given.class_names)


def _with_table(data: ImageData, path: Path, content: Mapping[str, Any]) -> ImageData:
    """Add the names of the images, and the attributes beside the file."""
    listed = content.get("names")
    names = None if listed is None else to_names(np.asarray(listed), f"{path.name}: names")
    table = path.with_name("attributes.csv")
    attributes = read_table(table, len(data), names) if os.path.lexists(table) else None
    if names is not None and len(names) != len(data):
        warn(f"{path}: there are {len(names)} names for {len(data)} images: they are not used")
        names = None
    return replace(
        data,
        attributes={**(data.attributes or {}), **(attributes or {})} or None,
        names=None if names is None else tuple(escaped(name) for name in names),
    )


def _images(
    raw: dict[str, Any], whats: Mapping[str, str], counts: Mapping[str, int], options: LoadOptions
) -> tuple[dict[str, Tensor | Stream], Decisions]:
    """Convert the arrays of all parts to uint8, (N, C, H, W), by the same decisions."""
    given = options.given
    views: dict[str, np.ndarray] = {}
    for part in list(raw):
        array = np.asarray(raw.pop(part))
        if array.size == 0:
            raise DataError(f"{whats[part]} has shape {array.shape}: there are no images in it")
        count = None if given.rules == 1 else counts.get(part)
        views[part] = to_nchw(array, whats[part], count)
    limits, decisions = _limits(views, whats, given, options)
    levels: dict[str, Tensor | Stream] = {}
    for part in list(views):
        converted = to_levels(views.pop(part), limits[part])
        levels[part] = torch.from_numpy(np.ascontiguousarray(converted))
    what = next(iter(whats.values()))
    images, ground = on_ground(levels, given, what)
    for part, each in images.items():
        if isinstance(each, Tensor):
            warn_of_plain(each, whats[part], decisions.ranges)
    channels = next(iter(images.values())).shape[1]
    return images, replace(decisions, ground=ground, channels=int(channels))


def _limits(
    views: Mapping[str, np.ndarray],
    whats: Mapping[str, str],
    given: Decisions,
    options: LoadOptions,
) -> tuple[dict[str, tuple[float, float]], Decisions]:
    """Decide for each part which values become levels 0 and 255, from all parts together."""
    if given.rules == 1 and len(views) > 1:  # Version 0.2 decided for each part alone.
        alone = replace(options, decisions=given)
        each = {p: _limits({p: view}, whats, given, alone)[0][p] for p, view in views.items()}
        return each, given
    extents: dict[str, Extent] = {}
    kinds = {part: kind_of(_number_type(view, whats[part])) for part, view in views.items()}
    for part, view in views.items():
        kind = kinds[part]
        # Of bytes, it is only asked whether they are binary.
        plain = kind == "uint8" and given.ranges.get(kind, BYTES) == BYTES
        stretched = options.stretch or given.stretch
        extent = extent_of(view, whats[part], enough=1 if plain and not stretched else math.inf)
        extents[kind] = extent.joined(extents.get(kind))
    if options.stretch == AUTO:
        given = replace(given, stretch=stretch_range(extents))
    ranges = dict(given.ranges)
    for kind, extent in extents.items():
        what = next(whats[part] for part in views if kinds[part] == kind)
        natural = ranges.get(kind) or natural_range(kind, extent)
        chosen = given.stretch or natural
        if chosen is None:
            dtype = next(str(view.dtype) for part, view in views.items() if kinds[part] == kind)
            raise unclear(what, dtype, extent)
        if natural is not None:
            ranges[kind] = natural
        tell_range(what, kind, extent, chosen, chosen=given.stretch is not None)
    limits = {part: given.stretch or ranges[kind] for part, kind in kinds.items()}
    return limits, replace(given, ranges=ranges)


def _number_type(array: np.ndarray, what: str) -> np.dtype:
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{what} holds {array.dtype}: images are bytes or floats in [0, 1]; convert it first"
        )
    return array.dtype


def to_images(array: np.ndarray, what: str) -> np.ndarray:
    """Convert images of any accepted layout and type to uint8, (N, C, H, W).

    Args:
        array: the images, as this module's docstring describes; four channels are kept.
        what: the name of the array in messages.

    Raises:
        DataError: the layout or the values do not fit that description.
    """
    options = LoadOptions(ground="keep")
    images, _ = _images({_WHOLE: array}, {_WHOLE: what}, {}, options)
    return np.asarray(images[_WHOLE])


def _stream(path: Path, options: LoadOptions) -> tuple[Stream, Decisions] | None:
    """Return the images of an `.npy` file as a stream, or None if they go into memory."""
    try:
        reader = ArrayReader(path, _state(path))
        array = reader.array
    except Exception:  # `read_arrays` reports what is wrong with it.
        return None
    if array.size == 0:
        return None
    given, what = options.given, f"{path.name}: images"
    images = to_nchw(array, what, None if given.rules == 1 else 0)
    copies = COPIES - 1 + array.itemsize  # In memory, the file as it is would be one of them.
    if not should_stream(len(images), images.shape[1:], options, str(path), copies):
        return None
    limits, given = _limits({_WHOLE: images}, {_WHOLE: what}, given, options)
    reader = replace(reader, limits=limits[_WHOLE])
    stream = Stream(reader, torch.arange(len(images), device="cpu"))
    found_parts, ground = on_ground({_WHOLE: stream}, given, what)
    grounded = found_parts[_WHOLE]
    assert isinstance(grounded, Stream)
    sample = torch.arange(0, len(images), max(1, len(images) // 1000), device="cpu")
    warn_of_plain(grounded[sample], what, given.ranges)
    channels = int(grounded.shape[1])
    return grounded, replace(given, ground=ground, channels=channels)


def _state(path: Path) -> tuple[int, int]:
    """Return what tells whether a file has changed: its size and the time of its last change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """A callable that reads the images at some positions of an `.npy` file as levels.

    It returns uint8, (n, C, H, W).
    """

    path: Path
    state: tuple[int, int]
    """The size of the file, and the time of its last change, when it was found."""
    limits: Range = BYTES
    """The values that become levels 0 and 255."""

    @cached_property
    def array(self) -> np.ndarray:
        """The file's content, mapped into memory: the system reads a part when it is used."""
        with open_regular(self.path) as file:
            check_header(file, os.fstat(file.fileno()).st_size)
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __call__(self, positions: Tensor) -> Tensor:
        self._require_unchanged()  # The system would end a program that reads past a file's end.
        taken = to_nchw(self.array, self.path.name)[positions.numpy()]
        return torch.from_numpy(np.ascontiguousarray(to_levels(taken, self.limits)))

    def _require_unchanged(self) -> None:
        try:
            unchanged = _state(self.path) == self.state
        except OSError:
            unchanged = False
        if not unchanged:
            raise DataError(f"{self.path} was changed while its images were in use: start again")

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens the file itself.
        return {"path": self.path, "state": self.state, "limits": self.limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _shuffled_if_sorted(data: ImageData, seed: int) -> ImageData:
    """Shuffle images that are sorted by class, because a validation split takes the last ones."""
    labels = data.labels
    if labels is None or labels[0] == labels[-1] or (labels.diff() < 0).any():
        return data
    say("the training images are sorted by class: they are shuffled, in an order fixed by the seed")
    return data.select(shuffled(len(data), seed))
