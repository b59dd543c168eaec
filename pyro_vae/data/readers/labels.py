"""Labels of arrays, however they are written: numbers, words, one-hot rows, several for each image.

All parts are read together, so that a label means the same in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.images import UNKNOWN
from pyro_vae.data.messages import DataError, escaped, say, some

_MOST_COLUMNS = 256
#: The factors of dSprites, whose six columns have no names that can be read without running code.
_DSPRITES = ("color", "shape", "scale", "orientation", "posX", "posY")


@dataclass(frozen=True)
class Labels:
    """The labels of each part, or its attributes where each image has several labels."""

    labels: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None


def read_labels(
    arrays: Mapping[str, Any], keys: Mapping[str, str], path: str, known: tuple[str, ...] | None
) -> Labels:
    """Read the labels of each part.

    Args:
        arrays: part -> its labels as they are stored.
        keys: part -> the key of its labels, for messages.
        path: the file, as shown to people.
        known: the class names of a record, which come first.

    Raises:
        DataError: they are no labels; the message names the file and the key.
    """
    read = {part: _numbers(array, f"{path}: {keys[part]}") for part, array in arrays.items()}
    if not read:
        return Labels()
    key = " and ".join(dict.fromkeys(keys[part] for part in read))
    if any(array.dtype.kind == "U" for array in read.values()):
        return _words(read, f"{path}: {key}", known)
    wide = [array.shape[1:] for array in read.values() if array.ndim == 2]
    if wide and (len(wide) < len(read) or len(set(wide)) > 1):
        raise DataError(f"{path}: {key} have different shapes: give each part the same columns")
    if wide and all(_one_hot(array) for array in read.values()):
        say(f"{path}: {key}: one-hot rows are taken as {wide[0][0]} classes")
        return Labels({part: torch.from_numpy(a.argmax(1)) for part, a in read.items()})
    if wide:
        names = _column_names(next(iter(keys.values())), wide[0][0])
        say(f"{path}: {key}: {wide[0][0]} labels for each image become attributes, {some(names)}")
        return Labels(attributes={part: _columns(a, names) for part, a in read.items()})
    unknown = sum(int((array == UNKNOWN).sum()) for array in read.values())
    if unknown:
        say(f"{path}: {key}: {unknown} labels are -1: the class of these images is unknown")
    return Labels({part: torch.from_numpy(array) for part, array in read.items()})


def _numbers(array: Any, what: str) -> np.ndarray:
    """Return labels as int64 of shape (N,) or (N, K), or as words of shape (N,)."""
    array = np.asarray(array)
    if array.ndim == 0:
        raise DataError(f"{what} has shape (): labels must be one number or word per image")
    if array.ndim > 1 and array.size == len(array):
        array = array.reshape(len(array))
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] > _MOST_COLUMNS):
        raise DataError(
            f"{what} has shape {array.shape}: labels must be one number per image, a one-hot row, "
            f"or a row of at most {_MOST_COLUMNS}"
        )
    if array.dtype.kind in "OUS":
        if array.ndim > 1:
            raise DataError(f"{what} has shape {array.shape}: words must be one per image")
        return np.array(to_names(array, what), dtype="U")
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        if array.size and abs(array).max() >= 2**63:
            raise _beyond(array, what)
        array = array.astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "ui":
        raise DataError(f"{what} holds {array.dtype}: labels must be whole numbers or words")
    if array.size and (array.min() < UNKNOWN or array.max() >= 2**63):
        raise _beyond(array, what)
    return array.astype(np.int64)


def _beyond(array: np.ndarray, what: str) -> DataError:
    return DataError(
        f"{what} run from {array.min()} to {array.max()}: they must be 0 or more, or -1 for "
        "unknown, and below 2^63"
    )


def _words(read: Mapping[str, np.ndarray], what: str, known: tuple[str, ...] | None) -> Labels:
    if not all(array.dtype.kind == "U" for array in read.values()):
        raise DataError(f"{what} hold words in one part and numbers in another: give all the same")
    here = sorted({escaped(str(word)) for array in read.values() for word in array})
    names = (*(known or ()), *(name for name in here if name not in (known or ())))
    number = {name: index for index, name in enumerate(names)}
    say(f"{what}: words are taken as classes, {some(list(names))}")
    labels = {
        part: torch.tensor(
            [number[escaped(str(word))] for word in array], dtype=torch.int64, device="cpu"
        )
        for part, array in read.items()
    }
    return Labels(labels, class_names=names)


def _one_hot(array: np.ndarray) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all())


def _columns(array: np.ndarray, names: list[str]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array[:, i].copy()) for i, name in enumerate(names)}


def _column_names(key: str, count: int) -> list[str]:
    if key == "latents_classes" and count == len(_DSPRITES):
        return list(_DSPRITES)
    stem = "latent" if key == "latents_classes" else "label"
    return [f"{stem} {index}" for index in range(count)]


def to_names(array: np.ndarray, what: str) -> list[str]:
    """Return an array of text as names.

    Raises:
        DataError: it is not a list of text.
    """
    if array.ndim != 1:
        raise DataError(f"{what} has shape {array.shape}: it must be a list of names")
    try:
        return [
            each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each)
            for each in array
        ]
    except (SystemError, ValueError) as error:  # Numbers that are no characters.
        raise DataError(f"{what} holds something other than text: save the names again") from error
