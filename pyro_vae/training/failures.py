"""What stops a training, in words: why a step failed, found by looking at the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.errors import PyroVAEError
from pyro_vae.training.progress_bar import DIVERGED, Bar
from pyro_vae.training.state import TrainingError
from pyro_vae.vae import VAE

OUTSIDE = (
    "A value lies outside a distribution's support: an image outside the likelihood's, or a draw "
    "of the posterior outside the prior's. Choose distributions that fit."
)


@contextmanager
def explained(vae: VAE, x: Tensor, bar: Bar | None) -> Iterator[None]:
    """Say in words what Pyro's validation refuses at images x (B, C, H, W).

    A sound model passed it at the start of the training.

    Raises:
        TrainingError: the model diverged, or a value lies outside a distribution's support.
    """
    try:
        yield
    except PyroVAEError:
        raise
    except ValueError as error:
        try:
            cause = cause_of_failure(vae, x)
        except Exception:  # Where even looking fails, the first error says more.
            cause = None
        if cause is None:
            raise
        if bar is None:
            raise TrainingError(cause) from error
        bar.close()
        raise TrainingError(f"{cause} ({bar.name})") from error


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
