"""CIFAR-10 from torchvision's files, found or downloaded, and verified by torchvision's md5s."""

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from pyro_vae.data.downloads._torchvision import import_torchvision
from pyro_vae.data.downloads.places import (
    Place,
    data_folder,
    download_folder,
    fetch,
    first_that_works,
    search_folders,
    socket_timeout,
)
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError, NotFound, say
from pyro_vae.data.options import LoadOptions

NAME = "cifar10"
FOLDER = "cifar-10-batches-py"  # torchvision's name for the unpacked archive


def load_cifar10(data_dir: str | Path | None, options: LoadOptions) -> Dataset:
    """Load CIFAR-10, (50,000 + 10,000) × 3 × 32 × 32.

    Raises:
        DataError: no place has it; the message lists what was tried, and why each failed.
    """
    asked = data_folder(data_dir)
    target = download_folder(asked) / FOLDER
    remedy = (
        f"unpack cifar-10-python.tar.gz so that {target} is there, or connect this machine to the "
        "network and run again, or give the path of an .npz of images" + _nearby(asked)
    )
    return first_that_works(NAME, _places(asked, target), remedy)


def _nearby(asked: Path) -> str:
    """Name an array file that lies where CIFAR-10 was looked for; it may be only a part of it."""
    found = [path for folder in search_folders(asked) for path in folder.glob(f"{NAME}/*.npz")]
    return f", such as {found[0]}" if found else ""


def _places(asked: Path, target: Path) -> Iterator[Place[Dataset]]:
    for folder in search_folders(asked):
        yield Place(str(folder / FOLDER), partial(read_folder, folder / FOLDER))
    read = partial(read_folder, origin=str(target))
    download = partial(fetch, asked, FOLDER, download_with_torchvision, read)
    yield Place("torchvision's download", download)


def download_with_torchvision(temporary: Path) -> Path:
    """Let torchvision download and unpack into `temporary`; return the unpacked folder."""
    datasets = import_torchvision().datasets
    say(f"downloading {NAME} with torchvision (170 MB)")
    with socket_timeout():
        datasets.CIFAR10(temporary, download=True)
    return temporary / FOLDER


def read_folder(folder: Path, origin: str | None = None) -> Dataset:
    """Read the files in `folder`.

    Args:
        folder: the unpacked archive.
        origin: the folder that `source` names, if the files are about to be moved there.

    Raises:
        NotFound: there is no such folder.
        DataError: a file in it is missing or damaged.
    """
    if not folder.is_dir():
        raise NotFound("no such folder")
    source = f"{NAME}, {origin or folder}"
    return Dataset(NAME, _read_part(folder, True, source), _read_part(folder, False, source))


def _read_part(folder: Path, train: bool, source: str) -> ImageData:
    try:
        with warnings.catch_warnings():
            # The files are pickles of an old NumPy, of which a new one warns.
            warnings.simplefilter("ignore")
            part = import_torchvision().datasets.CIFAR10(folder.parent, train=train)
    except RuntimeError as error:
        raise DataError(f"a file in it is missing or damaged ({error})") from error
    return ImageData(
        images=torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor(part.targets, dtype=torch.int64),
        class_names=tuple(part.classes),
        source=source,
    )


LOADERS = {NAME: load_cifar10}
