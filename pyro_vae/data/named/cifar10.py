"""CIFAR-10 from torchvision's files, found or downloaded, and verified by torchvision's md5s.

The files are pickles. Nothing but arrays and plain values is taken from them: no code is run.
"""

import codecs
import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_vae._files import open_regular
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
from pyro_vae.data.messages import DataError, NotFound, one_line, say, shown_path
from pyro_vae.data.options import LoadOptions

NAME = "cifar10"
_LARGEST = 2**26  # bytes of a file; a real one holds 31 MB
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
    cifar = datasets.CIFAR10
    with socket_timeout():
        # Not by making a `CIFAR10`, which would unpickle the files.
        datasets.utils.download_and_extract_archive(
            cifar.url, str(temporary), filename=cifar.filename, md5=cifar.tgz_md5
        )
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
    source = f"{NAME}, {shown_path(origin or folder)}"
    return Dataset(NAME, _read_part(folder, True, source), _read_part(folder, False, source))


def _read_part(folder: Path, train: bool, source: str) -> ImageData:
    cifar = import_torchvision().datasets.CIFAR10
    try:
        files = cifar.train_list if train else cifar.test_list
        batches = [_read_verified(folder / name, md5) for name, md5 in files]
        names = _read_verified(folder / cifar.meta["filename"], cifar.meta["md5"])
        images = np.vstack([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = [label for batch in batches for label in batch["labels"]]
        return ImageData(
            images=torch.from_numpy(images),
            labels=torch.tensor(labels, dtype=torch.int64, device="cpu"),
            class_names=tuple(names[cifar.meta["key"]]),
            source=source,
        )
    except Exception as error:  # A damaged pickle is answered with many kinds.
        raise DataError(f"a file in it is missing or damaged ({one_line(error)})") from error


def _read_verified(path: Path, md5: str) -> Any:
    """Return the content of a file that has the right md5."""
    with open_regular(path) as file:
        content = file.read(_LARGEST)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{path.name} has md5 {found}, should be {md5}")
    return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of plain values and arrays, which looks nothing else up."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise DataError(f"it names {module}.{name}, and only arrays are read")
        return found


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    """Return what an array is made of, in pickles of old and new versions of Python and NumPy."""
    rebuild: Any = np.zeros(1).__reduce__()[0]
    from_buffer: Any = np.zeros(1).__reduce_ex__(5)[0]
    return {
        ("numpy.core.multiarray", "_reconstruct"): rebuild,
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,
    }


_ALLOWED = _allowed()

LOADERS = {NAME: load_cifar10}
