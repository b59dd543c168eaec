"""A folder of image files.

* Sub-folders are classes, to which images deeper inside belong; without sub-folders there are no
  labels. `train/` and `test/` are the two parts, with or without classes inside.
* Unless chosen, there is 1 channel if every image is gray, and there are 3 otherwise.
* Unless chosen, the size is that of the images if they all have the same, and otherwise a square
  whose side is the median of their shorter sides. Images of another size are cropped to the center
  in its proportions, then resized.
* Transparent images are put on white, EXIF rotations are applied, and 16-bit levels are scaled to 8
  bits. The first of several frames is used.
* The order is shuffled by seed, so that the last images are a fair sample.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, reason, say, shown_path, some, warn
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.image_files import ImageFiles, read_parts
from pyro_vae.data.readers.image_formats import SUFFIXES
from pyro_vae.data.splits import held_out_count, shuffled


def load_folder(folder: Path, options: LoadOptions) -> Dataset:
    """Load the images of a folder, as this module's docstring describes.

    Raises:
        DataError: there are fewer than 2 images, some cannot be read and are not to be skipped, or
            some lie outside the classes.
    """
    name = shown_path(folder.resolve().name)
    train, test = list_parts(folder, name, options)
    return read_parts(name, train, test, options, source=shown_path(folder))


def list_parts(folder: Path, name: str, options: LoadOptions) -> tuple[ImageFiles, ImageFiles]:
    """List the files of both parts: of `train/` and `test/`, or all files, divided by seed.

    Raises:
        DataError: only one of `train/` and `test/` is there, or as `list_files`.
    """
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        _log_unused(folder)
        names = _class_names(folder / "train") or _class_names(folder / "test")
        train = list_files(folder / "train", names)
        order = shuffled(len(train), options.seed)
        return train.select(order), list_files(folder / "test", names)
    if (folder / "train").is_dir() or (folder / "test").is_dir():
        raise DataError(f"{folder} has only one of train/ and test/: add the other, or rename it")
    return divide(list_files(folder, _class_names(folder)), name, options)


def divide(files: ImageFiles, name: str, options: LoadOptions) -> tuple[ImageFiles, ImageFiles]:
    """Divide files into (train, test) by seed, as `splits.split_by_seed` divides images."""
    held_out = held_out_count(name, len(files), options.test_fraction)
    order = shuffled(len(files), options.seed)
    return files.select(order[held_out:]), files.select(order[:held_out])


def list_files(folder: Path, class_names: tuple[str, ...]) -> ImageFiles:
    """List the image files of a folder, sorted, and labeled by sub-folder if there are classes.

    Raises:
        DataError: there are none, or some lie outside the classes.
    """
    paths = sorted(_image_files(folder))
    if not paths:
        raise DataError(
            f"{folder} holds no images: files that end in {', '.join(SUFFIXES)} are looked for"
        )
    if not class_names:
        return ImageFiles(paths)
    number = {name: index for index, name in enumerate(class_names)}
    homes = [path.relative_to(folder).parts[0] for path in paths]
    strays = [str(path) for path, home in zip(paths, homes, strict=True) if home not in number]
    if strays:
        raise DataError(
            f"{folder} has the classes {some(list(class_names))}, but these images are in none of "
            f"them: {some(strays)}; move them into a class, or all images into one folder"
        )
    if len(class_names) == 1:
        warn(f"{folder} has one class only, {class_names[0]!r}: every label is 0")
    labels = torch.tensor([number[home] for home in homes])
    return ImageFiles(paths, labels, tuple(shown_path(name) for name in class_names))


def _image_files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=_warn_of, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [name for name in folders if not _skip(Path(here, name), seen)]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(here, name)


def _warn_of(error: OSError) -> None:
    warn(f"{error.filename} cannot be read ({reason(error)}): its images are left out")


def _skip(folder: Path, seen: set[str]) -> bool:
    """Whether a folder is hidden, or a link to one that was already walked through."""
    return folder.name.startswith(".") or os.path.realpath(folder) in seen


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the sub-folders that hold images, sorted."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    visible = [path for path in inside if not path.name.startswith(".")]
    return tuple(path.name for path in visible if any(_image_files(path)))


def _log_unused(folder: Path) -> None:
    """Log which images are neither in train/ nor in test/."""
    inside = [path.relative_to(folder) for path in _image_files(folder)]
    unused = sorted(str(path) for path in inside if path.parts[0] not in ("train", "test"))
    if unused:
        say(f"{folder}: only train/ and test/ are used, not {some(unused, 3)}")
