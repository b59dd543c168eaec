"""What programs share: messages on the screen, and errors in plain words."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyro_vae.errors import PyroVAEError


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the program with a sentence, not a traceback, where the cause is known."""
    try:
        yield
    except (PyroVAEError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


def show_messages() -> None:
    """Show on stderr what the library logs; stdout belongs to the program's results."""
    logger = logging.getLogger("pyro_vae")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Named("%(area)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Named(logging.Formatter):
    """Name the part of the library that speaks: "data: downloading mnist"."""

    def format(self, record: logging.LogRecord) -> str:
        record.area = record.name.rpartition(".")[2]
        return super().format(record)
