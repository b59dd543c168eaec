"""Annealing: which part of the weight beta counts at which time of a training.

An annealing is called with the part of the training done, in [0, 1], and returns a factor in
[0, 1] by which beta is multiplied.
"""

from abc import abstractmethod


class Annealing:
    """A factor of beta as a function of the training's progress."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The factor in [0, 1] when the part `progress` in [0, 1] of the training is done."""


class Constant(Annealing):
    """The whole weight throughout."""

    def __call__(self, progress: float) -> float:
        return 1.0


class Linear(Annealing):
    """From exactly 0 to 1 in a straight line, then 1.

    Generating Sentences from a Continuous Space (Bowman et al., 2016), section 3.1.

    Args:
        warm_up: the part of the training that the rise takes, in (0, 1].
    """

    def __init__(self, warm_up: float = 0.25) -> None:
        self.warm_up = _part("Linear: warm_up", warm_up)

    def __call__(self, progress: float) -> float:
        return min(progress / self.warm_up, 1.0)


class Cyclical(Annealing):
    """Several rises from exactly 0 to 1, each followed by a stay at 1.

    Cyclical Annealing Schedule (Fu et al., 2019), equations 6 and 7.

    Args:
        cycles: how many.
        rise: the part of each cycle that its rise takes, in (0, 1].
    """

    def __init__(self, cycles: int = 4, rise: float = 0.5) -> None:
        if cycles < 1:
            raise ValueError(f"Cyclical: cycles must be at least 1, got {cycles}.")
        self.cycles, self.rise = cycles, _part("Cyclical: rise", rise)

    def __call__(self, progress: float) -> float:
        if progress >= 1:
            return 1.0
        return min(progress * self.cycles % 1 / self.rise, 1.0)


def _part(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name} must lie in (0, 1], got {value}.")
    return value
