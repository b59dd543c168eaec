"""Attributes of images from CSV files: whole numbers such as the variant of "hair" in an avatar."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from pyro_vae.data.messages import DataError, warn

_FILE_COLUMN = "filename"


def read_table(path: Path, count: int, names: list[str] | None) -> dict[str, Tensor] | None:
    """Read one file for all images: a header, then a row per image.

    The column `filename`, if there is one, is matched to `names`; otherwise rows are in the order
    of the images. A table that does not fit the images belongs to other data, and is skipped with a
    warning.

    Args:
        path: the CSV file.
        count: number of images.
        names: the file name of each image, or None if they are unknown.

    Returns:
        attribute -> int64, (count,), or None for a table that was skipped.

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
    """Read Cartoon Set's files, one per image, with lines such as `"eye_angle", 1, 3`.

    A line holds the name of an attribute, its value, and the number of values it can have.

    Returns:
        attribute -> int64, (len(paths),), or None for no paths.

    Raises:
        DataError: a file is missing, is malformed, or has other attributes than the first.
    """
    records = [_read_record(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if record.keys() != records[0].keys():
            raise DataError(f"{path} has other attributes than {paths[0]}: restore that file")
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
        raise DataError(
            f"{path} has a line that is not `name, value, number of values`: restore it"
        )
    return {row[0]: row[1] for row in rows}


def _whole(values: list[str], path: Path, name: str) -> Tensor:
    try:
        return torch.tensor([int(value) for value in values], dtype=torch.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: attribute {name!r} has a value that is not a whole number") from (
            error
        )
