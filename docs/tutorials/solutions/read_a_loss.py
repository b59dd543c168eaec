"""Read the loss 100 * F.l1_loss(x_hat, x) + 0.01 * kl.sum() as a Laplace likelihood.

Minus the logarithm of a Laplace density is |x - x_hat| / b + log(2 b). The absolute
error of one image, summed over its P values, has the weight 100 / (B P), and its KL,
summed over the dimensions, has the weight 0.01. The ELBO has the weights 1 / b and 1:

    b = 0.01 / (100 / (B P)) = B P / 10,000.

For images of 3x64x64 in batches of 32 that is 39.3, hundreds of times what a pixel is
off by: such a model collapses.
"""

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch.distributions import kl_divergence

torch.manual_seed(0)
B, shape, D = 32, (3, 64, 64), 16
P = 3 * 64 * 64
scale = B * P / 10_000
print(f"b = {scale:.1f}")

x = torch.rand(B, *shape)
output = torch.randn(
    B, *shape, requires_grad=True
)  # of a decoder, before the sigmoid
mean = torch.randn(B, D, requires_grad=True)
log_variance = torch.randn(B, D, requires_grad=True)


def gradient_of(loss):
    """Return the gradient of a loss, as one vector."""
    found = torch.autograd.grad(loss, [output, mean, log_variance])
    return torch.cat([each.flatten() for each in found])


kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
published = 100 * F.l1_loss(output.sigmoid(), x) + 0.01 * kl.sum()
theirs = gradient_of(published)

q = dist.Normal(mean, (log_variance / 2).exp()).to_event(1)
prior = dist.Normal(torch.zeros(B, D), 1.0).to_event(1)
likelihood = dist.Laplace(output.sigmoid(), scale).to_event(3)
elbo = (likelihood.log_prob(x) - kl_divergence(q, prior)).mean()
ours = gradient_of(-elbo)

cosine = F.cosine_similarity(theirs.double(), ours.double(), dim=0).item()
print(f"cosine between the two gradients: {cosine:.6f}")
print(f"theirs is {theirs.norm() / ours.norm():.3f} times as long")
