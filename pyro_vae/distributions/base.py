"""Parts that the distributions share."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae._arguments import in_short
from pyro_vae.errors import ArgumentError, ArgumentTypeError

Shape = torch.Size | list[int] | tuple[int, ...]
"""A shape, as torch's distributions accept it."""


def has_density(distribution: dist.TorchDistribution) -> bool:
    """Return whether a distribution has a density or a mass; a `Delta` and a flat one do not."""
    return not isinstance(
        getattr(distribution, "base_dist", distribution), dist.Delta | dist.ImproperUniform
    )


def require_tensors(distribution: object, **parameters: Any) -> None:
    """Refuse parameters that are not tensors; their values are validated by torch.

    Raises:
        ArgumentTypeError: naming the distribution and the parameter.
    """
    for name, value in parameters.items():
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                f"{type(distribution).__name__}: {name} must be a tensor, got {in_short(value)}."
            )


def unfit(distribution: object, **parameters: Tensor) -> ArgumentError:
    """Return the error of parameters whose shapes do not fit each other."""
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in parameters.items())
    name = type(distribution).__name__
    return ArgumentError(f"{name}: the shapes of the parameters must fit each other, got {shapes}.")


def precise(x: Tensor) -> Tensor:
    """Return x in double precision, on its device, or on the CPU where that has none (MPS)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


class Parametric(dist.TorchDistribution):
    """A distribution whose parameters are the tensors that `arg_constraints` names."""

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Parametric":
        """Return the distribution with its parameters expanded to a batch shape."""
        parameters = {name: getattr(self, name) for name in self.arg_constraints}
        rank, shape = len(self.batch_shape), torch.Size(batch_shape)
        wide = {
            name: value.expand(shape + value.shape[rank:]) for name, value in parameters.items()
        }
        return type(self)(**wide, validate_args=self._validate_args)
