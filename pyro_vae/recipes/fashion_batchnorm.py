r"""System 3a: convolutions with batch normalization on Fashion-MNIST, two latent dimensions.

Source: Variational Autoencoder in TensorFlow (Sharma, LearnOpenCV, 2021).

The loss of the source is 1000 times the squared error, averaged over the P values of an image, plus
the Kullback-Leibler divergence. This is a Normal likelihood without its normalizing constant, whose
variance depends on the size of the image:

.. math::

    \tfrac{1000}{P} \sum_i (x_i - \hat x_i)^2 + \text{rate}
    = \text{distortion} + \text{rate} - \tfrac P2 \log 2 \pi \sigma^2,
    \qquad \sigma^2 = \tfrac{P}{2000},

which is 0.392 at P = 784, with beta = 1.

The slope of the leaky ReLU is 0.2, as the text of the source says; the layer that its code calls
has 0.3 (`--encoder.slope 0.3 --decoder.slope 0.3`). Batch normalization has PyTorch's momentum 0.1
and epsilon 1e-5; the source's library has 0.01, in the same convention, and 1e-3. Where its
convolutions of stride 2 pad an even image after the last row and column, ours pad before the first.

The source does not state its epochs: both settings have 10, so that they compare. The source trains
on all training images and keeps the last weights. Our settings hold out validation images and let
the learning rate rise and fall once.

Images (1, 28, 28), features (3136,), latent vectors (2,).
"""

import math

from pyro_vae import likelihoods, networks
from pyro_vae.recipes.recipe import Recipe, analytic_elbo
from pyro_vae.schedules import Constant, OneCycle

WEIGHT = 1000


def mean_squared_error(decoder: networks.Decoder) -> likelihoods.Normal:
    """Return the Normal whose distortion is 1000 MSE plus a constant: its variance is P/2000.

    Args:
        decoder: network, (..., D) -> (..., C, H, W), with P = C H W.
    """
    values = networks.values_in(decoder.image_shape)
    return likelihoods.Normal(decoder, scale=math.sqrt(values / (2 * WEIGHT)))


def published_loss(distortion: float, rate: float, values: int) -> float:
    """Return 1000 MSE + KL, from nats per image of `values` values under `mean_squared_error`."""
    return distortion + rate - values / 2 * math.log(2 * math.pi * values / (2 * WEIGHT))


fashion_batchnorm = Recipe(
    name="fashion_batchnorm",
    summary="Fashion-MNIST, batch-normalized convolutions, D = 2, Normal (Sharma, 2021)",
    source="Sharma, 2021",
    expected="33.6 on the source's scale, ELBO -386.9 nats per image on the test images (seed 0)",
    data="fashion-mnist",
    image_shape=(1, 28, 28),
    encoder=networks.BatchNormEncoder,
    decoder=networks.BatchNormDecoder,
    likelihood=mean_squared_error,
    epochs=10,
    batch_size=128,
    learning_rate=3e-3,
    schedule=OneCycle,
    published={
        "expected": "35.3 on the source's scale, ELBO -388.6 (seeds 0 to 2)",
        "objective": analytic_elbo,
        "epochs": 10,
        "learning_rate": 5e-4,
        "schedule": Constant,
        "keep": "last",
        "validation": 0,
    },
    published_loss=published_loss,
)
