"""What the distributions share."""

import pyro.distributions as dist
import torch


def has_density(distribution: dist.Distribution) -> bool:
    """Whether a distribution has a density or a mass: a Delta and an improper one have none."""
    return not isinstance(
        getattr(distribution, "base_dist", distribution), dist.Delta | dist.ImproperUniform
    )


class Parametric(dist.TorchDistribution):
    """A distribution whose parameters are the tensors that `arg_constraints` names."""

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "Parametric":
        own = {name: getattr(self, name) for name in self.arg_constraints}
        rank = len(self.batch_shape)
        wide = {k: v.expand(torch.Size(batch_shape) + v.shape[rank:]) for k, v in own.items()}
        return type(self)(**wide, validate_args=self._validate_args)
