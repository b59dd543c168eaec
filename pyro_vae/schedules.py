"""Learning-rate schedules, driven by the steps of a training and by its validation losses."""

import math
from typing import Annotated, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pyro_vae._arguments import Bounds, Checked, Natural, NonNegative, OpenFraction


class Schedule(Checked):
    """A learning-rate schedule: the base class, which keeps the learning rate constant."""

    def __init__(self) -> None:
        super().__init__()

    def start(self, optimizer: Optimizer, learning_rate: float) -> None:
        """Take charge of an optimizer and set its learning rate."""
        self.optimizer, self.learning_rate = optimizer, learning_rate
        _set(optimizer, learning_rate)

    def before_step(self, elapsed: float) -> None:
        """Set the learning rate of the next step.

        Args:
            elapsed: the fraction of all steps that is done, in [0, 1).
        """

    def after_epoch(self, loss: float) -> bool:
        """Take an epoch's validation loss; return False to end the training."""
        return True

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate, now and for all steps to come."""
        self.learning_rate *= factor
        for group in self.optimizer.param_groups:
            group["lr"] *= factor

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which `load_state_dict` continues."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""


class Constant(Schedule):
    """A constant learning rate.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.Adam([torch.zeros(1)])
        >>> schedule = Constant()
        >>> schedule.start(optimizer, learning_rate=0.01)
        >>> schedule.before_step(0.9)
        >>> optimizer.param_groups[0]["lr"]
        0.01
    """


class OneCycle(Schedule):
    """A linear warm-up to the learning rate, then half a cosine down to zero.

    After Super-Convergence (Smith and Topin, 2018) and SGDR (Loshchilov and Hutter, 2017).

    Args:
        warm_up: the fraction of all steps that the warm-up takes, in [0, 1).

    Raises:
        ArgumentError: warm_up is not in [0, 1).

    Example:
        >>> import torch
        >>> optimizer = torch.optim.Adam([torch.zeros(1)])
        >>> schedule = OneCycle(warm_up=0.2)
        >>> schedule.start(optimizer, learning_rate=0.01)
        >>> for elapsed in (0.0, 0.2, 0.6):
        ...     schedule.before_step(elapsed)
        ...     print(f"{optimizer.param_groups[0]['lr']:.4f}")
        0.0005
        0.0100
        0.0050
    """

    def __init__(self, warm_up: Annotated[float, Bounds(at_least=0, below=1)] = 0.1) -> None:
        self.warm_up = warm_up

    def before_step(self, elapsed: float) -> None:
        if elapsed < self.warm_up:
            factor = 0.05 + 0.95 * elapsed / self.warm_up
        else:
            descent = (elapsed - self.warm_up) / (1 - self.warm_up)
            factor = 0.5 * (1 + math.cos(math.pi * descent))
        _set(self.optimizer, self.learning_rate * factor)


class Plateau(Schedule):
    """A learning rate that is reduced when the validation loss has stopped falling.

    Args:
        factor: the factor, in (0, 1), by which the learning rate is multiplied.
        patience: the number of epochs without improvement before that happens.
        stop_below: end the training once the learning rate is below this.
        least_gain: the smallest improvement that counts, in nats per image. By default it is 1e-4
            times the size of the best loss, which depends on constants such as a density's.

    Raises:
        ArgumentError: factor is not in (0, 1), or another argument is negative.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.Adam([torch.zeros(1)])
        >>> schedule = Plateau(factor=0.5, patience=0)
        >>> schedule.start(optimizer, learning_rate=0.01)
        >>> [schedule.after_epoch(loss) for loss in (100.0, 90.0, 95.0)]
        [True, True, True]
        >>> optimizer.param_groups[0]["lr"]
        0.005
    """

    def __init__(
        self,
        factor: OpenFraction = 0.1,
        patience: Natural = 2,
        stop_below: NonNegative = 0.0,
        least_gain: NonNegative | None = None,
    ) -> None:
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
        self.plateau.threshold_mode = "abs"  # Runs of version 0.1 saved "rel".

    def _gain_that_counts(self) -> float:
        """Return the smallest improvement that counts, in nats.

        PyTorch's relative threshold is not used: it takes a worse loss for better where losses
        are negative.
        """
        if self.least_gain is not None:
            return self.least_gain
        return 1e-4 * abs(self.plateau.best) if math.isfinite(self.plateau.best) else 0.0


def _set(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
