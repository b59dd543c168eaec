"""What programs share: messages on the screen, and errors in plain words."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from pyro_vae._text import escaped
from pyro_vae.errors import PyroVAEError
from pyro_vae.processes import is_first, rank
from pyro_vae.training import Stopped

#: What a shell adds to a signal's number where a signal ended a program.
SIGNALED = 128


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the program with a sentence, not a traceback, where the cause is known.

    The exit code is 2 where what was given is at fault, 1 where something else is, and that of the
    signal where one ended the program.
    """
    try:
        yield
    except BrokenPipeError:  # Whoever read the output has gone, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except PyroVAEError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(_of_system(error), 1)
    except Stopped as stop:
        if is_first():
            print("\nStopped.", file=sys.stderr)
        sys.exit(SIGNALED + stop.number)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(SIGNALED + signal.SIGINT)


def fail(message: str, code: int) -> NoReturn:
    """End the program with an error."""
    whose = "" if is_first() else f"process {rank()}: "
    print(f"{whose}error: " + escaped(message, keep="\n\t"), file=sys.stderr)
    sys.exit(code)


def show_messages() -> None:
    """Show on stderr what the library logs; stdout belongs to the program's results."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A locale without Greek must not end a training.
            stream.reconfigure(errors="replace")
    warnings.showwarning = _show_warning
    logger = logging.getLogger("pyro_vae")
    if not logger.handlers:
        handler = _ToStderr()
        handler.setFormatter(_Named("%(area)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _of_system(error: OSError) -> str:
    """Return what the system refused, and where: "runs/first: No space left on device"."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show a warning without the place in the code that gave it."""
    text = escaped(str(message), keep="\n")
    print(f"warning: {text}", file=sys.stderr)


class _ToStderr(logging.Handler):
    """Print what is logged to what stderr is then, as `_show_warning` does."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:  # As other handlers do.
            self.handleError(record)


class _Named(logging.Formatter):
    """Name the part of the library that speaks: "data: downloading mnist"."""

    def format(self, record: logging.LogRecord) -> str:
        record.area = record.name.rpartition(".")[2]
        return escaped(super().format(record), keep="\n\t")
