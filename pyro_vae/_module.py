"""Modules that remember their constructor's arguments, so that a checkpoint can rebuild them."""

import inspect
import sys
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae._arguments import constructor_arguments
from pyro_vae._spelling import current_names
from pyro_vae.errors import PyroVAEError

PACKAGE = __name__.split(".")[0]
#: Where the classes are defined that a file may name.
_HOMES = tuple(f"{PACKAGE}.{room}" for room in ("priors", "likelihoods", "posteriors", "networks"))
#: How many slots and networks a model may have, and the letters of a name that are shown.
_MOST_MODULES, _LONGEST_NAME = 1000, 200


class Module(nn.Module):
    """An `nn.Module` that records its constructor's arguments.

    A subclass needs nothing beyond an ordinary `__init__`.
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        arguments = constructor_arguments(cls, args, kwargs)
        # Bypass nn.Module's own: a module among the arguments must not be registered twice.
        object.__setattr__(module, "_arguments", arguments)
        return module

    def __reduce_ex__(self, protocol: Any) -> Any:
        return super().__reduce_ex__(1)  # A copy is made without `__new__`, and its arguments.


def describe(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Describe a module by its class and arguments, in plain values that any file format holds.

    A module that occurs twice is described once and then referred to by number, so that `build`
    shares it again. A part from outside this library is only named, and `build` cannot rebuild it.
    """
    seen = {} if seen is None else seen
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return [describe(item, seen) for item in value]
    if isinstance(value, dict):
        return {"items": {key: describe(item, seen) for key, item in value.items()}}
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, bool):
        return value
    # A checkpoint cannot hold NumPy's numbers, or subclasses of int, float and str.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if id(value) in seen:
        return {"same": seen[id(value)]}
    if not isinstance(value, Module) or not type(value).__module__.startswith(f"{PACKAGE}."):
        return {"foreign": _name_of(value)}
    arguments = {key: describe(item, seen) for key, item in value._arguments.items()}
    seen[id(value)] = len(seen)
    return {"class": _name_of(type(value)), "arguments": arguments}


def build(description: Any, made: list[Module] | None = None) -> Any:
    """Rebuild a module that `describe` described.

    Only the slots and networks of this library are ever looked up and called.

    Raises:
        ForeignError: the description names anything else.
        DescriptionError: it describes more than a model has.
    """
    made = [] if made is None else made
    if isinstance(description, list):
        return tuple(build(item, made) for item in description)
    if not isinstance(description, dict):
        return description
    if "items" in description:
        return {key: build(item, made) for key, item in description["items"].items()}
    if "same" in description:
        return made[description["same"]]
    if "foreign" in description:
        raise ForeignError(str(description["foreign"])[:_LONGEST_NAME])
    if len(made) >= _MOST_MODULES:
        raise DescriptionError(f"more than {_MOST_MODULES:,} modules are described")
    described = current_names(description["arguments"])
    arguments = {key: build(item, made) for key, item in described.items()}
    module = _find(description["class"])(**arguments)
    made.append(module)
    return module


class DescriptionError(PyroVAEError, ValueError):
    """A description is none that `describe` makes."""


class ForeignError(PyroVAEError, ValueError):
    """A part of a saved model comes from outside this library, and must be passed by the caller."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not a slot or a network of {PACKAGE}")
        self.name = name


def _name_of(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _find(name: str) -> type[Module]:
    home, _, attribute = name.rpartition(".")
    # Looked up in what is imported already: importing a module would run it.
    found = vars(sys.modules.get(home, object)).get(attribute) if _is_home(home) else None
    if not (inspect.isclass(found) and issubclass(found, Module) and _is_home(found.__module__)):
        raise ForeignError(name)
    return found


def _is_home(module: str) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in _HOMES)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's parameters, or else of its buffers, or else the CPU."""
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
