"""Files of tensors, in torch's format: every byte is verified before any of it is used."""

import io
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.nn import Parameter

from pyro_vae._files import open_regular, write_bytes
from pyro_vae.errors import PyroVAEError

#: A file holds a record for each tensor, and a few more.
_MOST_RECORDS = 100_000
#: The mark of a folder: torch reads nothing of such a record, and leaves memory as it was.
_FOLDER = 0x10
#: What the values of such a file are made by, and the most bytes that describe them.
_NAMED = ("torch", "collections OrderedDict")
_LARGEST_PICKLE = 64 << 20
#: Values, nested ones included, that are not tensors, and the letters of all texts among them, each
#: as often as it is referred to.
_MOST_VALUES, _MOST_LETTERS = 5_000_000, 64 << 20
#: What else such a file may hold. Subclasses could bring methods of their own.
_PLAIN = (type(None), bool, int, float, str, bytes, torch.dtype, torch.Size, torch.device)
_DTYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16,
)  # fmt: skip


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
        try:
            found = torch.load(verified(file), map_location="cpu", weights_only=True)
        except DamagedFileError:
            raise
        except KeyboardInterrupt:
            raise
        except MemoryError:
            raise DamagedFileError("it claims more than the memory holds.") from None
        except Exception as error:  # Its unpickler raises many kinds.
            reason = str(error).split("\\n")[0]
            raise DamagedFileError(f"torch cannot read it: {reason}") from None
    return _Plain(path.stat().st_size).copy(found)


def verified(file: BinaryIO) -> io.BytesIO:
    """Return the records of a file of torch's, each compared with its checksum, as such a file.

    Torch is given nothing but these: it looks for records in other ways, and would find others.

    Raises:
        DamagedFileError: a record is damaged, or the file is not one that `torch.save` writes.
    """
    whole = io.BytesIO()
    try:
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(whole, "w") as copy:
            records = archive.infolist()
            _check_records(records)
            for record in records:
                content = archive.read(record)
                if record.filename.endswith("/data.pkl"):
                    _check_names(content)
                copy.writestr(zipfile.ZipInfo(record.filename), content)
    except DamagedFileError:
        raise
    except Exception as error:  # A damaged archive is answered with many kinds.
        raise DamagedFileError(f"it is cut short, or not a file of torch's ({error}).") from None
    whole.seek(0)
    return whole


def _check_records(records: Sequence[zipfile.ZipInfo]) -> None:
    if len(records) > _MOST_RECORDS:
        raise DamagedFileError(f"it holds {len(records):,} records.")
    names = [record.filename.lower() for record in records]  # As torch compares them.
    if len(set(names)) < len(names):
        raise DamagedFileError("two of its records have one name.")
    described = [record for record in records if record.filename.lower().endswith("data.pkl")]
    if len(described) != 1 or not described[0].filename.endswith("/data.pkl"):
        raise DamagedFileError("it has no single description of its values.")
    if described[0].file_size > _LARGEST_PICKLE:
        raise DamagedFileError("the description of its values is too long.")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise DamagedFileError("its records are compressed, which torch never does.")
    if any(record.external_attr & _FOLDER for record in records):
        raise DamagedFileError("one of its records is marked as a folder.")


@torch.no_grad()
def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that hold values that are not finite."""
    numbers = {
        name: value
        for name, value in weights.items()
        if value.numel() and not value.is_meta  # It has no values.
        if value.is_floating_point() or value.is_complex()
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


class _Plain:
    """Copies values as plain ones, without what their classes or attributes could bring.

    What unfolds to more than the file holds is refused.

    Args:
        stored: the size of the file, in bytes.
    """

    def __init__(self, stored: int) -> None:
        self._stored = stored
        self._values = self._letters = self._unfolded = 0

    def copy(self, value: Any, depth: int = 0) -> Any:
        """Return a value as it is, or a container of its copies.

        Raises:
            DamagedFileError: it is of another kind, or too large.
        """
        self._values += 1
        if self._values > _MOST_VALUES:
            raise DamagedFileError("it holds too many values.")
        if depth > 50:
            raise DamagedFileError("its values are nested too deeply.")
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            items = dict.items(value)
            return {self.copy(k, depth + 1): self.copy(item, depth + 1) for k, item in items}
        if isinstance(value, torch.Size):
            return value
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in list.__iter__(value)]
        if isinstance(value, tuple):
            return tuple(self.copy(item, depth + 1) for item in tuple.__iter__(value))
        if isinstance(value, set):
            return {self.copy(item, depth + 1) for item in set.__iter__(value)}
        self._check(value)
        return value

    def _check(self, value: Any) -> None:
        if type(value) not in _PLAIN:
            raise DamagedFileError(f"it holds a {type(value).__name__}.")
        if type(value) is int and value.bit_length() > 64:
            raise DamagedFileError("it holds a number of more than 64 bits.")
        self._letters += len(value) if isinstance(value, str | bytes) else 0
        if self._letters > _MOST_LETTERS + 16 * self._stored:
            raise DamagedFileError("its texts are too long.")

    def _tensor(self, value: Tensor) -> Tensor:
        bare = type(value) in (Tensor, Parameter) and not vars(value)
        if not bare or value.layout != torch.strided or value.is_quantized or value.is_nested:
            raise DamagedFileError("it holds a sparse, nested, quantized or otherwise odd tensor.")
        if value.dtype not in _DTYPES or value.device.type not in ("cpu", "meta"):
            raise DamagedFileError(f"it holds a tensor of {value.dtype} on {value.device}.")
        size = value.numel() * value.element_size()
        self._unfolded += size
        if size > self._stored or self._unfolded > 4 * self._stored:
            raise DamagedFileError("its tensors claim to be larger than the file.")
        return value
