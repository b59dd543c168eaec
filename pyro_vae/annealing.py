"""KL-annealing schedules: how the weight of the rate rises during training.

An annealing schedule maps the fraction of the training that is done, in [0, 1], to a factor in
[0, 1] that multiplies beta.
"""

from abc import abstractmethod

from pyro_vae._arguments import Checked, Count, PositiveFraction


class Annealing(Checked):
    """A KL-annealing schedule: the factor of beta as a function of the elapsed training."""

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def __call__(self, elapsed: float) -> float:
        """Return the factor, in [0, 1], when the fraction `elapsed` of the training is done."""


class Constant(Annealing):
    """No annealing: the factor is 1 throughout.

    Example:
        >>> Constant()(0.0)
        1.0
    """

    def __call__(self, elapsed: float) -> float:
        return 1.0


class Linear(Annealing):
    """A linear rise from exactly 0 to 1, where the factor then stays.

    Generating Sentences from a Continuous Space (Bowman et al., 2016), section 3.1.

    Args:
        warm_up: the fraction of the training that the rise takes, in (0, 1].

    Raises:
        ArgumentError: warm_up is not in (0, 1].

    Example:
        >>> annealing = Linear(warm_up=0.5)
        >>> [annealing(elapsed) for elapsed in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, warm_up: PositiveFraction = 0.25) -> None:
        self.warm_up = warm_up

    def __call__(self, elapsed: float) -> float:
        return min(elapsed / self.warm_up, 1.0)


class Cyclical(Annealing):
    """Several linear rises from exactly 0 to 1, each followed by a constant 1.

    Cyclical Annealing Schedule (Fu et al., 2019), equations 6 and 7.

    Args:
        cycles: the number of rises.
        rise: the fraction of each cycle that its rise takes, in (0, 1].

    Raises:
        ArgumentError: cycles is below 1, or rise is not in (0, 1].

    Example:
        >>> annealing = Cyclical(cycles=2, rise=0.5)
        >>> [annealing(elapsed) for elapsed in (0.0, 0.125, 0.25, 0.5, 0.625)]
        [0.0, 0.5, 1.0, 0.0, 0.5]
    """

    def __init__(self, cycles: Count = 4, rise: PositiveFraction = 0.5) -> None:
        self.cycles, self.rise = cycles, rise

    def __call__(self, elapsed: float) -> float:
        if elapsed >= 1:
            return 1.0
        return min(elapsed * self.cycles % 1 / self.rise, 1.0)
