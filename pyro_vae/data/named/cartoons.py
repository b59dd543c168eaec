"""Cartoon Set: avatars with 18 attributes, from the published folders or from an array.

The published archives (10k or 100k avatars, https://google.github.io/cartoonset/) unpack to a
folder of `csNNN.png`, each with a `csNNN.csv` of its attributes; the larger one distributes them
over sub-folders that have no meaning.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyro_vae.data.downloads.places import Place, data_folder, first_that_works, search_folders
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, NotFound, some
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.arrays import load_arrays
from pyro_vae.data.readers.attributes import read_per_image
from pyro_vae.data.readers.image_files import UNDIVIDED, ImageFiles, read_parts

NAME = "cartoonset"
FOLDERS = ("cartoonset", "cartoonset10k", "cartoonset100k")


def load_cartoons(data_dir: str | Path | None, options: LoadOptions) -> Dataset:
    """Load Cartoon Set, N × 3 × H × W with `attributes`; its test part is drawn by seed.

    Raises:
        DataError: no place has it; the message lists what was tried, and what to do.
    """
    folder = data_folder(data_dir)
    remedy = (
        "get cartoonset10k.tgz or cartoonset100k.tgz from https://google.github.io/cartoonset/ "
        f"and unpack it in {folder}, or give the path of its folder or of an .npz of images"
    )
    return first_that_works(NAME, _places(folder, options), remedy)


def _places(asked: Path, options: LoadOptions) -> Iterator[Place[Dataset]]:
    for folder in search_folders(asked):
        for name in FOLDERS:
            yield Place(str(folder / name), partial(read_place, folder / name, options))


def read_place(folder: Path, options: LoadOptions) -> Dataset:
    """Load the `.npz` file in a folder, or its avatars if there is none.

    Raises:
        NotFound: the folder holds neither.
        DataError: it holds several `.npz` files, or avatars that cannot be read.
    """
    arrays = sorted(folder.glob("*.npz"))
    if len(arrays) > 1:
        found = some([path.name for path in arrays])
        raise DataError(f"holds several arrays ({found}): give the path of one")
    if arrays:
        return load_arrays(arrays[0], options)
    if not is_cartoon_folder(folder):
        raise NotFound("holds no avatars" if folder.is_dir() else "no such folder")
    return load_cartoon_folder(folder, options)


def is_cartoon_folder(folder: Path) -> bool:
    """Whether a folder is a published one: every image has a CSV file of attributes."""
    return any(path.with_suffix(".png").exists() for path in folder.rglob("cs*.csv"))


def load_cartoon_folder(folder: Path, options: LoadOptions) -> Dataset:
    """Load a published folder; the test part is drawn by seed.

    Raises:
        DataError: an avatar or its attributes cannot be read, or an avatar occurs twice.
    """
    paths = sorted(folder.rglob("cs*.png"))
    _refuse_twice(paths, folder)
    attributes = read_per_image([path.with_suffix(".csv") for path in paths])
    listed = {UNDIVIDED: ImageFiles.of(paths, attributes=attributes)}
    return read_parts(NAME, listed, options, folder)


def _refuse_twice(paths: list[Path], folder: Path) -> None:
    """Refuse two copies of an avatar: with one in each part, the test would reward memory."""
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(path.name, path)
        if other is not path:
            raise DataError(
                f"{folder} holds {path.name} twice, in {other.parent} and in {path.parent}: give "
                "the path of one of them"
            )


LOADERS = {NAME: load_cartoons}
