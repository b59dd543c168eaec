"""What a run folder holds, read with care: it may be damaged, or come from somebody else.

Files are bounded in size and checked for their structure, and nothing in them is executed.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from torch import Tensor

from pyro_vae._files import FileError, read_text
from pyro_vae._tensors import DamagedFileError, load_tensors
from pyro_vae.errors import PyroVAEError

T = TypeVar("T")

#: The largest files that are read, in bytes: thousands of times what a training writes.
_LARGEST_SETTINGS, _LARGEST_JSON, _LARGEST_CODES = 64 << 10, 16 << 20, 64 << 20
_MOST_RECORDS = 100_000
_MOST_SETTINGS, _DEEPEST_SETTING = 10_000, 20
#: Numbers beyond these are damage, and would overflow in a picture.
_LARGEST_NUMBER, _LARGEST_CODE = 1e38, 1e15
#: What every record of an epoch and every evaluation has had since version 0.1.
_OF_AN_EPOCH = ("epoch", "train_loss", "learning_rate", "seconds")
_COUNTS = ("images", "samples", "latent_size", "active_units")
_WORDS = ("verdict", "measure")
_LISTS = ("rate_per_dimension",)
_OF_AN_EVALUATION = (*_COUNTS, "rate", "verdict")

logger = logging.getLogger("pyro_vae.training")


class RunFileError(PyroVAEError, ValueError):
    """A file of a run folder is not what a training writes; the message is the reason."""


def read_or(read: Callable[[Path], T], path: Path, default: T, remedy: str) -> T:
    """Return what a file holds, or a default with one warning where it is damaged.

    Args:
        read: reads the file.
        path: the file.
        default: what is returned where the file is missing, or damaged.
        remedy: for the warning, in a sentence.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return default
    except (RunFileError, DamagedFileError) as error:
        warn_once(f"{path} is damaged: {error} {remedy}")
    except FileError as error:  # Its message names the file.
        warn_once(f"{error} {remedy}")
    except OSError as error:
        warn_once(f"{path} cannot be read: {error.strerror}. {remedy}")
    return default


@cache
def warn_once(message: str) -> None:
    """Log a warning, unless this program has done so before."""
    logger.warning(message)


def read_records(path: Path) -> list[dict[str, float]]:
    """Return the records in a `history.json`, one for each epoch from 1.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it is damaged.
        OSError: it cannot be read.
    """
    found = _read_json(path)
    if not isinstance(found, list) or len(found) > _MOST_RECORDS:
        raise RunFileError(f"it must hold a list of at most {_MOST_RECORDS:,} epochs.")
    for epoch, record in enumerate(found, start=1):
        if not isinstance(record, dict) or not all(map(_is_number, record.values())):
            raise RunFileError(f"the record of epoch {epoch} must be names and finite numbers.")
        for name in _OF_AN_EPOCH:
            if name not in record:
                raise RunFileError(f"the record of epoch {epoch} has no {name}.")
        # The epochs name files.
        if type(record["epoch"]) is not int or record["epoch"] != epoch:
            raise RunFileError(f"its epochs must be counted from 1: record {epoch} is not.")
        if record["learning_rate"] < 0:
            raise RunFileError(f"the learning rate of epoch {epoch} is negative.")
    return found


def read_numbers(path: Path) -> dict[str, Any]:
    """Return the numbers in an `evaluation.json`, as `Evaluation.as_dict` names them.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it is damaged.
        OSError: it cannot be read.
    """
    found = _read_json(path)
    if not isinstance(found, dict):
        raise RunFileError("it must hold names and numbers.")
    for name in _OF_AN_EVALUATION:
        if name not in found:
            raise RunFileError(f"it has no {name}.")
    for name, value in found.items():
        if not _fits(name, value):
            raise RunFileError(f"{shown(name)} has a value that no evaluation writes.")
    return found


def read_starts(path: Path) -> list[dict[str, Any]]:
    """Return what a `provenance.json` records of each start of a training.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it is damaged.
        OSError: it cannot be read.
    """
    found = _read_json(path)
    if not isinstance(found, list) or not all(map(_is_start, found)):
        raise RunFileError("it must hold a list of starts: when, by which command, on what.")
    return found


def read_codes(path: Path) -> Tensor:
    """Return the codes (N, D) in a `codes_*.pt`.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it holds something else.
        DamagedFileError: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    if path.stat().st_size > _LARGEST_CODES:
        raise RunFileError(f"it is larger than {_LARGEST_CODES >> 20} MiB.")
    codes = load_tensors(path)
    if not isinstance(codes, Tensor) or not codes.is_floating_point() or codes.ndim != 2:
        raise RunFileError("it must hold latent vectors, (N, D).")
    codes = codes.detach().float()
    if codes.numel() == 0 or not bool((codes.abs() <= _LARGEST_CODE).all()):
        raise RunFileError("it must hold latent vectors, all finite.")
    return codes


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file: names, and plain values.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it holds something else, or too much of it.
        OSError: it cannot be read.
    """
    text = read_text(path, largest=_LARGEST_SETTINGS)
    try:
        found = yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RunFileError(f"it is not YAML: {' '.join(str(error).split())}.") from None
    except (AttributeError, RecursionError):  # Of a tag that does not fit, of deep nesting.
        raise RunFileError("it is not YAML with plain values.") from None
    if not isinstance(found, dict):
        raise RunFileError("it must hold a setting in each line, such as `epochs: 5`.")
    _check_plain(found)
    return found


class _PlainLoader(yaml.SafeLoader):
    """YAML without references (which can unfold to any size), merged keys and dates."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a value must be written out, not referred to by *NAME")
        return super().compose_node(parent, index)


_PlainLoader.yaml_implicit_resolvers = {
    first: [each for each in tags if each[0].rpartition(":")[2] not in ("merge", "timestamp")]
    for first, tags in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _check_plain(settings: Mapping[str, Any]) -> None:
    """Refuse what is not a name and a plain value, lists and mappings of such included."""
    todo: list[tuple[Any, int]] = [(settings, 0)]
    seen = 0
    while todo:
        value, depth = todo.pop()
        seen += 1
        if seen > _MOST_SETTINGS or depth > _DEEPEST_SETTING:
            raise RunFileError("it holds too many values, or values nested too deeply.")
        if isinstance(value, dict):
            for name, of_it in value.items():
                if not isinstance(name, str):
                    given = f"{shown(name)}: {shown(of_it)}"
                    raise RunFileError(f"{given} is not a setting and its value.")
            todo += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            todo += [(each, depth + 1) for each in value]
        elif not (value is None or isinstance(value, str | bool) or _is_number(value)):
            raise RunFileError(f"{shown(value)} is neither text nor a number that is accepted.")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, largest=_LARGEST_JSON))
    except RecursionError:
        raise RunFileError("its values are nested too deeply.") from None
    except FileError:
        raise
    except ValueError as error:
        raise RunFileError(f"it is not JSON ({error}).") from None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return value.bit_length() < 64
    return isinstance(value, float) and math.isfinite(value) and abs(value) <= _LARGEST_NUMBER


def _fits(name: str, value: Any) -> bool:
    """Return whether an evaluation may have a value under a name."""
    if name in _WORDS:
        return isinstance(value, str) or (value is None and name == "measure")
    if name in _COUNTS:
        least = 1 if name in ("images", "latent_size") else 0
        return type(value) is int and least <= value < 2**63
    if isinstance(value, list):
        return name in _LISTS and all(map(_is_number, value))
    optional = name != "distortion"
    return (value is None and optional) or _is_number(value)


def _is_start(start: Any) -> bool:
    if not isinstance(start, dict):
        return False
    words = (start.get("started", ""), start.get("command", ""))
    groups = (start.get("versions", {}), start.get("machine", {}))
    return all(isinstance(word, str) for word in words) and all(
        isinstance(group, dict)
        and all(value is None or isinstance(value, str | int | float) for value in group.values())
        for group in groups
    )


def shown(value: Any) -> str:
    """Return a value for a message, shortened where it is long."""
    if isinstance(value, int) and value.bit_length() > 64:  # Its digits may be too many to print.
        return "a number of more than 64 bits"
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}..."
