"""How this package talks: one error for everything that a user can cause, warnings and notes."""

import sys
import warnings


class DataError(ValueError):
    """The data cannot be used as asked; the message names the cause and the remedy."""


class NotThere(DataError):
    """A place was looked into and holds nothing of what was sought: no fault, try the next."""


def say(message: str) -> None:
    """Tell on stderr what is being done; stdout belongs to the program's results."""
    print(f"data: {message}", file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Warn about data that is used although something in it is odd, or that is passed over."""
    warnings.warn(message, UserWarning, stacklevel=2)


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks; its type's name where that says more."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DataError) else f"{type(error).__name__}: {text}"


def some(names: list[str], shown: int = 10) -> str:
    """A list of names for a message, cut after `shown`."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
