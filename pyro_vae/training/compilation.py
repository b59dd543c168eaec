"""The networks compiled by `torch.compile` while a model is trained.

Encoder and decoder are compiled, one by one; a Pyro program cannot be, as its handlers break the
graph. Weights, files and random numbers are those of a training that is not compiled, and results
are equal to rounding.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae._modes import evaluating, seeded
from pyro_vae.objectives import ELBO
from pyro_vae.processes import alone
from pyro_vae.vae import VAE, networks_of

logger = logging.getLogger("pyro_vae.training")


@contextmanager
def compiled(vae: VAE, x: Tensor, backend: str = "inductor") -> Iterator[float]:
    """Compile the networks of a model within a block; where they cannot be, warn and go without.

    They are compiled at the beginning, and once more at the first batch of another size.

    Args:
        vae: the model, which is known to take `x`.
        x: a few images to try the networks with, (B, C, H, W).
        backend: one of `torch.compiler.list_backends()`.

    Yields:
        The seconds that it took.
    """
    start = time.perf_counter()
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
        yield time.perf_counter() - start
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


def _try(vae: VAE, x: Tensor) -> None:
    """Compile both networks as they are called later, and leave no trace of it.

    They are called in evaluation mode, and in training mode with gradients: each is compiled anew.
    """
    weights = [weight for weight in vae.parameters() if weight.requires_grad]
    statistics = {name: buffer.clone() for name, buffer in vae.named_buffers()}
    with evaluating(vae), seeded(0, x.device), alone():
        try:
            vae.reconstruct(x)
            vae.train()
            loss = ELBO()(vae, x).loss
            if weights:
                torch.autograd.grad(loss, weights, allow_unused=True)
        finally:
            for name, buffer in vae.named_buffers():
                if name in statistics:  # A network may make some at its first call.
                    buffer.detach().copy_(statistics[name])


def _reason(error: BaseException) -> str:
    """Return the first line of what the compiler says, without what its caller adds to it."""
    inner: BaseException = error
    each: BaseException | None = error
    seen: list[BaseException] = []
    while each and each not in seen:  # Pyro raises its own error while it handles the compiler's.
        seen.append(each)
        inner, each = getattr(each, "inner_exception", inner), each.__cause__ or each.__context__
    return str(inner).strip().partition("\n")[0] or type(inner).__name__
