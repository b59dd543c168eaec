"""Settings that are declared once: type, default, bounds and a line of help, in a dataclass.

    @dataclass(frozen=True, kw_only=True)
    class Mine(Settings):
        epochs: int = setting(10, "number of passes over the training images", at_least=1)

Whoever needs a setting (a function's keywords, the command line, a report) reads it by `declared`.
"""

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from inspect import isclass
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pyro_vae.errors import ArgumentError

_REQUIRED: Any = dataclasses.MISSING
_COMPARED: dict[str, Callable[[Any, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<": operator.lt,
    "<=": operator.le,
}
_WORDS = {">=": "{:,} or more", ">": "above {:,}", "<": "below {:,}", "<=": "at most {:,}"}


@dataclass(frozen=True)
class Setting:
    """One setting, as it was declared.

    Attributes:
        name: the attribute's.
        type: its annotation, without `None`.
        optional: whether `None` is accepted.
        default: the value where none is given; `dataclasses.MISSING` where one must be.
        help: what it is, in a line.
        group: under which heading the command line lists it.
        part: the base class, where the value is a part (an objective, a schedule, ...).
        at_least: the smallest number accepted.
        above: the number that values must exceed.
        below: the number that values must stay below.
        at_most: the largest number accepted.
        aliases: further names on the command line.
        flag: whether it is switched on by its name alone.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    help: str
    group: str = ""
    part: type | None = None
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    at_most: float | None = None
    aliases: tuple[str, ...] = ()
    flag: bool = False

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values accepted, where they can be listed."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def bounds(self) -> list[tuple[str, float]]:
        """What numbers must satisfy, such as [(">", 0)]."""
        below, most = self.below, self.at_most
        limits = ((">=", self.at_least), (">", self.above), ("<", below), ("<=", most))
        return [(sign, limit) for sign, limit in limits if limit is not None]

    @property
    def accepted(self) -> str:
        """What is accepted, in words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        named = getattr(self.part or self.type, "__name__", str(self.type))
        return in_words(kinds.get(self.type, named), self.bounds)

    def check(self, value: Any) -> None:
        """Refuse a value that is not accepted.

        Raises:
            ArgumentError: naming the setting, what is accepted and what came.
        """
        if (value is None and self.optional) or self._accepts(value):
            return
        raise ArgumentError(f"{self.name} must be {self.accepted}, got {value!r}.")

    def _accepts(self, value: Any) -> bool:
        if self.choices:
            return isinstance(value, str | int) and value in self.choices
        if self.type in (bool, str):
            return isinstance(value, self.type)
        if self.type not in (int, float):
            return True
        numbers = Integral if self.type is int else Real
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        return bounded(value, self.bounds)


def in_words(kind: str, bounds: Sequence[tuple[str, float]]) -> str:
    """Return what is accepted of a kind of number, such as "a whole number, 1 or more"."""
    limits = [_WORDS[sign].format(limit) for sign, limit in bounds]
    comma = "," if bounds and bounds[0][0] == ">=" else ""
    return f"{kind}{comma} {' and '.join(limits)}".strip()


def bounded(value: Any, bounds: Sequence[tuple[str, float]]) -> bool:
    """Return whether a number is finite and within bounds, such as [(">", 0)]."""
    finite = isinstance(value, Integral) or math.isfinite(value)
    return finite and all(_COMPARED[sign](value, limit) for sign, limit in bounds)


def setting(default: Any = _REQUIRED, help: str = "", **declaration: Any) -> Any:
    """Declare a setting of a dataclass: see `Setting` for what may be said of it."""
    return dataclasses.field(default=default, metadata={"help": help, **declaration})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A dataclass whose declared settings are checked."""

    def __post_init__(self) -> None:
        for name, each in declared(type(self)).items():
            each.check(getattr(self, name))


def declared(kind: type) -> dict[str, Setting]:
    """Return the declared settings of a dataclass, by name, in their order."""
    return _declared(kind)


@cache
def _declared(kind: Any) -> dict[str, Setting]:
    hints = get_type_hints(kind)
    return {
        field.name: _setting(field, hints[field.name])
        for field in dataclasses.fields(kind)
        if "help" in field.metadata
    }


def _setting(field: Any, hint: Any) -> Setting:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [option for option in options if option is not type(None)]
    # Of a part, what makes it: that is what the command line can name.
    kind = kinds[0] if len(kinds) == 1 or "part" in field.metadata else hint
    optional = type(None) in options
    return Setting(field.name, kind, optional, field.default, **field.metadata)


def made(part: Any) -> Any:
    """Return what a part makes where it is a class or a `partial`; else the part itself."""
    return part() if isclass(part) or isinstance(part, partial) else part
