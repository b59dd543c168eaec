"""How this package talks: one error for everything a user can cause, warnings, and a log."""

import logging
import warnings

from pyro_vae.errors import PyroVAEError

logger = logging.getLogger("pyro_vae.data")


class DataError(PyroVAEError, ValueError):
    """The data cannot be used as asked; the message names the cause and the remedy."""


class NotFound(DataError):
    """A place holds no part of the data set: this is not a fault, and the next place is tried."""


def say(message: str) -> None:
    """Log what is being done; the programs show it."""
    logger.info(message)


def warn(message: str) -> None:
    """Warn that something is odd about data that is used, or that data is skipped."""
    warnings.warn(message, UserWarning, stacklevel=2)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, after its type unless it is a `DataError`."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DataError) else f"{type(error).__name__}: {text}"


def some(names: list[str], shown: int = 10) -> str:
    """Join the first names for a message, and count the rest."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
