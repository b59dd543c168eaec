"""What programs share: errors in plain words, and numbers with their units."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyro_vae.checkpoints import CheckpointError
from pyro_vae.configuration import ConfigurationError
from pyro_vae.data import DataError
from pyro_vae.likelihoods import SupportError
from pyro_vae.objectives import ObjectiveError
from pyro_vae.slots import SlotError
from pyro_vae.training import TrainingError

ROWS = (
    ("elbo", "ELBO", "nats per image"),
    ("standard_error", "its standard error", "nats per image"),
    ("distortion", "distortion, -E log p(x|z)", "nats per image"),
    ("rate", "rate, KL(q(z|x) || p(z))", "nats per image"),
    ("published_loss", "loss on the source's scale", "as the source counts"),
    ("bits_per_dimension", "the ELBO's bits per dimension", "bits per value of an image"),
    ("negative_log_likelihood", "-log p(x), weighted samples", "nats per image"),
    ("log_likelihood_bits", "its bits per dimension", "bits per value of an image"),
    ("log_likelihood_error", "its standard error, images", "nats per image"),
    ("sampling_error", "one image's sampling error", "nats per image"),
)


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


def table(numbers: dict[str, Any]) -> str:
    """An evaluation's numbers as lines of text, with units."""
    lines = [f"{numbers['images']} test images"]
    for key, name, unit in ROWS:
        value = numbers.get(key)
        if value is not None:
            lines.append(f"  {name:<28}{value:>10.2f}  {unit}")
    if numbers["samples"]:
        doubt = "too few to say how far to trust them"
        if numbers["untrusted"] is not None:
            doubt = (
                f"Pareto k above 0.7, not to be trusted: {numbers['untrusted']:.1%} of the images"
            )
        lines.append(f"  ({numbers['samples']} samples an image; {doubt})")
    return "\n".join([*lines, f"  {numbers['verdict']}"])
