"""Whether a training's numbers are finite: flags that gather on the device and are read rarely."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyro_vae._tensors import not_finite
from pyro_vae.processes import world_size
from pyro_vae.processes.group import agreed
from pyro_vae.training.failures import OUTSIDE, Diverged, TrainingError
from pyro_vae.vae import VAE

_ADVICE = (
    "Lower the learning rate, clip the gradient, or look for scales that reach 0; with "
    "--on-nan rollback the training continues from its last checkpoint at half the learning rate."
)
#: How many times its first loss, or its number of values, a loss may rise by without a word.
_RUNAWAY = 10
#: A step that no training reaches.
_NEVER = 2**62


class _Seen(NamedTuple):
    """What is kept of a step, counted from 0, until it is read.

    Attributes:
        step: the step.
        names: the names of the parameters that have a gradient.
        sizes: a number for each gradient that is finite where the gradient is.
        inside: whether each value that a program was given was inside its support.
    """

    step: int
    names: list[str]
    sizes: Tensor
    inside: Tensor


class Watch:
    """What has been seen of a training's numbers; no step waits for the device.

    Args:
        vae: the model.
        values: number of values of an image, C H W.
    """

    def __init__(self, vae: VAE, values: int) -> None:
        self.first_loss = math.nan
        self._vae, self._values = vae, values
        self._parameters: list[tuple[str, nn.Parameter]] = []
        self._seen: list[_Seen] = []
        self._read, self._warned = 0, False

    def start_epoch(self, before: int) -> None:
        """Count the steps of an epoch, of which some were made already."""
        self._read, self._seen = before, []
        self._parameters = list(self._vae.named_parameters())

    @torch.no_grad()
    def see(self, step: int, inside: Sequence[Tensor]) -> None:
        """Keep what tells whether a step's gradients and values were sound, on the device.

        Args:
            step: the step, counted from 0.
            inside: whether each value given was inside its support, as tensors of shape ().
        """
        names, gradients = [], []
        for name, parameter in self._parameters:
            if parameter.grad is not None and not parameter.grad.is_sparse:
                names.append(name)
                gradients.append(parameter.grad)
        # The largest values would do, but are found ten times more slowly. On a CPU a sum takes
        # half as long as a norm; elsewhere one kernel returns all norms.
        if gradients and gradients[0].device.type == "cpu":
            sizes = [gradient.sum() for gradient in gradients]
        else:
            sizes = list(torch._foreach_norm(gradients)) if gradients else []
        self._seen.append(_Seen(step, names, _stacked(sizes), _stacked(inside)))

    def check(self, bounds: Sequence[Tensor], where: str) -> None:
        """Read the flags of the steps since the last reading.

        Args:
            bounds: loss, distortion and rate of each step of the epoch, (3,) each.
            where: the epoch, for the message.

        Raises:
            Diverged: naming the step, what is not finite, and the likeliest cause.
            TrainingError: a value was outside its support.
        """
        seen, self._seen = self._seen, []
        sizes = _read([each.sizes for each in seen])
        inside = _read([each.inside for each in seen])
        stray, bad, names = math.inf, math.inf, []
        for each, values, flags in zip(seen[::-1], sizes[::-1], inside[::-1], strict=True):
            if not all(flags):
                stray = each.step
            named = zip(each.names, values, strict=True)
            if of_step := [name for name, value in named if not math.isfinite(value)]:
                bad, names = each.step, of_step
        stray = _first_of_all(stray)
        new = torch.stack(list(bounds[self._read :])).tolist() if bounds[self._read :] else []
        for step, terms in enumerate(new, start=self._read):
            if step > min(bad, stray - 1):
                break
            if not all(map(math.isfinite, terms)):
                raise Diverged(f"{_of_terms(*terms)} ({where}, step {step + 1}). {_ADVICE}")
        if stray <= bad and stray < math.inf:
            raise TrainingError(f"{OUTSIDE} ({where}, step {int(stray) + 1})")
        if bad < math.inf:
            raise Diverged(f"{_of_gradients(names)} ({where}, step {int(bad) + 1}). {_ADVICE}")
        self._read = len(bounds)
        self._look_for_runaway([terms[0] for terms in new], where)

    def check_weights(self, weights: Mapping[str, Tensor], where: str) -> None:
        """Refuse weights and running statistics that are not finite.

        Raises:
            Diverged: naming the first of them.
        """
        for name in not_finite(weights):
            raise Diverged(
                f"The training diverged: the weights {name}, of the {_slot(name)}, are not finite "
                f"({where}). {_ADVICE}"
            )

    def _look_for_runaway(self, losses: Sequence[float], where: str) -> None:
        if not losses:
            return
        mean = math.fsum(losses) / len(losses)
        if math.isnan(self.first_loss):
            self.first_loss = mean
        rise, scale = mean - self.first_loss, max(abs(self.first_loss), self._values)
        if rise > _RUNAWAY * scale and not self._warned:
            self._warned = True
            warnings.warn(
                f"The loss has risen from {self.first_loss:,.4g} to {mean:,.4g} nats per image "
                f"({where}): the training is diverging. {_ADVICE}",
                UserWarning,
                stacklevel=2,
            )


def _stacked(scalars: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(scalars)) if scalars else torch.empty(0, device="cpu")


def _read(parts: Sequence[Tensor]) -> list[list[float]]:
    """Return the values of vectors, read from their device at once."""
    filled = [part for part in parts if len(part)]
    values = iter(torch.cat(filled).tolist() if filled else ())
    return [[next(values) for _ in range(len(part))] for part in parts]


def check_record(record: Mapping[str, float], where: str) -> None:
    """Refuse the numbers of an epoch that are not finite.

    Raises:
        Diverged: naming them.
    """
    bad = [name.replace("_", " ") for name, value in record.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(
            f"The training diverged: {', '.join(bad)} are not finite ({where}). {_ADVICE}"
        )


def _first_of_all(step: float) -> float:
    """Return the first step that any process has flagged; infinity if none has."""
    if world_size() == 1:
        return step
    (found,) = agreed(-int(step) if step < math.inf else -_NEVER)
    return -found if found > -_NEVER else math.inf


def _of_terms(loss: float, distortion: float, rate: float) -> str:
    """Return what is not finite of a step's bound, and the likeliest cause."""
    if not math.isfinite(distortion) and math.isfinite(rate):
        return (
            "The training diverged: the distortion is not finite, -log p(x|z) of the likelihood, "
            "whose scales or probabilities have probably reached 0"
        )
    if math.isfinite(distortion) and not math.isfinite(rate):
        return (
            "The training diverged: the rate is not finite, KL(q(z|x) || p(z)) of the posterior "
            "and the prior, whose scales have probably reached 0 or infinity"
        )
    return (
        "The training diverged: the loss is no longer a number, in the likelihood and in the "
        "posterior; the step before was probably too long"
    )


def _of_gradients(names: Sequence[str]) -> str:
    """Return which gradients are not finite, and the likeliest cause."""
    slots = list(dict.fromkeys(_slot(name) for name in names))
    more = f" and of {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"The training diverged: the loss is finite, but the gradient of {names[0]}{more} is not, "
        f"in the {' and the '.join(slots)}: probably a function with an infinite slope, such as "
        "a root or a logarithm at 0"
    )


def _slot(name: str) -> str:
    """Return the slot that a parameter belongs to."""
    return name.removeprefix("module.").split(".")[0]
