"""What guide and model declare when they are run on images: distributions, and draws from them.

Evaluation, pictures and most objectives take q(z|x), p(z) and p(x|z) from here, so that a model
whose `guide` or `model` was written anew is trained and judged by its own programs.
"""

from collections.abc import Callable
from contextlib import nullcontext
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
        z: a draw from it, (B, D); K draws for each image, (K, B, D).
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


def run_guide(vae: VAE, x: Tensor, samples: int | None = None) -> Drawn:
    """Run the guide on images x (B, C, H, W): once, or `samples` times for each image."""
    trace: Any = poutine.trace(_repeated(vae.guide, samples)).get_trace(x)
    site = trace.nodes["z"]
    return Drawn(site["fn"], site["value"], trace)


def run_model(vae: VAE, x: Tensor, given: Drawn | Tensor, samples: int | None = None) -> Declared:
    """Run the model on images x (B, C, H, W).

    Args:
        vae: the model.
        x: the images.
        given: what the guide drew, or latent vectors alone, (B, D).
        samples: the number of draws for each image, as in `run_guide`.
    """
    program: Any = _repeated(vae.model, samples)
    if isinstance(given, Drawn):
        program = poutine.replay(program, given.trace)
    else:
        program = poutine.condition(program, data={"z": given})
    trace: Any = poutine.trace(program).get_trace(x)
    return Declared(trace.nodes["z"]["fn"], trace.nodes["x"]["fn"], trace)


def further_sites(trace: Any) -> list[str]:
    """Return the names at which a program draws or observes, beside z and x."""
    return [name for name, _ in _sites(trace) if name not in ("z", "x")]


def weighted_sites(trace: Any) -> list[str]:
    """Return the names of the sites whose log-probability is weighted or masked."""
    return [n for n, site in _sites(trace) if site["mask"] is not None or _is_scaled(site["scale"])]


def _sites(trace: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(name, site) for name, site in trace.nodes.items() if counts(site)]


def counts(site: Any) -> bool:
    """Return whether a site counts in a bound: no plate does, and none that is deterministic."""
    drawn = site["type"] == "sample" and not site_is_subsample(site)
    return drawn and not (site["infer"] or {}).get("_deterministic")


def _is_scaled(scale: Any) -> bool:
    return isinstance(scale, Tensor) or scale != 1


def own_programs(vae: VAE) -> bool:
    """Return whether guide and model are those of `VAE`, which draw from the slots alone."""
    return (type(vae).model, type(vae).guide) == (VAE.model, VAE.guide)


def _repeated(program: Program, samples: int | None) -> Program:
    """Return a program that runs another `samples` times for each image; None: as it is."""

    def run(x: Tensor) -> None:
        with nullcontext() if samples is None else pyro.plate("samples", samples, dim=-2):
            program(x)

    return run
