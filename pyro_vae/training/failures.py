"""What stops a training, in words: why a step failed, found by looking at the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.errors import PyroVAEError
from pyro_vae.vae import VAE


class TrainingError(PyroVAEError, RuntimeError):
    """A training cannot start or continue."""

    exit_code = 1


class DeviceError(TrainingError):
    """A device that was named cannot be used."""

    exit_code = 2


class Diverged(TrainingError):
    """A loss, a gradient or a weight is no longer a finite number."""


DIVERGED = (
    "The training diverged: the loss is no longer a number. Lower the learning rate, or look for "
    "scales that reach 0."
)
OUTSIDE = (
    "A value lies outside a distribution's support: an image outside the likelihood's, or a draw "
    "of the posterior outside the prior's. Choose distributions that fit."
)


@contextmanager
def explained(vae: VAE, x: Tensor, where: str) -> Iterator[None]:
    """Say in words what Pyro's validation, or torch, refuses at images x (B, C, H, W).

    A sound model passed it at the start of the training.

    Raises:
        Diverged: the model's numbers are no longer finite.
        TrainingError: a value lies outside a distribution's support.
    """
    try:
        yield
    except PyroVAEError:
        raise
    except (ValueError, RuntimeError) as error:
        try:
            cause = cause_of_failure(vae, x)
        except Exception:  # Where even looking fails, the first error says more.
            cause = None
        if cause is None:
            raise
        kind = Diverged if cause is DIVERGED else TrainingError
        raise kind(f"{cause} ({where})") from error


@torch.no_grad()
def cause_of_failure(vae: VAE, x: Tensor) -> str | None:
    """Return why a model cannot be scored at images x (B, C, H, W), or None if that is not clear.

    Pyro's validation is off meanwhile, because the values that it rejects are inspected.
    """
    if not all(parameter.isfinite().all() for parameter in vae.parameters()):
        return DIVERGED
    with pyro.validation_enabled(False):
        prior, posterior = vae.prior(), vae.posterior(x)
        try:
            z = posterior.sample()
        except RuntimeError:  # torch draws nothing from parameters that are not numbers.
            return DIVERGED
        likelihood = vae.likelihood(z)
        scores = (posterior.log_prob(z), prior.log_prob(z), likelihood.log_prob(x))
        if any(score.isnan().any() for score in scores) or not z.isfinite().all():
            return DIVERGED
        pairs: list[tuple[Any, Tensor]] = [(prior, z), (likelihood, x)]
        for distribution, values in pairs:
            try:
                if not distribution.support.check(values).all():
                    return OUTSIDE
            except NotImplementedError:  # A distribution of one's own need not know its support.
                continue
    return None
