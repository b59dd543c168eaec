r"""System 4: an MLP on MNIST with two latent dimensions, as published and corrected.

Source: Variational AutoEncoders (VAE) with PyTorch (van de Kleut).

The loss of the source sums, over an image, the squared error and the penalty
sigma^2 + mu^2 - log sigma - 1/2. The squared error is a Normal likelihood of variance 1/2 without
its normalizing constant. The source calls the penalty the divergence from N(0, I), but it is the
divergence from N(0, I/2), plus a constant:

.. math::

    \sum_d \left(\sigma_d^2 + \mu_d^2 - \log \sigma_d - \tfrac12\right)
    = \mathrm{KL}\!\left(q \,\|\, \mathcal N(0, \tfrac12 I)\right) + \tfrac D2 \log 2.

With beta = 1, P = 784 values and D = 2 this gives

* as published, the prior N(0, I/2) and the loss
  distortion + rate - (P/2) log pi + (D/2) log 2;
* in our settings, the prior that the text announces, N(0, I), and the loss
  distortion + rate - (P/2) log pi.

The second head returns log sigma of the posterior. The source trains for 20 epochs and keeps the
last weights. Our settings hold out validation images and let the learning rate rise and fall once.

Images (1, 28, 28), features (512,), latent vectors (2,).
"""

import math
from functools import partial

from pyro_vae import likelihoods, networks, posteriors, priors
from pyro_vae.recipes.recipe import Recipe, analytic_elbo
from pyro_vae.schedules import Constant, OneCycle

LATENT_SIZE = 2
SIGMA = math.sqrt(0.5)


def announced_loss(distortion: float, rate: float, values: int) -> float:
    """Return squared error + KL from N(0, I), from nats per image of `values` values."""
    return distortion + rate - values / 2 * math.log(math.pi)


def published_loss(distortion: float, rate: float, values: int) -> float:
    """Return squared error + published penalty; the rate is the KL from N(0, I/2)."""
    return announced_loss(distortion, rate, values) + LATENT_SIZE / 2 * math.log(2)


mnist_mlp = Recipe(
    name="mnist_mlp",
    summary="MNIST, MLP, D = 2, Normal with variance 1/2 (van de Kleut)",
    source="van de Kleut",
    expected="squared error + KL 37.2, ELBO -485.9 nats per image on the test images (seed 0)",
    data="mnist",
    image_shape=(1, 28, 28),
    latent_size=LATENT_SIZE,
    encoder=networks.MLPEncoder,
    decoder=networks.MLPDecoder,
    likelihood=partial(likelihoods.Normal, scale=SIGMA),
    posterior=partial(posteriors.DiagonalNormal, spread="log_scale"),
    epochs=20,
    batch_size=128,
    learning_rate=3e-3,
    schedule=OneCycle,
    published={
        "expected": "squared error + penalty 38.7, ELBO -486.7 (seeds 0 to 2)",
        "summary": "MNIST, MLP, D = 2, Normal with variance 1/2, prior N(0, I/2) (van de Kleut)",
        "prior": partial(priors.Normal, scale=math.sqrt(0.5)),
        "objective": analytic_elbo,
        "epochs": 20,
        "learning_rate": 1e-3,
        "schedule": Constant,
        "keep": "last",
        "validation": 0,
        "published_loss": published_loss,
    },
    published_loss=announced_loss,
)
