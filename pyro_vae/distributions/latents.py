"""Of latent vectors: flat, and binary with a gradient; a divergence that torch lacks."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import register_kl


class FlatDistribution(dist.ImproperUniform):
    """Log-density 0 on all of R^D; nothing can be drawn from it."""

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        raise NotImplementedError(
            "A plain autoencoder has no prior to sample from: its prior is flat. "
            "Train it with a proper prior, such as priors.StandardNormal, to draw new images."
        )


class StraightThroughBernoulli(dist.Bernoulli):
    r"""A Bernoulli whose draws are 0 or 1, but pass gradients on as if they were the probability.

    Its log-probabilities are the Bernoulli's. The gradient of a draw is a device for training,
    not a derivative: a rate must be taken in closed form, as `analytic_kl_only` says.
    """

    has_rsample = True
    analytic_kl_only = True

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        # The bracket is exactly 0, so that the draws are exactly 0 or 1.
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


@register_kl(dist.MultivariateNormal, dist.Independent)
def _kl_full_diagonal(q: dist.MultivariateNormal, p: dist.Independent) -> Tensor:
    """Between a full-covariance and a diagonal Normal."""
    diagonal = p.base_dist
    if not isinstance(diagonal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    log_ratio = diagonal.scale.log() - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()
    square = q.scale_tril.square().sum(-1) + (q.loc - diagonal.loc).square()
    return (log_ratio + (square / diagonal.variance - 1) / 2).sum(-1)
