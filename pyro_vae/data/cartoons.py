"""Cartoon Set: avatars with 18 attributes, from the published folders or from an array.

The published archives (10k or 100k avatars, https://google.github.io/cartoonset/) unpack to a
folder of `csNNN.png`, each with a `csNNN.csv` of its attributes; the larger one spreads them over
sub-folders that mean nothing.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyro_vae.data.arrays import load_arrays
from pyro_vae.data.attributes import read_per_image
from pyro_vae.data.files import ImageFiles, read_parts
from pyro_vae.data.folders import divide
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, NotThere
from pyro_vae.data.settings import Settings
from pyro_vae.data.sources import Place, data_folder, first_that_works, search_folders

NAME = "cartoonset"
FOLDERS = ("cartoonset", "cartoonset10k", "cartoonset100k")


def load_cartoons(data_dir: str | Path | None, settings: Settings) -> Dataset:
    """Cartoon Set, N × 3 × H × W with `attributes`, test split by seed.

    Raises:
        DataError: no place has it; lists what was tried, and what to do.
    """
    folder = data_folder(data_dir)
    remedy = (
        "get cartoonset10k.tgz or cartoonset100k.tgz from https://google.github.io/cartoonset/ "
        f"and unpack it in {folder}, or give the path of its folder or of an .npz of images"
    )
    return first_that_works(NAME, _places(folder, settings), remedy)


def _places(asked: Path, settings: Settings) -> Iterator[Place[Dataset]]:
    for folder in search_folders(asked):
        for name in FOLDERS:
            yield Place(str(folder / name), partial(read_place, folder / name, settings))


def read_place(folder: Path, settings: Settings) -> Dataset:
    """The one `.npz` in a folder, else its avatars.

    Raises:
        NotThere: the folder holds neither.
        DataError: it holds several `.npz` files, or avatars that cannot be read.
    """
    arrays = sorted(folder.glob("*.npz"))
    if len(arrays) > 1:
        found = ", ".join(path.name for path in arrays)
        raise DataError(f"holds several arrays ({found}): give the path of one")
    if arrays:
        return load_arrays(arrays[0], settings)
    if not is_cartoon_folder(folder):
        raise NotThere("holds no avatars" if folder.is_dir() else "no such folder")
    return load_cartoon_folder(folder, settings)


def is_cartoon_folder(folder: Path) -> bool:
    """Whether this is a published folder: images with a CSV file of attributes each."""
    return any(path.with_suffix(".png").exists() for path in folder.rglob("cs*.csv"))


def load_cartoon_folder(folder: Path, settings: Settings) -> Dataset:
    """A published folder, its test part drawn by seed.

    Raises:
        DataError: an avatar or its attributes cannot be read, or an avatar is there twice.
    """
    paths = sorted(folder.rglob("cs*.png"))
    _refuse_twice(paths, folder)
    attributes = read_per_image([path.with_suffix(".csv") for path in paths])
    train, test = divide(ImageFiles(paths, attributes=attributes), NAME, settings)
    return read_parts(NAME, train, test, settings, source=str(folder))


def _refuse_twice(paths: list[Path], folder: Path) -> None:
    """Two copies of an avatar, one to train on and one to test with, would judge memory."""
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(path.name, path)
        if other is not path:
            raise DataError(
                f"{folder} holds {path.name} twice, in {other.parent} and in {path.parent}: give "
                "the path of one of them"
            )
