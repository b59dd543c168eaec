"""The three slots of a model: do they fit together, and what is there to fill them with."""

import inspect
import re
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae.data import ImageData
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
    with torch.enable_grad(), evaluating(vae), seeded(0, x.device):
        posterior = _try(vae, x)
    if not posterior.has_rsample:
        warnings.warn(
            f"The posterior, {_named(vae.posterior)}, is not reparameterised: its gradient is "
            "the score function's, of high variance. Expect slow training, or average over many "
            "images and particles.",
            ScoreFunctionWarning,
            stacklevel=2,
        )


def check_support(vae: VAE, images: ImageData, count: int = 1000) -> None:
    """Refuse images that the likelihood is not made for, if it can say so.

    Raises:
        SupportError: naming the likelihood and the remedy.
    """
    check = getattr(vae.likelihood, "check", None)
    if callable(check):
        check(images.as_float(slice(0, count)))


def _try(vae: VAE, x: Tensor) -> dist.Distribution:
    """Call every slot and look at what comes; returns the posterior's distribution."""
    prior = _call("prior", vae.prior)
    expect("prior", "prior()", prior, (), None)
    posterior = _call("posterior", vae.posterior, x)
    expect("posterior", "posterior(x)", posterior, x.shape[:1], prior.event_shape)
    z = torch.stack([posterior.sample(), posterior.sample()])
    _check_support(prior, posterior, z)
    likelihood = _try_likelihood(vae, x, z[0])
    _try_likelihood(vae, x, z)
    known = {id(parameter) for parameter in vae.parameters()}
    _check_parameters("prior", _score("prior", prior, z[0]), known)
    drawn = posterior.rsample() if posterior.has_rsample else posterior.log_prob(z[0])
    _check_parameters("posterior", drawn, known)
    of_images = _score("likelihood", likelihood, x)
    _check_possible(likelihood, of_images)
    _check_parameters("likelihood", of_images, known)
    return posterior


def _try_likelihood(vae: VAE, x: Tensor, z: Tensor) -> dist.Distribution:
    likelihood = _call("likelihood", vae.likelihood, z)
    call = f"likelihood(z) of z with shape {tuple(z.shape)}"
    expect("likelihood", call, likelihood, z.shape[:-1], x.shape[1:])
    return likelihood


def _call(slot: str, slot_of_model: Callable, *inputs: Tensor) -> Any:
    """What a slot returns.

    Raises:
        SlotError: it fails, as where sizes do not fit.
    """
    try:
        return slot_of_model(*inputs)
    except (RuntimeError, ValueError, IndexError) as error:
        given = f" at an input of shape {tuple(inputs[0].shape)}" if inputs else ""
        raise SlotError(f"The {slot}, {_named(slot_of_model)}, fails{given}: {error}") from error


def _score(slot: str, distribution: dist.Distribution, values: Tensor) -> Tensor:
    """The log-probability of values: images under a likelihood, codes under a prior.

    Raises:
        SlotError: they are none that it could score.
    """
    try:
        return distribution.log_prob(values)
    except (ValueError, NotImplementedError) as error:
        what = "these images" if slot == "likelihood" else "the posterior's draws"
        text = " ".join(str(error).split())
        reason = text.split("tensor(")[0] or type(error).__name__  # torch prints all values along.
        raise SlotError(
            f"The {slot}, {_described(distribution)}, cannot score {what}: {reason}"
        ) from error


def _check_possible(likelihood: dist.Distribution, log_prob: Tensor) -> None:
    """Refuse a likelihood under which real images cannot occur: no training would mend that.

    Raises:
        SlotError: naming the likelihood.
    """
    if log_prob.isneginf().any():
        raise SlotError(
            f"The likelihood, {_described(likelihood)}, says that these images cannot occur: their "
            "log-probability is -inf. Levels of exactly 0 and 1 may do that; dequantised pixels "
            "have none (--pixels dequantised, with_pixels)."
        )


def _check_parameters(slot: str, result: Tensor, known: set[int]) -> None:
    """Refuse parameters that would get gradients and yet never move: the model has them not.

    Raises:
        SlotError: naming the slot and their shapes.
    """
    strange = [leaf for leaf in _leaves(result) if id(leaf) not in known]
    if strange:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in strange[:3])
        raise SlotError(
            f"The {slot} uses {len(strange)} parameters that the model does not hold, of shapes "
            f"{shapes}, ...: they would never be trained. Make the {slot} an nn.Module that holds "
            "its networks as attributes, or switch their gradients off: requires_grad_(False)."
        )


def _leaves(result: Tensor) -> list[Tensor]:
    """The tensors at which a result's gradients would gather."""
    found, todo, seen = [], [result.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [before for before, _ in node.next_functions]
    return found


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
        remedy = f" Is .to_event({missing}) missing at its end?" if missing > 0 else ""
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
    if isinstance(slot, nn.Module):
        return type(slot).__name__
    return getattr(getattr(slot, "func", slot), "__name__", type(slot).__name__)  # A partial's.


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
