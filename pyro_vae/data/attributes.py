"""Attributes of images from CSV files: whole numbers such as the variant of "hair" in an avatar."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from pyro_vae.data.messages import DataError, warn

_FILE_COLUMN = "filename"


def read_table(path: Path, count: int, names: list[str] | None) -> dict[str, Tensor] | None:
    """One file for all images: a header, then a row per image, its file name in `filename`.

    Rows are matched to `names` by file name where these are known, else taken in order. A table
    that does not fit `count` images is some other data's: warned about and passed over.

    Returns:
        attribute -> int64, (count,), or None.

    Raises:
        DataError: a value is not a whole number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and names is not None and _FILE_COLUMN in rows[0]:
        by_name = {row[_FILE_COLUMN]: row for row in rows}
        rows = [by_name[name] for name in names if name in by_name]
    if len(rows) != count:
        warn(f"{path} has rows for {len(rows)} of {count} images: it is not used")
        return None
    columns = [column for column in rows[0] if column != _FILE_COLUMN]
    return {column: _whole([row[column] for row in rows], path, column) for column in columns}


def read_per_image(paths: list[Path]) -> dict[str, Tensor] | None:
    """Cartoon Set's files, one per image, with lines such as `"eye_angle", 1, 3`.

    A line is a name, the value, and how many values there are.

    Returns:
        attribute -> int64, (len(paths),), or None for no paths.

    Raises:
        DataError: a file is missing or has other attributes than the first.
    """
    records = [_read_record(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if record.keys() != records[0].keys():
            raise DataError(f"{path} has other attributes than {paths[0]}: replace that file")
    return {
        name: _whole([record[name] for record in records], paths[0].parent, name)
        for name in (records[0] if records else ())
    } or None


def _read_record(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): restore that file") from error
    if any(len(row) < 2 for row in rows):
        raise DataError(f"{path} is not of lines `name, value, number of values`: restore it")
    return {row[0]: row[1] for row in rows}


def _whole(values: list[str], path: Path, name: str) -> Tensor:
    try:
        return torch.tensor([int(value) for value in values], dtype=torch.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: attribute {name!r} has a value that is not a whole number") from (
            error
        )
