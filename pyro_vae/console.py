"""What programs share: errors in plain words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyro_vae.checkpoints import CheckpointError
from pyro_vae.configuration import ConfigurationError
from pyro_vae.data import DataError
from pyro_vae.likelihoods import SupportError
from pyro_vae.objectives import ObjectiveError
from pyro_vae.slots import SlotError
from pyro_vae.training import TrainingError


@contextmanager
def plain_errors(*more: type[Exception]) -> Iterator[None]:
    """End the program with a sentence, not a traceback, where the cause is known.

    Args:
        more: errors that the program knows besides this library's.
    """
    try:
        yield
    except (
        *more,
        CheckpointError,
        ConfigurationError,
        DataError,
        ObjectiveError,
        OSError,
        SlotError,
        SupportError,
        TrainingError,
    ) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
