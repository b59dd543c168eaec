"""Find the slip: the KL is averaged over the dimensions, too, and not only over images.

The KL of an image is the sum over the dimensions of its latent vector. With the mean in its place
it is weighted by 1/D: the more dimensions there are, the less each costs, although none
of the new ones says anything.
"""

import torch
from torch.distributions import Normal, kl_divergence

torch.manual_seed(0)


def published(mean, log_variance):
    """Return the KL as the program has it."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


def exact(mean, log_variance):
    """Return the KL from N(0, I), averaged over the images alone."""
    q = Normal(mean, (log_variance / 2).exp())
    return kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean()


mean, log_variance = torch.randn(2, 64, 8)
found = {}
print("dimensions   as published   exact   ratio")
for extra in (0, 8, 24):
    idle = torch.zeros(64, extra)  # these dimensions are the prior's
    latent = torch.cat([mean, idle], 1), torch.cat([log_variance, idle], 1)
    found[8 + extra] = published(*latent).item(), exact(*latent).item()
    wrong, right = found[8 + extra]
    print(f"{8 + extra:10d}{wrong:15.3f}{right:8.3f}{right / wrong:8.1f}")
