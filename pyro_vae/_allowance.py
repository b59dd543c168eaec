"""A limit on the tensors that are made within a block, for models that a stranger describes.

A description of a few bytes can ask for any size: by one number, by the product of two, or by a
million layers. So each operation of torch is looked at before it runs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pyro_vae.errors import PyroVAEError

#: The size of what these return depends on values; it is at most a few times that of what they get.
_SELECTING = ("unique_dim", "nonzero")
#: These change a tensor in place, and its size.
_GROWING = ("resize_", "resize_as_", "set_")
#: These return a square for a side.
_SQUARE = ("eye", "diag_embed")


class TooLargeError(PyroVAEError, ValueError):
    """More would be made than is allowed."""


class Allowance(TorchDispatchMode):
    """A context in which a limited number of tensors, and of values, is made in all.

    Args:
        values: the number of values, those of tensors that end within the block included.
        operations: the number of operations that make a tensor.
    """

    def __init__(self, values: int, operations: int) -> None:
        super().__init__()
        self.values, self.operations = values, operations

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # Otherwise torch imports its compiler, which takes longer than all else.

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _takes_nothing(func):
            return func(*args, **kwargs)
        self.operations -= _pieces(func, args)
        # The first bound is quick and rough.
        too_large = _at_most(func, args, kwargs) > self.values
        if self.operations < 0 or (too_large and _sized(func, args, kwargs) > self.values):
            raise TooLargeError("more memory is asked for than its weights account for")
        result = func(*args, **kwargs)
        self.values -= _values(result)
        return result


def _pieces(func: Any, args: Any) -> int:
    """Return how many tensors an operation makes: one that is iterated over becomes many."""
    if _name(func) != "unbind":
        return 1
    return int(args[0].shape[args[1] if len(args) > 1 else 0])


def _takes_nothing(func: Any) -> bool:
    """Return whether an operation returns what it was given, or a view of it."""
    name = _name(func)
    return (func.is_view and name != "unbind") or (name.endswith("_") and name not in _GROWING)


def _at_most(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """Return a number of values that a result cannot exceed.

    An elementwise operation returns what its arguments are broadcast to; of any other, all sizes
    are multiplied that it is given.
    """
    given = tree_leaves((args, kwargs))
    tensors = [each for each in given if isinstance(each, Tensor)]
    if torch.Tag.pointwise in func.tags:
        return math.prod(np.broadcast_shapes(*(each.shape for each in tensors)))
    factors = [max(1.0, each.numel()) for each in tensors]
    for each in given:
        if isinstance(each, int | float) and math.isfinite(each) and each:
            factors.append(max(abs(each), 1 / abs(each)))  # A step below 1 makes a range longer.
    return math.prod(factors) ** (2 if _name(func) in _SQUARE else 1)


def _sized(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """Return the number of values of a result, found without values; infinity if that cannot be."""
    if _name(func) in _SELECTING:
        return 4 * _values(args)
    if _name(func) in _GROWING:
        return math.inf

    def without_memory(value: Any) -> Any:
        return value.to("meta") if isinstance(value, Tensor) else value

    placed = {**kwargs, "device": torch.device("meta")} if "device" in kwargs else kwargs
    try:
        return _values(func(*tree_map(without_memory, args), **tree_map(without_memory, placed)))
    except Exception:  # Not every operation has a form for this device.
        return math.inf


def _values(result: Any) -> int:
    return sum(each.numel() for each in tree_leaves(result) if isinstance(each, Tensor))


def _name(func: Any) -> str:
    return str(func._schema.name).partition("::")[2]
