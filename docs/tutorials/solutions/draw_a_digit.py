"""Draw the digit that is asked for: a conditional variational autoencoder.

Nearly all of what it draws looks most like a training image of the right digit.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from pyro_vae import data, networks

torch.manual_seed(0)
pyro.clear_param_store()
digits = data.load("digits")
shape, D = digits.image_shape, 4
x, labels = digits.train.as_float(slice(None)), digits.train.labels

encoder = networks.MLPEncoder(shape, (128,))
head = nn.Linear(128 + 10, 2 * D)
decoder = networks.MLPDecoder(D + 10, shape, (128,))


def model(x, y):
    """Draw a latent vector, and score images x (B, C, H, W) of the digits y (B,)."""
    pyro.module("decoder", decoder)
    with pyro.plate("images", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
        mean = decoder(torch.cat([z, nn.functional.one_hot(y, 10)], -1)).sigmoid()
        pyro.sample("x", dist.Normal(mean, 0.2).to_event(3), obs=x)


def guide(x, y):
    """Draw a latent vector for each image x of the digits y."""
    pyro.module("encoder", encoder)
    pyro.module("head", head)
    features = torch.cat([encoder(x), nn.functional.one_hot(y, 10)], -1)
    mean, log_variance = head(features).chunk(2, dim=-1)
    with pyro.plate("images", len(x)):
        pyro.sample("z", dist.Normal(mean, (log_variance / 2).exp()).to_event(1))


svi = SVI(model, guide, pyro.optim.Adam({"lr": 5e-3}), Trace_ELBO())
for _ in range(20):
    for indices in torch.randperm(len(x)).split(64):
        svi.step(x[indices], labels[indices])

asked = torch.arange(10).repeat_interleave(100)
with torch.no_grad():
    z = torch.randn(1000, D)
    drawn = decoder(torch.cat([z, nn.functional.one_hot(asked, 10)], -1)).sigmoid()
nearest = torch.cdist(drawn.flatten(1), x.flatten(1)).argmin(1)
right = (labels[nearest] == asked).double().view(10, 100).mean(1)
print("share that looks like the digit asked for:")
print(", ".join(f"{digit}: {share:.0%}" for digit, share in enumerate(right)))
print(f"all: {right.mean():.0%}")
