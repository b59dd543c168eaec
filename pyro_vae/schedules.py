"""Learning-rate schedules: told of every step and of every epoch's validation loss."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Schedule:
    """Sets the learning rate as training goes on; this one leaves it as it is."""

    def start(self, optimizer: Optimizer, learning_rate: float) -> None:
        """Take charge of the optimiser, from this learning rate."""
        self.optimizer, self.learning_rate = optimizer, learning_rate
        _set(optimizer, learning_rate)

    def before_step(self, progress: float) -> None:
        """Called before every step; progress in [0, 1) is the part of all steps already made."""

    def after_epoch(self, loss: float) -> bool:
        """Called with each epoch's validation loss; False ends the training."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """What a later `load_state_dict` needs to go on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Constant(Schedule):
    """The same learning rate throughout."""


class OneCycle(Schedule):
    """Linear warm-up to the learning rate, then half a cosine down to zero.

    After Super-Convergence (Smith and Topin, 2018) and SGDR (Loshchilov and Hutter, 2017).

    Args:
        warm_up: the part of all steps spent warming up.
    """

    def __init__(self, warm_up: float = 0.1) -> None:
        if not 0 <= warm_up < 1:
            raise ValueError(f"OneCycle: warm_up must lie in [0, 1), got {warm_up}.")
        self.warm_up = warm_up

    def before_step(self, progress: float) -> None:
        if progress < self.warm_up:
            factor = 0.05 + 0.95 * progress / self.warm_up
        else:
            descent = (progress - self.warm_up) / (1 - self.warm_up)
            factor = 0.5 * (1 + math.cos(math.pi * descent))
        _set(self.optimizer, self.learning_rate * factor)


class Plateau(Schedule):
    """Divide the learning rate when the validation loss has stopped falling.

    Args:
        factor: what the learning rate is multiplied by.
        patience: epochs without a better loss that are let pass.
        stop_below: end the training once the learning rate is smaller than this.
        least_gain: how far the loss must fall to be better, in nats per image; None: by 1e-4 of
            its size, which depends on its constants, such as a density's.

    Raises:
        ValueError: factor is not in (0, 1), or another setting is negative.
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 2,
        stop_below: float = 0.0,
        least_gain: float | None = None,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"Plateau: factor must lie between 0 and 1, got {factor:g}.")
        if min(patience, stop_below, least_gain or 0) < 0:
            raise ValueError("Plateau: patience, stop_below and least_gain must be 0 or more.")
        self.factor, self.patience, self.stop_below = factor, patience, stop_below
        self.least_gain = least_gain

    def start(self, optimizer: Optimizer, learning_rate: float) -> None:
        super().start(optimizer, learning_rate)
        self.plateau = ReduceLROnPlateau(
            optimizer, factor=self.factor, patience=self.patience, threshold_mode="abs"
        )

    def after_epoch(self, loss: float) -> bool:
        self.plateau.threshold = self._gain_that_counts()
        self.plateau.step(loss)
        return self.optimizer.param_groups[0]["lr"] >= self.stop_below

    def state_dict(self) -> dict[str, Any]:
        return self.plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plateau.load_state_dict(state)
        self.plateau.threshold_mode = "abs"  # Runs of before kept "rel".

    def _gain_that_counts(self) -> float:
        """In nats. PyTorch's relative rule takes a worse loss for better where it is negative."""
        if self.least_gain is not None:
            return self.least_gain
        return 1e-4 * abs(self.plateau.best) if math.isfinite(self.plateau.best) else 0.0


def _set(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
