"""Mixtures of distributions of any family."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyro_vae.distributions.base import Shape, require_tensors
from pyro_vae.errors import ArgumentError, ArgumentTypeError

#: The most numbers that a mixture draws at once, from all its components together.
MOST_DRAWN = 2**24


class Mixture(dist.TorchDistribution):
    r"""A mixture of K distributions of the same family, :math:`\sum_k w_k \, p_k(x)`.

    Unlike `MixtureSameFamily`, it needs only `log_prob` and `sample` of its components, and does
    not expand them when it is expanded itself.

    Args:
        logits: unnormalized log-weights, (K,).
        components: a distribution of batch shape (K,).
        batch_shape: the batch shape of the mixture.

    Example:
        >>> components = dist.Normal(torch.randn(5, 2), 1.0).to_event(1)
        >>> mixture = Mixture(torch.zeros(5), components)
        >>> mixture.batch_shape, mixture.event_shape, mixture.sample((3,)).shape
        (torch.Size([]), torch.Size([2]), torch.Size([3, 2]))
    """

    arg_constraints: dict[str, Constraint] = {}

    def __init__(
        self,
        logits: Tensor,
        components: dist.TorchDistribution,
        batch_shape: Shape = torch.Size(),
    ) -> None:
        require_tensors(self, logits=logits)
        if not isinstance(components, torch.distributions.Distribution):
            raise ArgumentTypeError(
                f"Mixture: components must be a distribution, got {type(components).__name__}."
            )
        if logits.ndim != 1 or components.batch_shape != logits.shape or not len(logits):
            raise ArgumentError(
                "Mixture: logits (K,) and components of batch shape (K,) must agree, got "
                f"{tuple(logits.shape)} and {tuple(components.batch_shape)}."
            )
        self.logits, self.components = logits.log_softmax(-1), components
        super().__init__(torch.Size(batch_shape), components.event_shape, validate_args=False)

    @property
    def support(self) -> Constraint | None:
        """The support of the components."""
        return self.components.support

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Mixture":
        return Mixture(self.logits, self.components, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.components.log_prob(value.unsqueeze(-1 - self.event_dim))
        total = (self.logits + each).logsumexp(-1)
        return total.expand(torch.broadcast_shapes(total.shape, self.batch_shape))

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        at_once = max(1, MOST_DRAWN // (len(self.logits) * self.event_shape.numel()))
        with torch.no_grad():
            counts = [min(at_once, shape.numel() - i) for i in range(0, shape.numel(), at_once)]
            draws = torch.cat([self._draw(count) for count in counts])
        return draws.reshape(shape + self.event_shape)

    def _draw(self, count: int) -> Tensor:
        """Draw from every component, and choose one of these draws, `count` times."""
        draws = self.components.sample((count,))
        chosen = dist.Categorical(logits=self.logits).sample((count,))
        return draws[torch.arange(count, device=draws.device), chosen]

    @property
    def mean(self) -> Tensor:
        mean = torch.tensordot(self.logits.exp(), self.components.mean, 1)
        return mean.expand(self.batch_shape + self.event_shape)
