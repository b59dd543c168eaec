r"""System 5: ResNet-18 and its mirror on CIFAR-10, 256 latent dimensions.

Source: Variational Autoencoder Demystified With PyTorch Implementation (Falcon, 2020).

The loss of the source is the negative ELBO itself, with a Normal likelihood of one learned sigma
and the sampled rate log q(z|x) - log p(z): `Trace_ELBO` with beta = 1. Its images are standardized,
(x - m)/s with the mean m and deviation s of the data, and sigma starts at 1. Our images stay in
[0, 1], the networks see and return them standardized, with m = 0.5 and s = 0.25, and sigma starts
at s. This is the same model in other units, in which a density of P values is s^-P times as high:

.. math::

    -\mathrm{ELBO}_\text{standardized} = \text{distortion} + \text{rate} - P \log s.

(The m and s of the source differ between the channels by a few hundredths; we take one pair.) The
output of the decoder is the mean of a Normal, not an image: it is not squashed.

The source trains for 18 to 20 epochs and keeps the last weights. Our settings hold out validation
images, which choose the weights, take larger batches, and let a higher learning rate rise and fall
once.

Images (3, 32, 32), features (512,), latent vectors (256,).
"""

import math
from functools import partial

from pyro_vae import likelihoods, networks
from pyro_vae.recipes.recipe import Recipe
from pyro_vae.schedules import Constant, OneCycle

DEVIATION = 0.25
STANDARDIZED = (0.5, DEVIATION)


def published_loss(distortion: float, rate: float, values: int) -> float:
    """Return -ELBO of standardized images, from nats per image of `values` values in [0, 1]."""
    return distortion + rate - values * math.log(DEVIATION)


cifar_resnet = Recipe(
    name="cifar_resnet",
    summary="CIFAR-10, ResNet-18 and its mirror, D = 256, Normal with learned sigma (Falcon, 2020)",
    source="Falcon, 2020",
    data="cifar10",
    image_shape=(3, 32, 32),
    latent_size=256,
    encoder=partial(networks.ResNetEncoder, standardized=STANDARDIZED),
    decoder=networks.ResNetDecoder,
    likelihood=partial(
        likelihoods.Normal,
        scale=DEVIATION,
        learned=True,
        sigmoid=False,
        standardized=STANDARDIZED,
    ),
    epochs=20,
    batch_size=128,
    learning_rate=1e-3,
    schedule=OneCycle,
    published={
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "schedule": Constant,
        "keep": "last",
        "validation": 0,
        "expected": "3,409 on the source's scale, ELBO 849 (of a density) after 1 epoch on 14,000 "
        "images (seeds 0 to 2)",
    },
    published_loss=published_loss,
)
