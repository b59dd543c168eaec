"""Distributions of latent vectors: a flat one, and a binary one whose draws have a gradient."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import register_kl

from pyro_vae.distributions.base import Shape
from pyro_vae.errors import UnsupportedError


class FlatDistribution(dist.ImproperUniform):
    """The improper distribution of log-density 0 on all of R^D; nothing can be drawn from it."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return zeros, (...), on the device and in the precision of values (..., D)."""
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_zeros(()).expand(shape)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        raise UnsupportedError(
            "A plain autoencoder has no prior to sample from: its prior is flat. To draw images, "
            "train a model with a proper prior, such as priors.StandardNormal."
        )


class StraightThroughBernoulli(dist.Bernoulli):
    r"""A Bernoulli whose draws are 0 or 1, but pass gradients on as if they were the probability.

    Its log-probabilities are the Bernoulli's. The gradient of a draw is a device for training, not
    a derivative, so that the rate must be taken in closed form, as `analytic_kl_only` says.

    Example:
        >>> logits = torch.zeros(100, requires_grad=True)
        >>> z = StraightThroughBernoulli(logits=logits).rsample()
        >>> z.unique().tolist(), z.requires_grad
        ([0.0, 1.0], True)
    """

    has_rsample = True
    analytic_kl_only = True

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Draw values, exactly 0 or 1, with the gradient of the probability."""
        # The bracket is exactly 0.
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


@register_kl(dist.MultivariateNormal, dist.Independent)
def _kl_full_diagonal(q: dist.MultivariateNormal, p: dist.Independent) -> Tensor:
    """Return the divergence of a Normal of full covariance from a diagonal one."""
    diagonal = p.base_dist
    if not isinstance(diagonal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    log_ratio = diagonal.scale.log() - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()
    square = q.scale_tril.square().sum(-1) + (q.loc - diagonal.loc).square()
    return (log_ratio + (square / diagonal.variance - 1) / 2).sum(-1)
