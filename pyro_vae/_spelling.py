"""Names: those of earlier versions, translated into today's, and the nearest to a wrong one."""

import difflib
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: Arguments and values, as spelled up to version 0.1.
RENAMED = {
    "binarised": "binarized",
    "binarised-once": "binarized-once",
    "dequantised": "dequantized",
    "grey": "gray",
    "grey_levels": "gray_levels",
    "standardised": "standardized",
}
#: Settings whose values were renamed as well.
_RENAMED_VALUES = ("pixels",)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest of the known names, and lists them all."""
    known = list(known)
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return (f"Did you mean {lower[near[0]]}? " if near else "") + f"Known: {', '.join(known)}."


def current(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved settings, nested ones included, with today's names."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            value = current(value)
        elif name in _RENAMED_VALUES and isinstance(value, str):
            value = RENAMED.get(value, value)
        found[RENAMED.get(name, name)] = value
    return found


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved settings with today's names, and what they hold as it is."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}


def with_current_options(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line with today's names; warn of old ones.

    Old names are those of options, such as `--likelihood.grey_levels`, and of their values, such as
    `--pixels binarised`.
    """
    found: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        option = name if equals else (found[-1] if found else "")
        if argument.startswith("--"):
            part, dot, last = name.rpartition(".")
            argument = f"{part}{dot}{_warned(last)}{equals}{value}" if dot else argument
        if option.removeprefix("--") in _RENAMED_VALUES:
            argument = f"{option}={_warned(value)}" if equals else _warned(argument)
        found.append(argument)
    return found


def _warned(name: str) -> str:
    if name in RENAMED:
        warn_of(name, RENAMED[name])
    return RENAMED.get(name, name)


def renamed(**names: str) -> Callable[[F], F]:
    """Let a function also take arguments by their old names, with a warning.

    Args:
        **names: today's name of each old one.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **with_current_names(names, kwargs))

        call.old_names = names  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def with_current_names(names: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments under today's names; warn about old ones."""
    for old in names.keys() & given.keys():
        warn_of(old, names[old])
    return {names.get(name, name): value for name, value in given.items()}


def rename_methods(kind: type, **names: str) -> None:
    """Give a class that defines methods under their old names today's as well, with a warning.

    Args:
        kind: the class.
        **names: today's name of each old one.
    """
    for old, new in names.items():
        if old in vars(kind) and new not in vars(kind):
            warn_of(f"{kind.__name__}.{old}", new)
            setattr(kind, new, vars(kind)[old])


def warn_of(old: str, new: str, stacklevel: int = 4) -> None:
    """Warn that a name has changed.

    Args:
        old: the old name.
        new: today's name.
        stacklevel: how many calls up the line lies that the warning is about, as in
            `warnings.warn`.
    """
    warnings.warn(f"{old} is now called {new}.", FutureWarning, stacklevel=stacklevel)


def old_names(module: str, names: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that finds what was renamed, with a warning.

    Args:
        module: the module's name.
        names: what each old name stands for.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_of(f"{module}.{name}", names[name].__name__, stacklevel=3)
        return names[name]

    return find
