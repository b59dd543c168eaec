"""The arrays of an `.npy`, `.npz`, `.pt` or `.pth` file, by name.

Nothing that a file says of itself is believed: sizes are compared with what the file holds before
memory is taken, checksums are compared where the format has them, and no code is run.
"""

import math
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZipFile, ZipInfo

import numpy as np
import torch
from numpy.lib import format as npy

from pyro_vae._files import FileError, open_regular
from pyro_vae._tensors import DamagedFileError, load_tensors
from pyro_vae.data.capacity import refuse_too_large, refuse_unfolding
from pyro_vae.data.messages import DataError, one_line, reason
from pyro_vae.data.options import LoadOptions

SUFFIXES = (".npy", ".npz", ".pt", ".pth")

#: Copies in memory at once: images as read and as (N, C, H, W), or that and in split order.
COPIES = 2

_ZIP, _NPY = b"PK", b"\x93NUMPY"
_PLAIN = (str, bool, int, float)


def read_arrays(path: Path, wanted: Collection[str], options: LoadOptions) -> dict[str, Any]:
    """Return the arrays of a file by name; a single array is named `images`.

    Args:
        path: the file.
        wanted: the names of the arrays to read. Others are not opened, but named: their value is
            None.
        options: may insist on files that are too large, by `stream=False`.

    Raises:
        DataError: the file cannot be read, is damaged, claims to hold more than it does, or holds
            more than fits in memory.
    """
    with _readable(path), open_regular(path) as file:
        start = file.read(len(_NPY))
        file.seek(0)
        if path.suffix in (".pt", ".pth"):
            _refuse_too_large(_size(file), options, path)
            return _from_torch(path, file, wanted, zipped=start.startswith(_ZIP))
        if start.startswith(_ZIP):
            return _from_npz(path, file, wanted, options)
        _refuse_too_large(_size(file), options, path)
        check_header(file, _size(file))
        file.seek(0)
        return {"images": npy.read_array(file, allow_pickle=False)}


def check_header(file: IO[bytes], size: int) -> None:
    """Check the header of an `.npy` file against the bytes that follow it.

    Args:
        file: the file, at its start.
        size: bytes of the file.

    Raises:
        DamagedFileError: the header is damaged, states Python objects, or states more values than
            there are.
    """
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.names is not None:
        raise DamagedFileError(f"it holds {dtype} instead of plain values")
    if dtype.itemsize == 0 or any(length < 0 for length in shape):
        raise DamagedFileError(f"its header states {dtype} of shape {shape}")
    needed = math.prod(shape) * dtype.itemsize
    if needed > size - file.tell():
        raise DamagedFileError(
            f"its header states {dtype} of shape {shape}, {needed:,} bytes, but "
            f"{max(0, size - file.tell()):,} follow"
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file is answered with into a `DataError` that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of old formats, and of damage that is refused.
            yield
    except DataError:
        raise
    except FileError:
        raise DataError(f"{path} is not a regular file: give an array file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from error
    except Exception as error:  # NumPy, zipfile and PyTorch raise many kinds for a damaged file.
        detail = str(error) if isinstance(error, DamagedFileError) else one_line(error)
        raise DataError(
            f"{path} cannot be read: it is damaged, cut short, or holds Python objects instead of "
            f"plain arrays: save it again with np.savez or torch.save ({detail[:200]})"
        ) from error


def _refuse_too_large(size: int, options: LoadOptions, path: Path) -> None:
    remedy = "save the images in an .npy file, which is read batch by batch"
    refuse_too_large(COPIES * size, options, str(path), remedy)


def _size(file: BinaryIO) -> int:
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


# NumPy's archives


def _from_npz(
    path: Path, file: BinaryIO, wanted: Collection[str], options: LoadOptions
) -> dict[str, Any]:
    with ZipFile(file) as archive:
        members = _members(archive)
        needed = [member for name, member in members.items() if name in wanted]
        unpacked = sum(member.file_size for member in needed)
        _refuse_too_large(unpacked, options, path)
        refuse_unfolding(unpacked, _size(file), options, str(path))
        return {
            name: _read_member(archive, member) if name in wanted else None
            for name, member in members.items()
        }


def _members(archive: ZipFile) -> dict[str, ZipInfo]:
    found: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in found:
            raise DamagedFileError(f"two of its arrays are called {name}")
        found[name] = member
    return found


def _read_member(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        check_header(file, member.file_size)
    # Opened again: after a step back in a file, its checksum is not compared.
    with archive.open(member) as file:
        array = npy.read_array(file, allow_pickle=False)
        while file.read(1 << 20):  # The checksum is compared at the end.
            pass
    return array


# PyTorch's files


def _from_torch(
    path: Path, file: BinaryIO, wanted: Collection[str], zipped: bool
) -> dict[str, Any]:
    if zipped:
        found = load_tensors(path)
    else:  # A file of PyTorch before 1.6, which has no checksums.
        found = torch.load(file, map_location="cpu", weights_only=True)
    items = {"images": found} if isinstance(found, torch.Tensor) else found
    if not isinstance(items, Mapping):
        raise DamagedFileError(f"a {type(found).__name__}, not a tensor or a dict of tensors")
    size = _size(file)
    return {
        str(name): _as_numpy(value, size) if name in wanted else None
        for name, value in items.items()
    }


def _as_numpy(value: Any, size: int) -> np.ndarray:
    """Return a tensor, a number, or a list of numbers or names, as an array."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise DamagedFileError("a tensor in it is sparse, quantized, or has no values")
        if value.numel() * value.element_size() > size:
            raise DamagedFileError("a tensor in it claims to be larger than the file")
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).numpy()
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(each, _PLAIN) for each in values):
        raise DamagedFileError("it holds something other than tensors, numbers and names")
    # Of objects, because an array of text takes the length of the longest for each.
    kind = object if any(isinstance(each, str) for each in values) else None
    array = np.array(values, dtype=kind)
    return array if isinstance(value, list | tuple) else array[0]
