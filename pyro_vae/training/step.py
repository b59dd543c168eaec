"""One step: a batch of images in, their bound out, and the weights moved.

Everything that makes a step fast is here; the loop sees a callable. What is checked of the first
batch alone, as it would slow down every step, is flagged later (`strays.py`, `finiteness.py`) and
read where the progress bar reads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from pyro_vae.objectives import Bound, Objective
from pyro_vae.processes import world_size
from pyro_vae.training.replica import BoundOf, bound_of, whole
from pyro_vae.training.settings import TrainingSettings
from pyro_vae.training.state import State
from pyro_vae.training.strays import Validation


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
    _validation: Validation = field(init=False)
    _parameters: list[Tensor] = field(init=False)
    _bound_of: BoundOf = field(init=False)

    def __post_init__(self) -> None:
        self._validation = Validation(self.objective)
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
        with self._validation.batch() as inside:
            bound = self._bound_of(x, beta, elapsed)
        for parameter in self._parameters:
            parameter.grad = None
        bound.loss.backward()
        state.watch.see(before, inside)
        if settings.clip is not None:
            clip_grad_norm_(state.vae.parameters(), settings.clip)
        state.optimizer.step()
        if state.average is not None:
            state.average.update_parameters(state.vae)
        return whole(bound)
