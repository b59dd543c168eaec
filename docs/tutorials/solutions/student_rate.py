"""Estimate the KL of a Student-t distribution from a standard normal one.

The deviation of a single draw says how many are needed: its square over that of the
error, several thousand.
"""

import pyro.distributions as dist
import torch

torch.manual_seed(0)
q, p = dist.StudentT(5.0, 1.0, 0.5), dist.Normal(0.0, 1.0)

z = q.sample((100_000,))
draws = q.log_prob(z) - p.log_prob(z)
print(f"from draws: {draws.mean():.3f} nats, a draw deviates by {draws.std():.2f}")

grid = torch.linspace(-200, 200, 4_000_001, dtype=torch.double)
density = q.log_prob(grid).exp()
exact = torch.trapezoid(density * (q.log_prob(grid) - p.log_prob(grid)), grid)
print(f"integral:   {exact:.3f} nats")

needed = (draws.std() / 0.01) ** 2
print(f"draws for an error of 0.01 nats: {needed:,.0f}")
