"""How often something is done: after some steps, or some time."""

import re
import time

from pyro_vae.errors import ArgumentError

_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(steps?|s|sec|min|h)?\s*")
ACCEPTED = "a number of steps, such as 500, or a time, such as 5min, 90s or 1h"


class Interval:
    """What says when the next time has come.

    Args:
        written: a number of steps or a time, such as "500", "90s", "5min" or "1h".

    Raises:
        ArgumentError: it is neither.

    Example:
        >>> interval = Interval("2 steps")
        >>> [interval.passed() for _ in range(4)]
        [False, True, False, True]
        >>> Interval("soon")
        Traceback (most recent call last):
            ...
        pyro_vae.errors.ArgumentError: checkpoint_every must be a number of steps, such as 500, or \
a time, such as 5min, 90s or 1h, got 'soon'.
    """

    def __init__(self, written: str | int) -> None:
        found = _WRITTEN.fullmatch(str(written))
        amount, unit = (float(found[1]), found[2] or "steps") if found else (0.0, "")
        timed = unit in _UNITS
        if amount <= 0 or not (timed or amount.is_integer()):
            raise ArgumentError(f"checkpoint_every must be {ACCEPTED}, got {written!r}.")
        self.seconds = amount * _UNITS[unit] if timed else None
        self.steps = None if timed else int(amount)
        self.restart()

    def restart(self) -> None:
        """Begin to count anew."""
        self._made, self._since = 0, time.monotonic()

    def passed(self) -> bool:
        """Count a step, and return whether the interval has passed; if so, count anew."""
        self._made += 1
        if self.steps is not None:
            due = self._made >= self.steps
        else:
            due = time.monotonic() - self._since >= (self.seconds or 0)
        if due:
            self.restart()
        return due
