"""A folder of image files, or one file of images.

* Sub-folders are classes, to which images deeper inside belong; without sub-folders there are no
  labels. `train/` and `test/` (or `training/` and `testing/`) are the two parts, with or without
  classes inside, and `val/`, `valid/`, `validation/` or `dev/` beside them is the validation part.
  Upper and lower case are the same. A class that only one part has is a class of all.
* Unless chosen, there is 1 channel if no image has colors, and there are 3 otherwise.
* Unless chosen, the size is that of the images if they all have the same, and otherwise a square
  whose side is the median of their shorter sides. Images of another size are cropped to the center
  in its proportions, then resized.
* Every frame of a stack or a film is an image, unless `frames="first"` is chosen. Frames of several
  sizes are a picture and its previews: the first is used.
* Transparent images are put on white, or on black or gray if more is seen on it; EXIF rotations are
  applied; values become levels as in `pyro_vae.data.levels`, for all parts alike.
* The order is shuffled by seed, so that the last images are a fair sample. Frames of one file stay
  together, and in one part: they resemble each other. Of a single file, the last ones are the test
  part.

Whatever is decided is said in a line, and kept in `Dataset.decisions`.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from pyro_vae.data.images import UNKNOWN, Dataset
from pyro_vae.data.messages import DataError, reason, say, shown_path, some, warn
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.image_files import UNDIVIDED, ImageFiles, read_parts
from pyro_vae.data.readers.image_formats import SUFFIXES

#: What file managers leave in folders.
SYSTEM_FILES = ("thumbs.db", "desktop.ini")

#: The names of the folders of each part, in lower case.
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation", "dev"),
}


def load_folder(folder: Path, options: LoadOptions) -> Dataset:
    """Load the images of a folder, as this module's docstring describes.

    Raises:
        DataError: there are fewer than 2 images, some cannot be read and are not to be skipped, or
            some lie outside the classes.
    """
    name = shown_path(folder.resolve().name)
    found = part_folders(folder, options)
    if len(found) < 2:
        whole = next(iter(found.values()), folder)
        classes = _all_classes([whole], options)
        listed = {UNDIVIDED: list_files(whole, classes)}
        return read_parts(name, listed, options, folder)
    classes = _all_classes(list(found.values()), options)
    listed = {part: _list_part(part, place, classes) for part, place in found.items()}
    _tell_parts(folder, found)
    _tell_lone_classes(folder, found, classes)
    places = {part: f"{shown_path(place.name)}/" for part, place in found.items()}
    return read_parts(name, listed, options, folder, places)


def load_image_file(path: Path, options: LoadOptions) -> Dataset:
    """Load the image, or the frames, of a file.

    Raises:
        DataError: it cannot be read, or holds one image, which is to be divided.
    """
    listed = {UNDIVIDED: ImageFiles.of([path])}
    return read_parts(shown_path(path.stem), listed, options, path.parent, source=shown_path(path))


def part_folders(folder: Path, options: LoadOptions) -> dict[str, Path]:
    """Return the folder of each part that a folder has; none if its images are not divided.

    Only one of the training and the test part is enough where nothing is to be divided.

    Raises:
        DataError: only one of the training and the test part is there, or one part is there twice.
    """
    found: dict[str, Path] = {}
    old = options.given.rules == 1
    for path in sorted(each for each in folder.iterdir() if each.is_dir()):
        name = path.name if old else path.name.lower()
        part = next(
            (p for p, names in PARTS.items() if name in (names[:1] if old else names)), None
        )
        if part is None or (old and part == "validation"):
            continue
        if part in found and part != "validation":
            raise DataError(
                f"{folder} has {found[part].name}/ and {path.name}/, which are both its {part} "
                "part: rename or remove one"
            )
        if part in found:
            warn(f"{folder}: {found[part].name}/ validates, and {path.name}/ is left aside")
            continue
        found[part] = path
    sides = [part for part in ("train", "test") if part in found]
    if len(sides) == 1:
        lone = found[sides[0]]
        if not options.divide:
            return {sides[0]: lone}
        raise DataError(
            f"{folder} has only one of train/ and test/, {lone.name}/: add the other, or rename it"
        )
    if not sides:
        return {}  # A folder `val` or `dev` without them is a class like any other.
    return {part: found[part] for part in PARTS if part in found}


def _all_classes(folders: list[Path], options: LoadOptions) -> tuple[str, ...]:
    """Return the classes of all parts: first those of the record, then the others, sorted."""
    if options.given.rules == 1:  # Those of the first part that has any.
        return next((names for names in map(_class_names, folders) if names), ())
    here = sorted({name for folder in folders for name in _class_names(folder)})
    if not here:
        return ()
    recorded = options.given.class_names or ()
    of_shown = {shown_path(name): name for name in here}
    known = [of_shown.get(name, name) for name in recorded]
    return (*known, *(name for name in here if name not in known))


def _list_part(part: str, place: Path, classes: tuple[str, ...]) -> ImageFiles:
    """List the files of a part; a validation part without classes has labels of -1, unknown."""
    if part != "validation" or not classes or _class_names(place):
        return list_files(place, classes)
    files = list_files(place, ())
    say(f"{place}: its images are in no class: their labels are -1, unknown")
    shown = tuple(shown_path(name) for name in classes)
    return replace(
        files, labels=torch.full((len(files),), UNKNOWN, device="cpu"), class_names=shown
    )


def _tell_parts(folder: Path, found: dict[str, Path]) -> None:
    """Say which folder is which part, and which images are in none."""
    named = ", ".join(f"{path.name}/ is the {part} part" for part, path in found.items())
    say(f"{folder}: {named}")
    used = {path.name for path in found.values()}
    inside = [path.relative_to(folder) for path in _image_files(folder)]
    unused = sorted(str(path) for path in inside if path.parts[0] not in used)
    if unused:
        listed = " and ".join(f"{path.name}/" for path in found.values())
        say(f"{folder}: only {listed} are used, not {some(unused, 3)}")


def _tell_lone_classes(folder: Path, found: dict[str, Path], classes: tuple[str, ...]) -> None:
    """Warn of classes that the training part lacks, or that it alone has."""
    of_part = {part: set(_class_names(path)) for part, path in found.items()}
    for part in of_part:
        others = [of_part[other] for other in of_part if other != part]
        lone = sorted(of_part[part].difference(*others)) if of_part[part] else []
        if lone and part != "train":
            warn(f"{folder}: only the {part} part has images of {some(lone)}")


def list_files(folder: Path, class_names: tuple[str, ...]) -> ImageFiles:
    """List the image files of a folder, sorted, and labeled by sub-folder if there are classes.

    Raises:
        DataError: there are none, or some lie outside the classes.
    """
    files = sorted(_visible_files(folder))
    paths = [path for path in files if _is_image(path)]
    others = [path for path in files if not _is_image(path)]
    beside = some([str(path.relative_to(folder)) for path in others])
    if not paths:
        found = f", and not {beside}" if others else ""
        known = ", ".join(SUFFIXES)
        raise DataError(
            f"{folder} holds no images: files that end in {known} are looked for{found}"
        )
    if others:
        say(f"{folder}: what is not an image is left out: {beside}")
    if not class_names:
        return ImageFiles.of(paths)
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
    labels = torch.tensor([number[home] for home in homes], device="cpu")
    shown = tuple(shown_path(name) for name in class_names)
    return ImageFiles.of(paths, labels=labels, class_names=shown)


def _image_files(folder: Path) -> Iterator[Path]:
    return filter(_is_image, _visible_files(folder))


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its sub-folders, but for those of the system."""
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=_warn_of, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [name for name in folders if not _skip(Path(here, name), seen)]
        for name in files:
            if not name.startswith(".") and name.lower() not in SYSTEM_FILES:
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
