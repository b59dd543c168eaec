"""The three slots of a model: whether they fit together, and the classes that fill them."""

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae._arguments import Count, Images, checked
from pyro_vae._modes import evaluating, seeded
from pyro_vae._spelling import old_names
from pyro_vae.data import ImageData
from pyro_vae.errors import PyroVAEError
from pyro_vae.vae import VAE


class SlotError(PyroVAEError, TypeError):
    """A slot returned something other than the distribution that is expected of it."""


class ScoreFunctionWarning(UserWarning):
    """A posterior is not reparameterized, so that it is trained by the score function."""


@checked
def check_slots(vae: VAE, x: Images) -> None:
    """Try a model's three distributions on a few images x (B, C, H, W), in both modes.

    The random state, the mode and the buffers of the model, such as the statistics of batch
    normalization, are left as they were.

    Raises:
        SlotError: a slot does not fit; it names the slot, what it returned and what was expected.

    Warns:
        ScoreFunctionWarning: the posterior is not reparameterized.

    Example:
        >>> from pyro_vae import VAE, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.HypersphereUniform(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> try:
        ...     check_slots(vae, torch.rand(4, 1, 8, 8))
        ... except SlotError as error:
        ...     print(str(error).partition(":")[0])
        The posterior and the prior do not fit
    """
    _check_size(vae, x)
    with torch.enable_grad(), seeded(0, x.device):
        with evaluating(vae):
            posterior = _try(vae, x)
        try:
            with _training(vae):
                _try(vae, x)
        except SlotError as error:  # It behaves otherwise there, as dropout does.
            raise SlotError(f"In training mode: {error}") from error
    if not posterior.has_rsample:
        warnings.warn(
            f"The posterior, {_named(vae.posterior)}, is not reparameterized: its gradient is "
            "that of the score function, which has a high variance. Expect slow training, or "
            "average over many images and particles.",
            ScoreFunctionWarning,
            stacklevel=3,
        )


def _check_size(vae: VAE, x: Tensor) -> None:
    """Refuse images x (B, C, H, W) of another size than the decoder's.

    Raises:
        SlotError: naming both sizes.
    """
    size = vae.decoded_size
    if size is not None and tuple(x.shape[-2:]) != size:
        raise SlotError(
            f"The model is built for images of {size[0]}×{size[1]}, but these are "
            f"{x.shape[-2]}×{x.shape[-1]}: build its networks for images of shape "
            f"{tuple(x.shape[1:])}, or resize the images."
        )


@checked
def check_support(vae: VAE, images: ImageData, count: Count = 1000) -> None:
    """Check that the first `count` images lie in the likelihood's support.

    A likelihood without a method `check(x)` accepts all images.

    Raises:
        SupportError: they do not; it names the likelihood and the remedy.
    """
    check = getattr(vae.likelihood, "check", None)
    if callable(check):
        check(images.as_float(slice(0, count)))


@contextmanager
def _training(vae: VAE) -> Iterator[None]:
    """Put a model in training mode within a block, after which it is as before."""
    modes = [(part, part.training) for part in vae.modules()]
    buffers = [(each, each.clone()) for each in vae.buffers()]
    vae.train()
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _try(vae: VAE, x: Tensor) -> dist.TorchDistribution:
    """Call every slot, check what it returns, and return the posterior's distribution."""
    prior = _call("prior", vae.prior)
    expect("prior", "prior()", prior, (), None)
    posterior = _call("posterior", vae.posterior, x)
    expect("posterior", "posterior(x)", posterior, x.shape[:1], prior.event_shape)
    z = torch.stack([posterior.sample(), posterior.sample()])
    _check_support(prior, posterior, z)
    likelihood = _try_likelihood(vae, x, z[0])
    _try_likelihood(vae, x, z, remedy=_UNFOLDED)
    known = {id(parameter) for parameter in vae.parameters()}
    _check_parameters("prior", _score("prior", prior, z[0]), known)
    drawn = posterior.rsample() if posterior.has_rsample else posterior.log_prob(z[0])
    _check_parameters("posterior", drawn, known)
    of_images = _score("likelihood", likelihood, x)
    _check_possible(likelihood, of_images)
    _check_parameters("likelihood", of_images, known)
    return posterior


def _try_likelihood(vae: VAE, x: Tensor, z: Tensor, remedy: str = "") -> dist.TorchDistribution:
    likelihood = _call("likelihood", vae.likelihood, z, remedy=remedy)
    call = f"likelihood(z) of z with shape {tuple(z.shape)}"
    expect("likelihood", call, likelihood, z.shape[:-1], x.shape[1:])
    return likelihood


def _call(slot: str, part: Callable[..., Any], *inputs: Tensor, remedy: str = "") -> Any:
    """Call a slot, and return what it returns.

    Args:
        slot: its name.
        part: what fills it.
        inputs: its arguments.
        remedy: a sentence on what to do if the call fails.

    Raises:
        SlotError: the call fails, for example because sizes do not fit.
    """
    try:
        return part(*inputs)
    except (RuntimeError, ValueError, IndexError) as error:
        given = f" at an input of shape {tuple(inputs[0].shape)}" if inputs else ""
        detail = str(error).strip().rstrip(".")
        remedy = _other_precision(part, *inputs) or remedy
        raise SlotError(
            f"The {slot}, {_named(part)}, fails{given}: {detail}{'.' * bool(remedy)}{remedy}"
        ) from error


def _other_precision(part: Any, *inputs: Tensor) -> str:
    """Return what to do where a slot fails at inputs of another precision than its parameters."""
    own = {each.dtype for each in part.parameters()} if isinstance(part, nn.Module) else set()
    if not inputs or not own or inputs[0].dtype in own:
        return ""
    precisions = " and ".join(sorted(map(str, own)))
    return (
        f" Its parameters are {precisions}, but its input is {inputs[0].dtype}: call vae.float() "
        "first."
    )


def _score(slot: str, distribution: dist.TorchDistribution, values: Tensor) -> Tensor:
    """Return the log-probability of images under a likelihood, or of latents under a prior.

    Raises:
        SlotError: the distribution cannot score them.
    """
    try:
        return distribution.log_prob(values)
    except (ValueError, NotImplementedError) as error:
        what = "these images" if slot == "likelihood" else "the posterior's draws"
        if _outside(distribution, values):  # The error of torch would print all the values.
            reason = f"they lie outside its support, {distribution.support}."
        else:
            reason = str(error) or type(error).__name__
        raise SlotError(
            f"The {slot}, {_described(distribution)}, cannot score {what}: {reason}"
        ) from error


def _outside(distribution: dist.TorchDistribution, values: Tensor) -> bool:
    """Return whether any values lie outside a distribution's support, if that is known."""
    try:
        support = distribution.support
        return support is not None and not bool(support.check(values).all())
    except NotImplementedError:
        return False


def _check_possible(likelihood: dist.TorchDistribution, log_prob: Tensor) -> None:
    """Refuse a likelihood under which the images cannot occur: training would not change that.

    Raises:
        SlotError: their log-probability is -inf; it names the likelihood.
    """
    if log_prob.isneginf().any():
        raise SlotError(
            f"Under the likelihood, {_described(likelihood)}, these images cannot occur: their "
            "log-probability is -inf. The reason may be pixels of exactly 0 or 1, which "
            "dequantized images do not have (--pixels dequantized, with_pixels)."
        )


def _check_parameters(slot: str, result: Tensor, known: set[int]) -> None:
    """Refuse parameters that would get gradients, but are not registered in the model.

    Raises:
        SlotError: there are some; it names the slot and their shapes.
    """
    strange = [leaf for leaf in _leaves(result) if id(leaf) not in known]
    if strange:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in strange[:3])
        more = ", ..." if len(strange) > 3 else ""
        raise SlotError(
            f"The {slot} uses {len(strange)} parameters that are not registered in the model, of "
            f"shapes {shapes}{more}: they would never be trained. Make the {slot} an nn.Module "
            "with its networks as attributes, or freeze them by requires_grad_(False)."
        )


def _leaves(result: Tensor) -> list[Tensor]:
    """Return the tensors in which backpropagation from a result would accumulate gradients."""
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
    returned: Any,
    batch_shape: tuple[int, ...],
    event_shape: tuple[int, ...] | None,
) -> None:
    """Check that a call returned a Pyro distribution of these shapes.

    Args:
        slot: the slot's name.
        call: the call, as the error writes it.
        returned: what the call returned.
        batch_shape: the batch shape expected.
        event_shape: the event shape expected; None for any (D,).

    Raises:
        SlotError: it did not; it names the slot, what was returned and what was expected.
    """
    event = "(D,)" if event_shape is None else str(tuple(event_shape))
    expected = f"a Pyro distribution of batch shape {tuple(batch_shape)}, event shape {event}"
    problem = f"The {slot} does not fit: {call} must return {expected}, but returned "
    is_distribution = isinstance(returned, dist.Distribution) and hasattr(returned, "event_shape")
    if not is_distribution:
        raise SlotError(f"{problem}{_described(returned)}.{_remedy(returned)}")
    fits = (
        len(returned.event_shape) == 1
        if event_shape is None
        else returned.event_shape == event_shape
    )
    if not fits or returned.batch_shape != batch_shape:
        wanted = 1 if event_shape is None else len(event_shape)
        missing = wanted - len(returned.event_shape)
        remedy = f" Is .to_event({missing}) missing at its end?" if missing > 0 else ""
        folded = (math.prod(batch_shape),)
        if not missing and len(batch_shape) > 1 and returned.batch_shape == folded:
            remedy = _UNFOLDED
        raise SlotError(f"{problem}{_described(returned)}.{remedy}")


def _check_support(
    prior: dist.TorchDistribution, posterior: dist.TorchDistribution, z: Tensor
) -> None:
    """Refuse a posterior whose draws z lie outside the prior's support."""
    if _outside(prior, z):
        raise SlotError(
            "The posterior and the prior do not fit: draws of the posterior, "
            f"{_described(posterior)}, lie outside the support of the prior, "
            f"{_described(prior)}: {prior.support}."
        )


def _described(value: Any) -> str:
    if isinstance(value, torch.distributions.Distribution) or hasattr(value, "event_shape"):
        shapes = f"batch shape {tuple(value.batch_shape)}, event shape {tuple(value.event_shape)}"
        return f"{_family(value)} of {shapes}"
    shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
    return f"{type(value).__module__}.{type(value).__qualname__}{shape}"


def _family(distribution: Any) -> str:
    """Return the name of a distribution's class, which may lie beneath `to_event`."""
    return type(getattr(distribution, "base_dist", distribution)).__name__


def _remedy(value: Any) -> str:
    if isinstance(value, torch.distributions.Distribution):
        return " It is torch's: take the one of the same name from pyro.distributions."
    return ""


def _named(part: Any) -> str:
    """Return the name of a slot's class or function, which may lie beneath a partial."""
    if isinstance(part, nn.Module):
        return type(part).__name__
    return getattr(getattr(part, "func", part), "__name__", type(part).__name__)


#: For a network that takes no leading dimensions but one, or folds them as `view(-1, ...)` does.
_UNFOLDED = (
    " Its network seems to take latent vectors (N, D) alone. Fold the leading dimensions of z "
    "before it, x = network(z.reshape(-1, z.shape[-1])), and unfold them after it, "
    "x = x.reshape(*z.shape[:-1], *x.shape[-3:]); or make it the decoder of a Likelihood, which "
    "does both."
)


class Row(NamedTuple):
    """A class that fills a slot, as its docstring describes it.

    Attributes:
        slot: "prior", "posterior" or "likelihood".
        name: the name of the class.
        summary: the name of the distribution, in words.
        equation: its equation, in LaTeX.
        source: title, authors and year of the source, and the place in it.
    """

    slot: str
    name: str
    summary: str
    equation: str
    source: str


def overview() -> list[Row]:
    """Return every prior, posterior and likelihood of this library.

    Example:
        >>> row = overview()[0]
        >>> row.slot, row.name, row.summary
        ('prior', 'StandardNormal', 'Standard Normal')
    """
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
    """Return the classes that a module defines for its slot, in the order of the module."""
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
    """Read a docstring: its first line is name and equation, its second paragraph the source."""
    first, source = (inspect.getdoc(kind) or "").split("\n\n")[:2]
    name, equation, rest = re.split(r",? ?:math:`([^`]*)`", first, maxsplit=1)
    summary, source = f"{name}{rest}".rstrip("."), " ".join(source.split()).rstrip(".")
    return Row(slot, kind.__name__, summary, equation, source)


__getattr__ = old_names(__name__, {"table": overview})
