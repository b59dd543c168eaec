"""Modules that remember their constructor's arguments, so that a checkpoint can rebuild them."""

import importlib
import inspect
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Tensor, nn

PACKAGE = __name__.split(".")[0]


class Module(nn.Module):
    """An `nn.Module` that records its constructor's arguments.

    Subclasses write an ordinary `__init__`; nothing else is asked of them.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(module, *args, **kwargs)
        arguments = dict(list(bound.arguments.items())[1:])
        # Not an attribute in nn.Module's sense: a module among the arguments must not become a
        # child twice.
        object.__setattr__(module, "_arguments", arguments)
        return module


def describe(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Describe a module by its class and arguments, in plain values that any file format holds.

    A module that occurs twice (a VampPrior shares the posterior) is described once and referred
    to by number, so that what was shared is shared again. What lies outside this library is
    named, and cannot be rebuilt by `build`.
    """
    seen = {} if seen is None else seen
    if isinstance(value, list | tuple):
        return [describe(item, seen) for item in value]
    if isinstance(value, dict):
        return {"items": {key: describe(item, seen) for key, item in value.items()}}
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, bool):
        return value
    for plain, kind in ((int, Integral), (float, Real), (str, str)):
        if isinstance(value, kind):
            return plain(value)  # Of a subclass or NumPy's, too, which a checkpoint cannot hold.
    if id(value) in seen:
        return {"same": seen[id(value)]}
    if not isinstance(value, Module) or not type(value).__module__.startswith(f"{PACKAGE}."):
        return {"foreign": _name_of(value)}
    arguments = {key: describe(item, seen) for key, item in value._arguments.items()}
    seen[id(value)] = len(seen)
    return {"class": _name_of(type(value)), "arguments": arguments}


def build(description: Any, made: list[Module] | None = None) -> Any:
    """Rebuild what `describe` described; only this library's classes are ever called.

    Raises:
        ForeignError: the description names a class or function from elsewhere.
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
        raise ForeignError(description["foreign"])
    arguments = {key: build(item, made) for key, item in description["arguments"].items()}
    module = _find(description["class"])(**arguments)
    made.append(module)
    return module


class ForeignError(ValueError):
    """A part of a saved model is not one of this library's and must be handed over by its owner."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not part of {PACKAGE}")
        self.name = name


def _name_of(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _find(name: str) -> type[Module]:
    module, _, attribute = name.rpartition(".")
    if not module.startswith(f"{PACKAGE}."):
        raise ForeignError(name)
    return getattr(importlib.import_module(module), attribute)


def device_of(module: nn.Module) -> torch.device:
    """The device that a module's parameters (or else its buffers) live on."""
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
