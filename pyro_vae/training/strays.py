"""Whether values stray from the supports of their distributions, without waiting for the device.

The first batch is checked as Pyro checks every batch: shapes, supports and parameters of the
distributions. Later batches are not, which would take a good part of a step, and on a GPU would
wait for it. Of them, the values that a program is given are flagged on the device: images outside
the likelihood's support, and draws of the posterior outside the prior's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Independent, constraints

from pyro_vae._declared import counts
from pyro_vae.objectives import Objective
from pyro_vae.processes.group import agreed
from pyro_vae.training.failures import OUTSIDE, TrainingError

#: All values are inside these if the smallest and the largest are.
_INTERVALS = (
    constraints.interval,
    constraints.half_open_interval,
    constraints.greater_than,
    constraints.greater_than_eq,
    constraints.less_than,
)


class Validation:
    """Validates the batches of an objective: the first as Pyro does, those after it by flags."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._first = objective, True

    @contextmanager
    def batch(self) -> Iterator[list[Tensor]]:
        """Validate a batch, whose bound is computed within a block.

        Yields:
            Whether each value that a program was given is inside its support: a list of tensors of
            shape () on the device, which fills. It is for the caller to read.
        """
        # What an objective computes past the programs is seen by the distributions alone.
        flagged = self._objective.runs_program and not self._first
        with pyro.validation_enabled(False) if flagged else nullcontext(), _Strays() as strays:
            yield strays.inside
        self._first = False


def check_inside(inside: Sequence[Tensor], where: str) -> None:
    """Read flags that no step has read.

    Raises:
        TrainingError: a value is outside its support, in this process or in another.
    """
    strays = bool(inside) and not torch.stack(list(inside)).all()
    if any(agreed(int(strays))):
        raise TrainingError(f"{OUTSIDE} ({where})")


def all_inside(support: constraints.Constraint, value: Tensor) -> Tensor:
    """Return whether all values (...) are in a support, shape (); NaN is in none."""
    in_numbers = all(isinstance(bound, int | float) for bound in vars(support).values())
    if type(support) in _INTERVALS and in_numbers and value.numel():
        # To find the extremes takes a fifth of the time that comparing every value does.
        value = torch.stack(torch.aminmax(value))
    return support.check(value).all()


class _Strays(Messenger):
    """A context that looks at the values that Pyro programs are given and do not draw."""

    def __enter__(self) -> "_Strays":
        self.inside: list[Tensor] = []
        return super().__enter__()

    def _process_message(self, msg: Any) -> None:
        """Look at an observation, or at a draw that is replayed; leave the site as it is."""
        if msg["value"] is None or not counts(msg):
            return
        # The values of an event are in the support if each of them is.
        fn, value = msg["fn"], msg["value"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        try:
            support = fn.support
        except NotImplementedError:
            return  # The distribution does not say what its support is.
        while hasattr(support, "base_constraint"):  # That of each number of an event.
            support = support.base_constraint
        if support is None or support is constraints.real:
            return  # Outside are only values that are no numbers, which show in the loss.
        with torch.no_grad():
            inside = all_inside(support, value)
            if not msg["is_observed"]:  # A draw that is no number shows in the loss, which tells.
                inside = inside | ~value.isfinite().all()
            self.inside.append(inside)
