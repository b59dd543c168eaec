"""Trust: a configuration file may come from anybody, and names only what this library has.

To look up the class that a dotted path names is to import a module, which runs it. What a file
names is therefore compared with the library's own classes before the parser sees it; other classes
need the user's trust (`--trust`, `trust=True`).
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from pyro_vae._arguments import accepted_by, hints_of
from pyro_vae._spelling import suggestion
from pyro_vae.errors import PyroVAEError
from pyro_vae.training.records import shown

Known = Mapping[str, Any]
"""The library's own classes for a part, and functions that make one, by name."""


class ConfigurationError(PyroVAEError, ValueError):
    """A setting names nothing that exists, or does not fit the others."""


def library_factory(path: str, known: Known) -> Any:
    """Return what a name or dotted path names of the library's own; None if it is something else.

    Nothing is imported.

    Args:
        path: such as "VampPrior", "pyro_vae.priors.VampPrior" or "torch.optim.Adam".
        known: what the library has for this part.
    """
    module, _, name = path.rpartition(".")
    kind = known.get(name)
    if kind is None or module in ("", kind.__module__):
        return kind
    above = kind.__module__.startswith(f"{module}.")  # A package that offers the class, too.
    offered = above and module in sys.modules and vars(sys.modules[module]).get(name) is kind
    return kind if offered else None


def own_parts(settings: Mapping[str, Any], known: Mapping[str, Known]) -> dict[str, str]:
    """Return what saved settings name that is not the library's, by where they name it.

    Args:
        settings: from a file, in today's names; plain values.
        known: what the library has for each part, by name.

    Raises:
        ConfigurationError: a part is neither a class nor its arguments.
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        part, *inner = name.split(".")
        if part in known:
            for key in reversed(inner):  # `prior.scale: 2` is short for `prior: {scale: 2}`.
                value = {key: value}
            found |= _own_in_part(part, value, known[part])
    return found


def _own_in_part(part: str, value: Any, known: Known) -> dict[str, str]:
    if not isinstance(value, str | Mapping):
        raise ConfigurationError(
            f"{part} must be the name of a class, or class_path and init_args, got {shown(value)}."
        )
    described = {"class_path": value} if isinstance(value, str) else dict(value)
    path = described.pop("class_path", None)
    if path is not None and not isinstance(path, str):
        raise ConfigurationError(
            f"class_path of {part} must be the name of a class, got {shown(path)}."
        )
    kind = None if path is None else library_factory(path, known)
    if path is not None and kind is None:
        if "." in path:
            return {part: path}
        raise ConfigurationError(f"There is no {part} {shown(path)}. {suggestion(path, known)}")
    arguments = _arguments(part, described, alone=path is None)
    # Without a class, the arguments are those of the recipe's.
    return _own_in_arguments(part, arguments, list(known.values()) if kind is None else [kind])


def _arguments(part: str, described: Mapping[str, Any], *, alone: bool) -> Mapping[str, Any]:
    if alone and "init_args" not in described:
        return described
    arguments = described.get("init_args") or {}
    if not isinstance(arguments, Mapping) or described.keys() - {"init_args"}:
        raise ConfigurationError(
            f"{part} must be class_path and init_args alone, and init_args of {part} must be "
            "names and values."
        )
    return arguments


def _own_in_arguments(part: str, arguments: Mapping[str, Any], kinds: list[Any]) -> dict[str, str]:
    found = {}
    for argument, value in arguments.items():
        takers = [kind for kind in kinds if argument in hints_of(kind)]
        hints = [hints_of(kind)[argument] for kind in takers]
        for text in _texts(value):
            if _is_number(text) or any(_reads(hint, text) for hint in hints):
                continue
            if "." in text or not hints:
                found[f"{part}.{argument}"] = text
                continue
            accepted = " or ".join(dict.fromkeys(accepted_by(each, argument) for each in takers))
            raise ConfigurationError(f"{part}.{argument} must be {accepted}, got {shown(text)}.")
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a plain value. Names are among them where they say what to make."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (name for name in value if name in ("class_path", "init_args"))
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))  # YAML takes 1e-3 for text.
    except ValueError:
        return False


def _reads(hint: Any, text: str) -> bool:
    """Return whether a type has a place for a text: `str`, or a `Literal` that names it."""
    if get_origin(hint) is Literal:
        return text in get_args(hint)
    inner = get_type_hints(hint).values() if is_typeddict(hint) else get_args(hint)
    return hint is str or any(_reads(each, text) for each in inner)
