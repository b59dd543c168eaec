"""The three slots of a model: do they fit together, and what is there to fill them with."""

import inspect
import re
import warnings
from types import ModuleType
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae.modes import evaluating, seeded
from pyro_vae.vae import VAE


class SlotError(TypeError):
    """A slot returned something else than the distribution that is expected of it."""


class ScoreFunctionWarning(UserWarning):
    """A posterior is trained by the score function."""


def check_slots(vae: VAE, x: Tensor) -> None:
    """Try a model's three distributions on images x (B, C, H, W); a few suffice.

    Random numbers and the model's mode are left as found.

    Raises:
        SlotError: naming the slot, what came and what was expected.

    Warns:
        ScoreFunctionWarning: the posterior is not reparameterised.
    """
    with torch.no_grad(), evaluating(vae), seeded(0, x.device):
        posterior = _try(vae, x)
    if not posterior.has_rsample:
        warnings.warn(
            f"The posterior, {_named(vae.posterior)}, is not reparameterised: its gradient is "
            "the score function's, of high variance. Expect slow training, or average over many "
            "images and particles.",
            ScoreFunctionWarning,
            stacklevel=2,
        )


def _try(vae: VAE, x: Tensor) -> dist.Distribution:
    """Call every slot and look at what comes; returns the posterior's distribution."""
    prior = vae.prior()
    expect("prior", "prior()", prior, (), None)
    posterior = vae.posterior(x)
    expect("posterior", "posterior(x)", posterior, x.shape[:1], prior.event_shape)
    z = torch.stack([posterior.sample(), posterior.sample()])
    _check_support(prior, posterior, z)
    for codes in (z[0], z):
        call = f"likelihood(z) of z with shape {tuple(codes.shape)}"
        expect("likelihood", call, vae.likelihood(codes), codes.shape[:-1], x.shape[1:])
    return posterior


def expect(
    slot: str,
    call: str,
    came: Any,
    batch_shape: tuple[int, ...],
    event_shape: tuple[int, ...] | None,
) -> None:
    """Refuse what is not a Pyro distribution of these shapes; event shape None: any (D,).

    Raises:
        SlotError: naming the slot, what came and what was expected.
    """
    event = "(D,)" if event_shape is None else str(tuple(event_shape))
    expected = f"a Pyro distribution of batch shape {tuple(batch_shape)}, event shape {event}"
    problem = f"The {slot} does not fit: {call} must return {expected}, but returned "
    if not isinstance(came, dist.Distribution) or not hasattr(came, "event_shape"):
        raise SlotError(f"{problem}{_described(came)}.{_remedy(came)}")
    fits = len(came.event_shape) == 1 if event_shape is None else came.event_shape == event_shape
    if not fits or came.batch_shape != batch_shape:
        wanted = 1 if event_shape is None else len(event_shape)
        missing = wanted - len(came.event_shape)
        remedy = f" Does .to_event({missing}) lack at its end?" if missing > 0 else ""
        raise SlotError(f"{problem}{_described(came)}.{remedy}")


def _check_support(prior: dist.Distribution, posterior: dist.Distribution, z: Tensor) -> None:
    """Refuse a posterior whose draws the prior does not know."""
    try:
        inside = prior.support.check(z)
    except NotImplementedError:
        return
    if not bool(inside.all()):
        raise SlotError(
            "The posterior and the prior do not fit: draws of the posterior, "
            f"{_described(posterior)}, lie outside the support of the prior, "
            f"{_described(prior)}: {prior.support}."
        )


def _described(came: Any) -> str:
    if isinstance(came, torch.distributions.Distribution) or hasattr(came, "event_shape"):
        shapes = f"batch shape {tuple(came.batch_shape)}, event shape {tuple(came.event_shape)}"
        return f"{_family(came)} of {shapes}"
    shape = f" of shape {tuple(came.shape)}" if isinstance(came, Tensor) else ""
    return f"{type(came).__module__}.{type(came).__qualname__}{shape}"


def _family(distribution: Any) -> str:
    """The name of a distribution's class: beneath `to_event`, where there is one."""
    return type(getattr(distribution, "base_dist", distribution)).__qualname__


def _remedy(came: Any) -> str:
    if isinstance(came, torch.distributions.Distribution):
        return " It is torch's: take the one of the same name from pyro.distributions."
    return ""


def _named(slot: Any) -> str:
    return type(slot).__name__ if isinstance(slot, nn.Module) else getattr(slot, "__name__", "")


class Row(NamedTuple):
    """A class that fills a slot, as its docstring says.

    Attributes:
        slot: "prior", "posterior" or "likelihood".
        name: the class.
        summary: what it is, in a line.
        equation: in LaTeX.
        source: title, authors, year, and place.
    """

    slot: str
    name: str
    summary: str
    equation: str
    source: str


def table() -> list[Row]:
    """Every prior, posterior and likelihood of this library."""
    bases = {
        "prior": (priors, priors.Prior),
        "posterior": (posteriors, posteriors.Posterior),
        "likelihood": (likelihoods, likelihoods.Likelihood),
    }
    return [
        _row(slot, kind)
        for slot, (module, base) in bases.items()
        for kind in _public_classes(module, base)
    ]


def _public_classes(module: ModuleType, base: type) -> list[type]:
    """The classes that a module defines for its slot, in its order."""
    return [
        kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, base)
        and kind is not base
        and kind.__module__ == module.__name__
        and not name.startswith("_")
    ]


def _row(slot: str, kind: type) -> Row:
    """The first line of a docstring is summary and equation, the second paragraph the source."""
    first, source = inspect.cleandoc(kind.__doc__).split("\n\n")[:2]
    equation = re.search(r":math:`([^`]*)`", first)
    summary = re.sub(r",? ?:math:`[^`]*`", "", first).rstrip(".")
    return Row(slot, kind.__name__, summary, equation[1], " ".join(source.split()).rstrip("."))
