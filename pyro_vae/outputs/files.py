"""Tables as files, and what may be written where.

A CSV file is UTF-8 with a comma between cells; text is quoted, numbers are not. What a stranger's
file name could do in a terminal or a spreadsheet is prevented: control characters, and bytes that
are not UTF-8, are written as escapes, so that a row is always one line; and text that a spreadsheet
would take for a formula (it begins with =, +, - or @) gets an apostrophe in front. An `.npz` file
holds text as it is.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from tabulate import tabulate
from torch import Tensor

from pyro_vae._files import whole_file
from pyro_vae._text import escaped
from pyro_vae.errors import PyroVAEError

CSV, NPZ = ".csv", ".npz"
#: The rows and the columns of a table that are shown where it is not written.
ROWS, COLUMNS = 10, 10
#: What spreadsheets begin a formula with, in ASCII and in full width.
FORMULA_SIGNS = tuple("=+-@＝＋－＠")

Column = Sequence[str] | Tensor
"""Text, or numbers (N,)."""


class OutputError(PyroVAEError, ValueError):
    """A result cannot be written there, or not in this form."""


def require_table(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return the path of a table to write.

    Raises:
        OutputError: the name does not end in .csv or .npz; or there is such a file, which is not
            to be overwritten.
    """
    path = Path(path)
    if path.suffix not in (CSV, NPZ):
        raise OutputError(f"A table is a .csv or an .npz file, not {str(path)!r}.")
    if path.exists() and not (overwrite and path.is_file()):
        raise OutputError(f"{path} exists already: choose another name{_or_overwrite(path)}.")
    return path


def require_empty(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return the folder to write files into; it need not exist.

    Args:
        folder: the folder.
        overwrite: accept a folder that holds something: files of the same names are replaced, all
            others stay.

    Raises:
        OutputError: there is a file of that name; or the folder holds something, and nothing is to
            be overwritten.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder: choose another name.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{folder} is not an empty folder: choose another one, or write into it with "
            "overwrite (--overwrite)."
        )
    return folder


def _or_overwrite(path: Path) -> str:
    return ", or replace it with overwrite (--overwrite)" if path.is_file() else ""


def write_csv(path: Path, columns: Mapping[str, Column], *, within: Path | None = None) -> None:
    """Write columns of one length as a CSV file that is never seen half-written.

    Args:
        path: the file.
        columns: by their headings.
        within: a folder that the file must lie in, links followed.
    """
    cells = [_cells(column) for column in columns.values()]
    with whole_file(path, within=within) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(map(plain_text, columns))
        writer.writerows(zip(*cells, strict=True))
        text.detach()


def first_rows(columns: Mapping[str, Column], form: str = "plain") -> str:
    """Return the first rows and columns of a table as text, or as HTML.

    Args:
        columns: by their headings.
        form: "plain" or "html".
    """
    shown = dict(islice(columns.items(), COLUMNS))
    more = len(columns) - len(shown)
    cells = [[_brief(cell) for cell in islice(_cells(column), ROWS)] for column in shown.values()]
    rows = [[*row, *["…"] * bool(more)] for row in zip(*cells, strict=True)]
    headings = [*map(plain_text, shown), *[f"({more} more)"] * bool(more)]
    align = ["right" if isinstance(column, Tensor) else "left" for column in shown.values()]
    return tabulate(
        rows, headings, form, disable_numparse=True, colalign=[*align, *["left"] * bool(more)]
    )


def _brief(cell: object) -> str:
    return f"{cell:.5g}" if isinstance(cell, float) else str(cell)


def write_npz(
    path: Path, arrays: Mapping[str, np.ndarray | Sequence[str]], *, within: Path | None = None
) -> None:
    """Write arrays, none of them of Python objects, as an .npz file never seen half-written."""
    plain = {
        name: values if isinstance(values, np.ndarray) else np.array(values, dtype=np.str_)
        for name, values in arrays.items()
    }
    # NumPy's own `savez` takes no array of the name "file".
    with whole_file(path, within=within) as file, ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, values in plain.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def plain_text(text: str) -> str:
    r"""Return a cell's text such that neither a terminal nor a spreadsheet acts on it.

    >>> plain_text("=1+1"), plain_text("cats/1.png"), plain_text("a\nb"), plain_text("-1")
    ("'=1+1", 'cats/1.png', 'a\\nb', '-1')
    """
    text = escaped(text)
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not _number(text) else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()


def _cells(column: Column) -> Iterable[object]:
    """Return the cells of a column: a number with the fewest digits that give it back."""
    if not isinstance(column, Tensor):
        return map(plain_text, column)
    values = column.cpu().numpy()
    if np.issubdtype(values.dtype, np.integer):
        return values.tolist()
    return (float(str(value)) for value in values)
