"""A variational autoencoder of black and white images, with Bernoulli pixels."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from pyro_vae import data

torch.manual_seed(0)
pyro.clear_param_store()
D = 2
x = (data.load("digits").train.as_float(slice(None)) > 0.5).float()

encoder = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * D)
)
decoder = nn.Sequential(
    nn.Linear(D, 128), nn.ReLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8))
)


def model(x):
    """Draw z from the prior, and score black and white images x (B, 1, 8, 8)."""
    pyro.module("decoder", decoder)
    with pyro.plate("images", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(3), obs=x)


def guide(x):
    """Draw z from the cloud of each image x (B, 1, 8, 8)."""
    pyro.module("encoder", encoder)
    with pyro.plate("images", len(x)):
        mean, log_variance = encoder(x).chunk(2, dim=-1)
        pyro.sample("z", dist.Normal(mean, (log_variance / 2).exp()).to_event(1))


svi = SVI(model, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
losses = []
for _ in range(20):
    batches = torch.randperm(len(x)).split(64)
    losses.append(sum(svi.step(x[indices]) for indices in batches) / len(x))
print(f"loss of an image: first epoch {losses[0]:.2f}, last epoch {losses[-1]:.2f}")

with torch.no_grad():
    logits = decoder(torch.randn(len(x), D))
minus_log_prob = -dist.Bernoulli(logits=logits).to_event(3).log_prob(x)
cross_entropy = nn.functional.binary_cross_entropy_with_logits(
    logits, x, reduction="none"
).sum((1, 2, 3))
print(f"they differ by at most {(minus_log_prob - cross_entropy).abs().max():.0e}")
