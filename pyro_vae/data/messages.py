"""The messages of this package: one error for everything a user can cause, warnings, and a log."""

import logging
import os
import warnings
from pathlib import Path

from pyro_vae._text import escaped
from pyro_vae.errors import PyroVAEError

logger = logging.getLogger("pyro_vae.data")


class DataError(PyroVAEError, ValueError):
    """The data cannot be used as asked; the message names the cause and the remedy.

    What a file, its name or an argument brings into the message is escaped where a terminal would
    act on it, or could not print it.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(escaped(str(message), keep="\n"))


class NotFound(DataError):
    """A place holds no part of the data set: this is not a fault, and the next place is tried."""


def say(message: str) -> None:
    """Log what is being done; the programs show it."""
    logger.info("%s", escaped(message))


def warn(message: str) -> None:
    """Warn that something is odd about data that is used, or that data is skipped."""
    warnings.warn(escaped(message, keep="\n"), UserWarning, stacklevel=2)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, after its type unless it is a `DataError`."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DataError) else f"{type(error).__name__}: {text}"


def reason(error: OSError) -> str:
    """Return why a file cannot be used, without its name: "Permission denied"."""
    return error.strerror or one_line(error)


def some(names: list[str], shown: int = 10) -> str:
    """Join the first names for a message, and count the rest."""
    rest = len(names) - shown
    listed = ", ".join(escaped(name) for name in names[:shown])
    return listed + (f" and {rest} more" if rest > 0 else "")


def shown_path(path: str | Path) -> str:
    """Return a path, or a part of one, as it can be printed, in UTF-8 whatever the locale."""
    return escaped(os.fsdecode(path))
