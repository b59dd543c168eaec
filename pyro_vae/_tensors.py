"""Files of tensors, in torch's format: every byte is verified before any of it is used."""

import io
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from pyro_vae._files import open_regular, write_bytes
from pyro_vae.errors import PyroVAEError

#: A file holds a record for each tensor, and a few more.
_MOST_RECORDS = 100_000
#: The mark of a folder: torch reads nothing of such a record, and leaves memory as it was.
_FOLDER = 0x10
#: What the values of such a file are made by, and the most bytes that describe them.
_NAMED = ("torch", "collections OrderedDict", "_codecs encode")
_LARGEST_PICKLE = 64 << 20
#: Values, nested ones included, that are not tensors.
_MOST_VALUES = 5_000_000


class DamagedFileError(PyroVAEError, ValueError):
    """A file of tensors is not what was written; the message is the reason, without its name."""


def save_tensors(path: Path, values: Any, *, within: Path | None = None) -> None:
    """Write plain values and tensors to one file, which is never seen half-written.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    buffer = io.BytesIO()  # torch would answer a full disk with an error that names no cause.
    torch.save(values, buffer)
    write_bytes(path, buffer.getbuffer(), within=within)


def load_tensors(path: Path, *, within: Path | None = None) -> Any:
    """Return the plain values and CPU tensors of a file, of which no code is run.

    torch itself does not compare the checksums that its files hold.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: it is damaged, no file of torch's, or holds more than values and tensors.
        OSError: it cannot be opened.
    """
    with open_regular(path, within=within) as file:
        verify(file)
        file.seek(0)
        try:
            found = torch.load(file, map_location="cpu", weights_only=True)
        except KeyboardInterrupt:
            raise
        except MemoryError:
            raise DamagedFileError("it claims more than the memory holds.") from None
        except Exception as error:  # Its unpickler raises many kinds.
            reason = str(error).split("\\n")[0]
            raise DamagedFileError(f"torch cannot read it: {reason}") from None
    _check_sizes(found, path.stat().st_size)
    return found


def verify(file: BinaryIO) -> None:
    """Compare each record of a file of torch's with its checksum.

    Raises:
        DamagedFileError: they differ, or the file is not one that `torch.save` writes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            if len(records) > _MOST_RECORDS:
                raise DamagedFileError(f"it holds {len(records):,} records.")
            if len({record.filename for record in records}) < len(records):
                raise DamagedFileError("two of its records have one name.")
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise DamagedFileError("its records are compressed, which torch never does.")
            if any(record.external_attr & _FOLDER for record in records):
                raise DamagedFileError("one of its records is marked as a folder.")
            for record in records:
                if record.filename.endswith("/data.pkl"):
                    if record.file_size > _LARGEST_PICKLE:
                        raise DamagedFileError("the description of its values is too long.")
                    _check_names(archive.read(record))
            damaged = archive.testzip()
    except DamagedFileError:
        raise
    except Exception as error:  # A damaged archive is answered with many kinds.
        raise DamagedFileError(f"it is cut short, or not a file of torch's ({error}).") from None
    if damaged is not None:
        raise DamagedFileError(f"the checksum of its record {damaged} is wrong.")


@torch.no_grad()
def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that hold values that are not finite."""
    numbers = {
        name: value
        for name, value in weights.items()
        if value.numel() and (value.is_floating_point() or value.is_complex())
    }
    if not numbers:
        return []
    finite = torch.stack([value.detach().abs().max().isfinite() for value in numbers.values()])
    return [name for name, sound in zip(numbers, finite.tolist(), strict=True) if not sound]


def _check_names(pickled: bytes) -> None:
    """Refuse what a file of torch's never names; torch itself would make gigabytes of `bytearray`.

    Raises:
        DamagedFileError: it names something else.
    """
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "BYTEARRAY8"):
            raise DamagedFileError(f"it holds what torch never writes: {operation.name}.")
        if operation.name == "GLOBAL" and not str(argument).startswith(_NAMED):
            raise DamagedFileError(f"it names {argument}, which no file of tensors does.")


def _check_sizes(found: Any, stored: int) -> None:
    """Refuse values that unfold to more than the file holds."""
    unfolded = 0
    for values, value in enumerate(_all(found)):
        if values > _MOST_VALUES:
            raise DamagedFileError("it holds too many values.")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_quantized:
                raise DamagedFileError("it holds a sparse or quantized tensor.")
            size = value.numel() * value.element_size()
            unfolded += size
            if size > stored or unfolded > 4 * stored:
                raise DamagedFileError("its tensors claim to be larger than the file.")
        elif isinstance(value, int) and value.bit_length() > 64:
            raise DamagedFileError("it holds a number of more than 64 bits.")


def _all(value: Any, depth: int = 0) -> Iterator[Any]:
    if depth > 50:
        raise DamagedFileError("its values are nested too deeply.")
    yield value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _all(item, depth + 1)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _all(item, depth + 1)
