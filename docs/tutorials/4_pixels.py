r"""
What a likelihood says of a pixel
=================================

The term "reconstruction loss" hides a choice. A loss is minus the logarithm of a
likelihood, and a likelihood is a distribution: it says which pixel values are
probable, how probable they are, and that all of them together have probability one.
This page checks that last point, and shows what the weights mean that tutorials put
in front of a squared error.
"""

# %%
# Do they sum to one?
# -------------------
# Take one pixel in [0, 1] and one output of a decoder. The integral of a density
# over all values must be 1, as must the sum of a probability mass over 256 levels.

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch

from pyro_vae import VAE, data, evaluate, likelihoods
from pyro_vae.distributions import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    GrayBernoulli,
)

values = torch.linspace(0, 1, 100_001, dtype=torch.double)
levels = torch.arange(256, dtype=torch.double) / 255


def total(density):
    """Return the integral of a density over [0, 1]."""
    return torch.trapezoid(density.log_prob(values).exp(), values)


print("sigmoid of  Bernoulli at  continuous   discretized")
print("the output  gray levels   Bernoulli    logistic")
for mean in (0.01, 0.1, 0.5, 0.9):
    logit = torch.tensor(mean, dtype=torch.double).logit()
    logistic = DiscretizedLogistic(
        logit.sigmoid(), torch.tensor(0.1, dtype=torch.double)
    )
    sums = (
        total(GrayBernoulli(logits=logit)),
        total(ContinuousBernoulli(logit)),
        logistic.log_prob(levels).exp().sum(),
    )
    print(f"{mean:9.2f}" + "".join(f"{each:13.6f}" for each in sums))

# %%
# The binary cross-entropy of a gray level, as used by many tutorials and by the
# recipe ``fashion_conv``, is minus the logarithm of something whose total is not
# one. It trains well, and its ELBO compares models that share it; but it is not the
# probability of an image, and has no bits per dimension. The *continuous Bernoulli*
# (Loaiza-Ganem and Cunningham, 2019) is the same expression, normalized. (Its
# parameter is then no longer its mean: at 0.1 the mean is 0.33.) The *discretized
# logistic* (Kingma et al., 2016) assigns a probability to each of the 256 levels
# that an image file can hold.

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
logit = torch.tensor(0.1, dtype=torch.double).logit()
axes.plot(
    values,
    GrayBernoulli(logits=logit).log_prob(values).exp(),
    label="Bernoulli, gray levels",
)
axes.plot(
    values,
    ContinuousBernoulli(logit).log_prob(values).exp(),
    label="continuous Bernoulli",
)
logistic = DiscretizedLogistic(torch.tensor(0.1), torch.tensor(0.1))
axes.step(
    levels,
    256 * logistic.log_prob(levels).exp(),
    label="256 x discretized logistic",
)
axes.set(
    xlabel="pixel value",
    ylabel="density",
    ylim=(0, 6),
    title="one decoder output, 0.1",
)
axes.legend()

# %%
# Even a perfect reconstruction costs something
# ---------------------------------------------
# The cross-entropy of a gray pixel with itself is its entropy, not 0: a loss of
# "130" says nothing until we know how low it can go.

digits = data.load("digits")
x = digits.test.as_float(slice(None))
perfect = GrayBernoulli(probs=x.clamp(1e-6, 1 - 1e-6)).to_event(3).log_prob(x)
mean_image = digits.train.as_float(slice(None)).mean(0)
constant = (
    GrayBernoulli(probs=mean_image.clamp(1e-6, 1 - 1e-6)).to_event(3).log_prob(x)
)
print("cross-entropy of the digits, in nats per image")
print(f"with themselves:       {-perfect.mean():.1f}")
print(f"with their mean image: {-constant.mean():.1f}")

# %%
# A squared error is a Normal
# ---------------------------
# .. math::
#
#     -\log \mathcal N(x;\, \hat x,\, \sigma^2 I)
#     = \frac{1}{2\sigma^2} \lVert x - \hat x \rVert^2 + \frac P2 \log 2\pi\sigma^2,
#     \qquad P = C \cdot H \cdot W .
#
# Whoever weights a squared error against a KL has chosen :math:`\sigma`. These are
# the choices made by the sources of the recipes:

print("recipe               squared error              sigma")
for name, loss, variance in [
    ("mnist_fc", "sum / 2", 1.0),
    ("mnist_mlp", "sum", 0.5),
    ("fashion_batchnorm", "1000 x mean, 1x28x28", 28 * 28 / 2000),
    ("cartoon at 64", "1000 x mean, 3x64x64", 3 * 64 * 64 / 2000),
    ("cartoon at 128", "1000 x mean, 3x128x128", 3 * 128 * 128 / 2000),
    ("cartoon at 256", "1000 x mean, 3x256x256", 3 * 256 * 256 / 2000),
]:
    print(f"{name:20s} {loss:25s} {variance**0.5:6.3f}   (variance {variance:.3f})")

# %%
# Pixels lie in [0, 1], and a standard deviation of 9.9 hardly distinguishes them.
# The mean over pixels divides by P, so that the larger an image is, the less it
# counts against the prior. That is why the recipe ``cartoon`` learns one sigma
# instead, and no weight is left to choose.
#
# The best sigma is the error itself
# ----------------------------------
# For a given reconstruction the likelihood is highest where :math:`\sigma^2` is the
# mean squared error: this is what a learned sigma finds. Here we "reconstruct"
# every digit by the mean image, and compare how probable each sigma makes the test
# images:

rms = (x - mean_image).square().mean().sqrt().item()
print(f"root mean squared error: {rms:.3f}")
for sigma in (1.0, 0.626, rms, 0.1):
    log_density = dist.Normal(mean_image, sigma).to_event(3).log_prob(x).mean()
    print(f"sigma {sigma:.3f}: log p(x) = {log_density:8.2f} nats per image")

# %%
# Bits per dimension
# ------------------
# The value of a density depends on the unit, and so on how pixels are scaled; that
# of a probability mass does not. Minus the logarithm of the mass of an image with
# 256 levels, divided by :math:`P \log 2`, is the number of bits that a compressor
# would need for each value: 8 if all levels are equally probable. A density needs
# continuous values, which *dequantization* gives: :math:`(k + u)/256` with u
# uniform in [0, 1). For a density p of such values,
#
# .. math::
#
#     \text{bits/dim} = \frac{-\log p(x) + P \log 256}{P \log 2}
#
# ``evaluate`` computes it from what the likelihood declares about itself. As an
# example, take a decoder that ignores its code, a posterior that equals the prior,
# and one logistic for every pixel:


class MeanImage(torch.nn.Module):
    """A decoder that maps every code to the logits of the mean image."""

    image_shape = digits.image_shape

    def forward(self, z):
        return (
            mean_image.clamp(0.01, 0.99)
            .logit()
            .expand(*z.shape[:-1], *self.image_shape)
        )


def standard(x=None):
    """Return the prior, or a posterior that equals it: the rate is 0."""
    shape = () if x is None else (len(x),)
    return dist.Normal(torch.zeros(*shape, 1), 1.0).to_event(1)


for scale in (0.5, 0.25, 0.1):
    likelihood = likelihoods.DiscretizedLogistic(
        MeanImage(), scale=scale, learned=False
    )
    found = evaluate(VAE(standard, likelihood, standard), digits.test)
    print(f"scale {scale:.2f}: {found.bits_per_dimension:.3f} bits per dimension")
