"""Optimizers of `torch.optim`: which of them fit a training, and how one is made."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS, Adam, AdamW, Optimizer, SparseAdam

from pyro_vae.errors import ArgumentError
from pyro_vae.training.settings import TrainingSettings

#: One kernel for all parameters, where there is one: the same numbers, faster.
_FUSED = (Adam, AdamW)
#: The epsilon of Adam and similar optimizers; Adadelta and Adagrad have defaults of their own.
_EPSILON = 1e-8


def optimizers() -> dict[str, type[Optimizer]]:
    """Return the optimizers of `torch.optim` that take all parameters without a closure."""
    unfit = {Optimizer, LBFGS, SparseAdam, getattr(torch.optim, "Muon", Optimizer)}
    found = {name: kind for name, kind in vars(torch.optim).items() if inspect.isclass(kind)}
    return {
        name: kind
        for name, kind in sorted(found.items())
        if issubclass(kind, Optimizer) and kind not in unfit
    }


def make_optimizer(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return the optimizer of a training.

    Raises:
        ArgumentError: it does not fit a training, or refuses its arguments.
    """
    kind, given = unpacked(settings.optimizer)
    parameters = list(parameters)
    check_optimizer(kind, given)
    arguments = {name: getattr(settings, known) for name, known in _of_training(kind).items()}
    if kind in _FUSED:
        arguments["fused"] = all(each.device.type != "mps" for each in parameters)
    try:
        optimizer: Optimizer = kind(parameters, **arguments | given)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{kind.__name__} refuses its arguments: {error}") from error
    return optimizer


def unpacked(optimizer: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Return the class of an optimizer, and the arguments that it was given."""
    if isinstance(optimizer, partial):
        return optimizer.func, dict(optimizer.keywords)
    return optimizer, {}


def check_optimizer(kind: Any, given: dict[str, Any]) -> None:
    """Refuse what a training cannot step with.

    Raises:
        ArgumentError: naming the optimizer and the reason.
    """
    if not inspect.isclass(kind) or not issubclass(kind, Optimizer):
        raise ArgumentError(
            f"optimizer must be a class of torch.optim, or a partial of one, got {kind!r}."
        )
    if kind.__module__.startswith("torch.optim.") and kind not in optimizers().values():
        raise ArgumentError(
            f"{kind.__name__} does not fit this training, which hands an optimizer all parameters "
            f"and no closure. Choose one of {', '.join(optimizers())}."
        )
    of_training = _of_training(kind)
    for name in of_training.keys() & given.keys():
        raise ArgumentError(
            f"{name} of {kind.__name__} is a setting of the training: give {of_training[name]}."
        )


def _of_training(kind: Any) -> dict[str, str]:
    """Return the arguments that the training's own settings decide, with those settings' names."""
    epsilon = inspect.signature(kind).parameters.get("eps")
    kin = epsilon is not None and epsilon.default == _EPSILON
    return {"lr": "learning_rate"} | ({"eps": "epsilon"} if kin else {})
