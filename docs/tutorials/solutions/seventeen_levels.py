"""A likelihood of your own for images with 17 levels of gray: a categorical of 17.

The decoder returns 17 logits for each pixel. The log-probability of an image is that
of its levels, so it is a mass, and bits per dimension follow from it. It needs fewer
than the log2(17) = 4.09 bits of a model that knows only that there are 17 levels, and
far fewer than likelihoods that spread their probability over all 256.
"""

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae import VAE, data, evaluate, fit, networks, posteriors, priors

digits = data.load("digits")
shape, D = digits.image_shape, 8


class SeventeenLevels(dist.TorchDistribution):
    """Pixels with the values k/16, k = 0, ..., 16, as near as bytes come to them."""

    arg_constraints = {}

    def __init__(self, logits):
        self.levels = dist.Categorical(logits=logits)  # (..., C, H, W, 17)
        batch_shape, event_shape = logits.shape[:-4], logits.shape[-4:-1]
        super().__init__(batch_shape, event_shape, validate_args=False)

    def log_prob(self, x):
        return self.levels.log_prob((16 * x).round()).sum((-3, -2, -1))

    def sample(self, sample_shape=torch.Size()):
        return self.levels.sample(sample_shape) / 16

    @property
    def mean(self):
        return (self.levels.probs * torch.arange(17) / 16).sum(-1)


class Levels(nn.Module):
    """p(x|z), 17 logits for each pixel."""

    measure = "mass"  # what ``evaluate`` asks for bits per dimension

    def __init__(self):
        super().__init__()
        self.decoder = networks.MLPDecoder(D, (17, *shape[1:]), (128,))

    def forward(self, z):
        return SeventeenLevels(self.decoder(z).unsqueeze(-4).movedim(-3, -1))


torch.manual_seed(0)
posterior = posteriors.DiagonalNormal(networks.MLPEncoder(shape, (128,)), D)
vae = VAE(priors.StandardNormal(D), Levels(), posterior)
settings = {"epochs": 30, "batch_size": 64, "learning_rate": 3e-3}
fit(vae, digits.train, progress=False, **settings)
found = evaluate(vae, digits.test)
print(found)
