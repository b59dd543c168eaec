"""Attributes of images from CSV files: whole numbers such as the variant of "hair" in an avatar."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_vae._files import FileError, open_regular
from pyro_vae.data.messages import DataError, escaped, reason, warn

_FILE_COLUMN = "filename"
#: Encodings that a file states at its start: of Excel's "CSV UTF-8", and of its "Unicode text".
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DELIMITERS = ",;\t"  # Excel writes semicolons where the decimal sign is a comma.
_LARGEST = 2**29  # bytes


class Row(NamedTuple):
    """A row of a CSV file, and the number of its last line."""

    line: int
    cells: list[str]


def read_table(path: Path, count: int, names: list[str] | None) -> dict[str, Tensor] | None:
    """Read one file for all images: a header, then a row per image.

    The column `filename`, if there is one, is matched to `names`; otherwise rows are in the order
    of the images. A table that does not fit the images belongs to other data, and is skipped with a
    warning. Cells are separated by commas, semicolons or tabs; the text is UTF-8, or UTF-16 with
    its byte-order mark.

    Args:
        path: the CSV file.
        count: number of images.
        names: the file name of each image, or None if they are unknown.

    Returns:
        attribute -> int64, (count,), or None for a table that was skipped.

    Raises:
        DataError: the file cannot be read, or a value is not a whole number.
    """
    header, *rows = list(_rows(path)) or [Row(1, [])]
    columns = header.cells
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}, line {header.line}: two columns have one name: rename one")
    if rows and names is not None and _FILE_COLUMN in columns:
        position = columns.index(_FILE_COLUMN)
        by_name = {row.cells[position]: row for row in rows if len(row.cells) > position}
        rows = [by_name[name] for name in names if name in by_name]
    if len(rows) != count:
        warn(f"{path} has rows for {len(rows)} of {count} images: it is not used")
        return None
    for row in rows:
        if len(row.cells) != len(columns):
            raise DataError(
                f"{path}, line {row.line} has {len(row.cells)} cells, but the header has "
                f"{len(columns)}: write one for each column"
            )
    return {
        escaped(column): _whole(((path, row.line, row.cells[index]) for row in rows), column)
        for index, column in enumerate(columns)
        if column != _FILE_COLUMN
    }


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
        escaped(name): _whole(
            (
                (path, record[name].line, record[name].cells[1])
                for path, record in zip(paths, records, strict=True)
            ),
            name,
        )
        for name in (records[0] if records else ())
    } or None


def _read_record(path: Path) -> dict[str, Row]:
    rows = list(_rows(path, spaces=True))
    if any(len(row.cells) < 2 for row in rows):
        raise DataError(
            f"{path} has a line that is not `name, value, number of values`: restore it"
        )
    return {row.cells[0]: row for row in rows}


def _rows(path: Path, spaces: bool = False) -> Iterator[Row]:
    """Yield the rows of a CSV file that are not empty.

    Args:
        path: the file.
        spaces: whether spaces may follow the delimiter.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)  # Where none is there: the comma.
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaces)
    try:
        for cells in reader:
            if cells:
                yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num} is not a line of a CSV file ({error}): save it again"
        ) from error


def _text(path: Path) -> str:
    """Return the text of a CSV file."""
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST + 1)
    except FileError:
        raise DataError(f"{path} is not a regular file: give a CSV file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)}): restore that file") from error
    if len(content) > _LARGEST:
        raise DataError(f"{path} is larger than {_LARGEST >> 20} MiB: shorten it")
    encoding = next((_MARKS[mark] for mark in _MARKS if content.startswith(mark)), "utf-8")
    remedy = "save it as CSV in UTF-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line} is not text in {encoding.removesuffix('-sig').upper()}: {remedy}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line} holds a NUL character: {remedy}")
    return text


def _whole(values: Iterable[tuple[Path, int, str]], name: str) -> Tensor:
    """Return the values of an attribute, each given with its file and line, as numbers."""
    numbers = []
    for path, line, value in values:
        number = _number(value)
        if number is None:
            raise DataError(
                f"{path}, line {line}: attribute {name!r} has a value that is not a whole number, "
                f"{value!r:.50}: write one of at most 64 bits"
            )
        numbers.append(number)
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")


def _number(value: str) -> int | None:
    """Return the whole number that a cell holds, or None; it must fit in 64 bits."""
    try:
        number = int(value)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None
