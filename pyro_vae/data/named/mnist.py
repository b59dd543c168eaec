"""MNIST and Fashion-MNIST: four files in the IDX format, found or downloaded, verified by md5.

An `IdxDataset` in `DATASETS` is all that another data set in this format needs. An IDX file holds
two zero bytes, a type code (8: unsigned bytes), the number of dimensions, each dimension as a
big-endian 32-bit number, then the values.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae._files import open_regular
from pyro_vae.data.downloads import debian
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
from pyro_vae.data.messages import DataError, NotFound, reason, say, shown_path
from pyro_vae.data.options import LoadOptions

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

_DIMENSIONS = 8  # an IDX file of images has three
_LARGEST = 2**30  # bytes of a file's content, to which a few bytes may claim to unpack

SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's packages of data sets install


@dataclass(frozen=True)
class IdxDataset:
    """The description of one data set of four IDX files."""

    name: str
    torchvision_class: str
    """The class of `torchvision.datasets` that downloads it."""
    class_names: tuple[str, ...]
    md5: Mapping[str, str]
    """File name -> md5 of its uncompressed content: archives may differ, contents must not."""
    debian_package: str | None = None
    """The package of Debian that holds it, if there is one."""


FASHION_MNIST = IdxDataset(
    name="fashion-mnist",
    torchvision_class="FashionMNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    md5={
        TRAIN_IMAGES: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        TRAIN_LABELS: "9018921c3c673c538a1fc5bad174d6f9",
        TEST_IMAGES: "8181f5470baa50b63fa0f6fddb340f0a",
        TEST_LABELS: "15d484375f8d13e6eb1aabb0c3f46965",
    },
    debian_package="dataset-fashion-mnist",
)

MNIST = IdxDataset(
    name="mnist",
    torchvision_class="MNIST",
    class_names=tuple("0123456789"),
    md5={
        TRAIN_IMAGES: "6bbc9ace898e44ae57da46a324031adb",
        TRAIN_LABELS: "a25bea736e30d166cdddb491f175f624",
        TEST_IMAGES: "2646ac647ad5339dbf082846283269ea",
        TEST_LABELS: "27ae3e4e09519cfbb04c329615203637",
    },
)

DATASETS = (FASHION_MNIST, MNIST)


def load_idx(spec: IdxDataset, data_dir: str | Path | None, options: LoadOptions) -> Dataset:
    """Load a data set from the first place that has all of it: (60,000 + 10,000) × 1 × 28 × 28.

    Raises:
        DataError: no place has it; the message lists what was tried, and why each failed.
    """
    asked = data_folder(data_dir)
    target = download_folder(asked) / spec.name
    remedy = (
        f"put {', '.join(f'{name}.gz' for name in FILES)} into {target}, or connect this machine "
        "to the network and run again. The data set 'digits' needs no network."
    )
    return first_that_works(spec.name, _places(spec, asked, target), remedy)


def _places(spec: IdxDataset, asked: Path, target: Path) -> Iterator[Place[Dataset]]:
    for folder in _local_folders(spec, asked):
        yield Place(str(folder), partial(read_folder, spec, folder))
    read = partial(read_folder, spec, origin=str(target))
    download = partial(download_with_torchvision, spec)
    yield Place("torchvision's download", partial(fetch, asked, spec.name, download, read))
    if spec.debian_package:
        unpack = partial(download_from_debian, spec.debian_package, spec.name)
        name = f"Debian's package {spec.debian_package}"
        yield Place(name, partial(fetch, asked, spec.name, unpack, read))


def _local_folders(spec: IdxDataset, asked: Path) -> Iterator[Path]:
    for folder in search_folders(asked):
        yield folder / spec.torchvision_class / "raw"
        yield folder / spec.name
    if spec.debian_package:
        yield SYSTEM_FOLDER / spec.name


def download_with_torchvision(spec: IdxDataset, temporary: Path) -> Path:
    """Let torchvision download into `temporary`; return the folder of the compressed files."""
    datasets = import_torchvision().datasets
    say(f"downloading {spec.name} with torchvision")
    with socket_timeout():
        getattr(datasets, spec.torchvision_class)(temporary, download=True)
    folder = temporary / spec.torchvision_class / "raw"
    for path in [folder / name for name in FILES]:
        if path.with_name(f"{path.name}.gz").exists():
            path.unlink(missing_ok=True)  # the compressed file is enough
    return folder


def download_from_debian(package: str, name: str, temporary: Path) -> Path:
    """Unpack a Debian package into `temporary`; return the folder of the compressed files."""
    root = debian.unpack(package, temporary)
    return root / SYSTEM_FOLDER.relative_to("/") / name


def read_folder(spec: IdxDataset, folder: Path, origin: str | None = None) -> Dataset:
    """Read the four files of a folder, each plain or gzipped, and verify them.

    Args:
        spec: describes the data set.
        folder: holds the files.
        origin: the folder that `source` names, if the files are about to be moved there.

    Raises:
        NotFound: the folder holds none of them.
        DataError: a file is missing or damaged, or has the wrong content.
    """
    missing = [name for name in FILES if not _versions(folder, name)]
    if len(missing) == len(FILES):
        raise NotFound("holds none of the files" if folder.is_dir() else "no such folder")
    if missing:
        raise DataError(f"{missing[0]}(.gz) is missing")
    content = {name: parse_idx(_read_verified(folder, name, spec.md5[name])) for name in FILES}

    def part(images: str, labels: str) -> ImageData:
        return ImageData(
            images=content[images].unsqueeze(1),
            labels=content[labels].long(),
            class_names=spec.class_names,
            source=f"{spec.name}, {shown_path(origin or folder)}",
        )

    return Dataset(spec.name, part(TRAIN_IMAGES, TRAIN_LABELS), part(TEST_IMAGES, TEST_LABELS))


def _versions(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def _read_verified(folder: Path, name: str, md5: str) -> bytearray:
    """Return the content of the first version of a file that has the right md5."""
    faults = []
    for path in _versions(folder, name):
        try:
            content = _read(path)
        except (OSError, EOFError, zlib.error) as error:
            why = reason(error) if isinstance(error, OSError) else error
            faults.append(f"{path.name} is damaged or cut short ({why})")
            continue
        if len(content) > _LARGEST:
            faults.append(f"{path.name} holds more than {_LARGEST:,} bytes")
            continue
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found == md5:
            return content
        faults.append(f"{path.name} has the wrong content (md5 {found}, should be {md5})")
    raise DataError("; ".join(faults))


def _read(path: Path) -> bytearray:
    """Return the content of a file, unpacked if it is gzipped; what is too large is cut off."""
    content = bytearray()
    with open_regular(path) as file:
        source = gzip.GzipFile(fileobj=file) if path.suffix else file
        while len(content) <= _LARGEST and (part := source.read(1 << 20)):
            content += part
    return content


def parse_idx(content: bytes | bytearray) -> Tensor:
    """Return the values of an IDX file, uint8, in the shape that its header states.

    Raises:
        DataError: the header is not that of unsigned bytes, or the length does not match it.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 0 < content[3] <= _DIMENSIONS:
        raise DataError("not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError("the header of an IDX file is cut short")
    shape = np.frombuffer(content, ">u4", content[3], offset=4).tolist()
    values = np.frombuffer(content, np.uint8, offset=start)
    if values.size != math.prod(shape):
        raise DataError(f"an IDX file of shape {shape} cannot have {values.size} values")
    return torch.from_numpy(values.reshape(shape).copy())


LOADERS = {spec.name: partial(load_idx, spec) for spec in DATASETS}
