"""A folder of image files.

* Sub-folders are classes, images deeper inside belong to them; without sub-folders there are no
  labels. `train/` and `test/` are the two parts, with or without classes inside.
* Channels, unless chosen: 1 if every image is grey, else 3.
* Size, unless chosen: the images' own if all have the same; else a square with the median of their
  shorter sides. Other images are cropped to the centre in its proportions, then resized.
* Transparent images are put on white, EXIF rotations applied, 16-bit levels brought to 8 bits; of
  several frames the first is taken.
* The order is by seed, so that the last images are as good a sample as any.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from pyro_vae.data.files import ImageFiles, read_parts
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, say, some, warn
from pyro_vae.data.settings import Settings
from pyro_vae.data.splits import shuffled, test_count

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)


def load_folder(folder: Path, settings: Settings) -> Dataset:
    """The images of a folder, as the module's docstring says.

    Raises:
        DataError: there are no images, fewer than 2, unreadable ones that are not to be skipped,
            or classes that cannot be told.
    """
    name = folder.resolve().name
    train, test = list_parts(folder, name, settings)
    return read_parts(name, train, test, settings, source=str(folder))


def list_parts(folder: Path, name: str, settings: Settings) -> tuple[ImageFiles, ImageFiles]:
    """(train, test): the sub-folders of these names, else all files, divided by seed."""
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        _note_left_aside(folder)
        names = _class_names(folder / "train") or _class_names(folder / "test")
        train = list_files(folder / "train", names)
        order = shuffled(len(train), settings.seed)
        return train.select(order), list_files(folder / "test", names)
    if (folder / "train").is_dir() or (folder / "test").is_dir():
        raise DataError(f"{folder} has only one of train/ and test/: add the other, or rename it")
    return divide(list_files(folder, _class_names(folder)), name, settings)


def divide(files: ImageFiles, name: str, settings: Settings) -> tuple[ImageFiles, ImageFiles]:
    """(train, test), drawn by seed as `splits.split_by_seed` does."""
    held_out = test_count(name, len(files), settings.test_fraction)
    order = shuffled(len(files), settings.seed)
    return files.select(order[held_out:]), files.select(order[:held_out])


def list_files(folder: Path, class_names: tuple[str, ...]) -> ImageFiles:
    """The image files of a folder, sorted; labelled by their sub-folder if there are classes.

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
    return ImageFiles(paths, torch.tensor([number[home] for home in homes]), class_names)


def _image_files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [name for name in folders if not _skip(Path(here, name), seen)]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(here, name)


def _skip(folder: Path, seen: set[str]) -> bool:
    """Hidden folders, and links back to one that was walked through: they never end."""
    return folder.name.startswith(".") or os.path.realpath(folder) in seen


def _class_names(folder: Path) -> tuple[str, ...]:
    """The sub-folders that hold images, sorted."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    visible = [path for path in inside if not path.name.startswith(".")]
    return tuple(path.name for path in visible if any(_image_files(path)))


def _note_left_aside(folder: Path) -> None:
    """Say which images are neither in train/ nor in test/."""
    inside = [path.relative_to(folder) for path in _image_files(folder)]
    aside = sorted(str(path) for path in inside if path.parts[0] not in ("train", "test"))
    if aside:
        say(f"{folder}: only train/ and test/ are used, not {some(aside, 3)}")
