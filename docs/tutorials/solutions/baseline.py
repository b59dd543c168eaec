"""Subtract a baseline from the score function.

The gradient stays right on average, and its noise falls: by a factor of about two in
two dimensions, and more in more of them. That of the reparameterized gradient, 0.5, is
still out of reach.
"""

import pyro.distributions as dist
import torch

torch.manual_seed(0)
DRAWS, SIGMA = 20_000, 0.5


def f(z):
    """Return f(z), which is highest at a = (1, ..., 1)."""
    return -0.5 * ((z - 1) ** 2).sum(-1)


def first_component(size, with_baseline):
    """Return the gradient in the first number of the mean, from each draw: (DRAWS,)."""
    mean = torch.zeros(DRAWS, size, requires_grad=True)
    q = dist.Normal(mean, SIGMA).to_event(1)
    z = q.sample()
    others = q.sample()
    baseline = f(others).mean() if with_baseline else 0.0
    objective = (f(z) - baseline) * q.log_prob(z)
    return torch.autograd.grad(objective.sum(), mean)[0][:, 0]


found = {}
for size in (2, 8, 32):
    without, with_baseline = (first_component(size, each) for each in (False, True))
    found[size] = without, with_baseline
    print(
        f"D = {size:2d}: mean {with_baseline.mean():.2f}, "
        f"deviation {without.std():.2f} without, {with_baseline.std():.2f} with"
    )
