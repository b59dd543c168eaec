"""One step: a batch of images in, their bound out, and the weights moved.

Everything that makes a step fast is here; the loop sees a callable. The first batch is checked as
Pyro checks every batch: shapes, supports and parameters of the distributions. Later batches are
not, which would take a good part of the step, and on a GPU would wait for it. What could still go
wrong is flagged on the device and read where the progress bar reads: numbers that are not finite,
and images outside the likelihood's support.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Independent
from torch.nn.utils import clip_grad_norm_

from pyro_vae.objectives import Bound, Objective
from pyro_vae.processes import world_size
from pyro_vae.training.replica import BoundOf, bound_of, whole
from pyro_vae.training.settings import TrainingSettings
from pyro_vae.training.state import State


@dataclass
class Step:
    """Takes a step on images (B, C, H, W), given the number of steps made before in the epoch.

    Attributes:
        state: the model, its optimizer and schedule, and what watches their numbers.
        objective: the bound to maximize.
        annealing: the factor of beta over the course of the training.
        settings: those of the training.
        steps: the number of steps in an epoch.
    """

    state: State
    objective: Objective
    annealing: Callable[[float], float]
    settings: TrainingSettings
    steps: int
    _checked: bool = field(default=False, init=False)
    _parameters: list[Tensor] = field(init=False)
    _bound_of: BoundOf = field(init=False)

    def __post_init__(self) -> None:
        self._parameters = [
            parameter
            for group in self.state.optimizer.param_groups
            for parameter in group["params"]
        ]
        factors = [self.annealing(each / 100) for each in range(101)] if world_size() > 1 else []
        betas = [self.settings.beta * min(factors, default=1.0)]
        self._bound_of = bound_of(self.state.vae, self.objective, betas)

    def __call__(self, x: Tensor, before: int) -> Bound:
        state, settings = self.state, self.settings
        elapsed = (state.epoch + before / self.steps) / settings.epochs
        beta = settings.beta * self.annealing(elapsed)
        state.schedule.before_step(elapsed)
        # Within the program, Strays sees every value; what an objective computes past it is
        # checked by the distributions themselves.
        trusted = self._checked and self.objective.runs_program
        with pyro.validation_enabled(False) if trusted else nullcontext(), Strays() as strays:
            bound = self._bound_of(x, beta, elapsed)
        self._checked = True
        for parameter in self._parameters:
            parameter.grad = None
        bound.loss.backward()
        state.watch.see(before, strays.inside)
        if settings.clip is not None:
            clip_grad_norm_(state.vae.parameters(), settings.clip)
        state.optimizer.step()
        if state.average is not None:
            state.average.update_parameters(state.vae)
        return whole(bound)


class Strays(Messenger):
    """A context that looks whether what a Pyro program observes is inside its support.

    Attributes:
        inside: whether each observation so far is, as tensors of shape () on the device.
    """

    def __enter__(self) -> "Strays":
        self.inside: list[Tensor] = []
        return super().__enter__()

    def _process_message(self, msg: Any) -> None:
        """Leave a site as it is; only what it has become is looked at."""

    def _postprocess_message(self, msg: Any) -> None:
        observed = msg["type"] == "sample" and msg["is_observed"]
        if not observed or msg["value"] is None:
            return
        # The values of an event are in the support if each of them is.
        fn = msg["fn"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        try:
            support = fn.support
            if support is not None:
                with torch.no_grad():
                    self.inside.append(support.check(msg["value"]).all())
        except NotImplementedError:
            return  # The distribution does not say what its support is.
