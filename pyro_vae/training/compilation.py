"""The networks compiled by `torch.compile` while a model is trained.

Encoder and decoder are compiled, one by one; a Pyro program cannot be, as its handlers break the
graph. Weights, files and random numbers are those of a training that is not compiled, and results
are equal to rounding.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae._modes import evaluating, seeded
from pyro_vae.vae import VAE, networks_of

logger = logging.getLogger("pyro_vae.training")


@contextmanager
def compiled(vae: VAE, x: Tensor, backend: str = "inductor") -> Iterator[None]:
    """Compile the networks of a model within a block; where they cannot be, warn and go without.

    Args:
        vae: the model, which is known to take `x`.
        x: a few images to try the networks with, (B, C, H, W).
        backend: one of `torch.compiler.list_backends()`.
    """
    networks = networks_of(vae)
    before = [network._compiled_call_impl for network in networks]

    def restore() -> None:
        for network, call in zip(networks, before, strict=True):
            network._compiled_call_impl = call

    try:
        try:
            with _validation_unchanged():
                for network in networks:
                    network.compile(backend=backend)
                _try(vae, x)
        except Exception as error:  # Whatever it is, the same images passed without compilation.
            logger.warning("The networks are not compiled: %s", _reason(error))
            restore()
        yield
    finally:
        restore()


@contextmanager
def _validation_unchanged() -> Iterator[None]:
    """Undo that the first compilation switches off the validation of all distributions."""
    validated = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validated)


@torch.no_grad()
def _try(vae: VAE, x: Tensor) -> None:
    """Call both networks; in evaluation mode, so that they remember nothing of it."""
    with evaluating(vae), seeded(0, x.device):
        vae.reconstruct(x)


def _reason(error: Exception) -> str:
    """Return the first line of what the compiler says, without what its caller adds to it."""
    inner = getattr(error, "inner_exception", error)
    return str(inner).strip().partition("\n")[0] or type(inner).__name__
