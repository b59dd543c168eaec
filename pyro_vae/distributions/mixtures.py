"""Mixtures of any distributions."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

#: Numbers that a mixture draws at once: some draws of all its components.
MOST_DRAWN = 2**24


class Mixture(dist.TorchDistribution):
    r"""A mixture of any K distributions of a family, :math:`\sum_k w_k \, p_k(x)`.

    Unlike `MixtureSameFamily` it asks nothing of its components but `log_prob` and `sample`, and
    keeps them as they are when expanded.

    Args:
        logits: unnormalised log-weights, (K,).
        components: a distribution of batch shape (K,).
    """

    arg_constraints = {}

    def __init__(
        self,
        logits: Tensor,
        components: dist.Distribution,
        batch_shape: torch.Size = torch.Size(),
    ) -> None:
        self.logits, self.components = logits.log_softmax(-1), components
        super().__init__(torch.Size(batch_shape), components.event_shape, validate_args=False)

    @property
    def support(self) -> Constraint:
        """The components' support."""
        return self.components.support

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "Mixture":
        return Mixture(self.logits, self.components, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.components.log_prob(value.unsqueeze(-1 - self.event_dim))
        total = (self.logits + each).logsumexp(-1)
        return total.expand(torch.broadcast_shapes(total.shape, self.batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        at_once = max(1, MOST_DRAWN // (len(self.logits) * self.event_shape.numel()))
        with torch.no_grad():
            counts = [min(at_once, shape.numel() - i) for i in range(0, shape.numel(), at_once)]
            draws = torch.cat([self._draw(count) for count in counts])
        return draws.reshape(shape + self.event_shape)

    def _draw(self, count: int) -> Tensor:
        """Draws, one after another: of every component, and one of these chosen."""
        draws = self.components.sample((count,))
        chosen = dist.Categorical(logits=self.logits).sample((count,))
        return draws[torch.arange(count, device=draws.device), chosen]

    @property
    def mean(self) -> Tensor:
        mean = torch.tensordot(self.logits.exp(), self.components.mean, 1)
        return mean.expand(self.batch_shape + self.event_shape)
