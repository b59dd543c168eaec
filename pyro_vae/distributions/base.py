"""Parts that the distributions share."""

from typing import Any

import pyro.distributions as dist
import torch

Shape = torch.Size | list[int] | tuple[int, ...]
"""A shape, as torch's distributions accept it."""


def has_density(distribution: dist.TorchDistribution) -> bool:
    """Return whether a distribution has a density or a mass; a `Delta` and a flat one do not."""
    return not isinstance(
        getattr(distribution, "base_dist", distribution), dist.Delta | dist.ImproperUniform
    )


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
