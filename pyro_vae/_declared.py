"""What guide and model declare when they are run on images: distributions, and draws from them.

Evaluation, pictures and most objectives take q(z|x), p(z) and p(x|z) from here, so that a model
whose `guide` or `model` was written anew is trained and judged by its own programs.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyro_vae.vae import VAE

Program = Callable[[Tensor], None]


class Drawn(NamedTuple):
    """What the guide drew for B images.

    Attributes:
        posterior: q(z|x) as the guide declares it.
        z: a draw from it, (B, D); several for each image, (..., B, D).
        trace: all that the guide drew, from which the model can be replayed.
    """

    posterior: dist.TorchDistribution
    z: Tensor
    trace: Any


class Declared(NamedTuple):
    """What the model declares of B images.

    Attributes:
        prior: p(z).
        likelihood: p(x|z).
        trace: all that the model draws and observes.
    """

    prior: dist.TorchDistribution
    likelihood: dist.TorchDistribution
    trace: Any


def run_guide(vae: VAE, x: Tensor, shape: tuple[int, ...] = ()) -> Drawn:
    """Run the guide on images x (B, C, H, W), with draws of that shape for each image."""
    trace: Any = poutine.trace(_repeated(vae.guide, shape)).get_trace(x)
    site = trace.nodes["z"]
    return Drawn(site["fn"], site["value"], trace)


def run_model(vae: VAE, x: Tensor, given: Drawn | Tensor, shape: tuple[int, ...] = ()) -> Declared:
    """Run the model on images x (B, C, H, W).

    Args:
        vae: the model.
        x: the images.
        given: what the guide drew, or latent vectors alone, (B, D).
        shape: that of the draws for each image, as in `run_guide`.
    """
    program: Any = _repeated(vae.model, shape)
    if isinstance(given, Drawn):
        program = poutine.replay(program, given.trace)
    else:
        program = poutine.condition(program, data={"z": given})
    trace: Any = poutine.trace(program).get_trace(x)
    return Declared(trace.nodes["z"]["fn"], trace.nodes["x"]["fn"], trace)


def others(trace: Any) -> list[str]:
    """Return the names at which a program draws or observes, beside z and x."""
    sites = {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
    return [n for n, site in sites.items() if n not in ("z", "x") and not site_is_subsample(site)]


def own_programs(vae: VAE) -> bool:
    """Return whether guide and model are those of `VAE`, which draw from the slots alone."""
    return (type(vae).model, type(vae).guide) == (VAE.model, VAE.guide)


def _repeated(program: Program, shape: tuple[int, ...]) -> Program:
    """Return a program that runs another as often as a shape says, for each image."""

    def run(x: Tensor) -> None:
        with ExitStack() as plates:
            for axis, count in enumerate(shape):
                plate: Any = pyro.plate(f"samples_{axis}", count, dim=axis - len(shape) - 1)
                plates.enter_context(plate)
            program(x)

    return run
