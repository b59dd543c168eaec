"""Encoders and decoders: networks only, no probability.

An encoder maps images (..., C, H, W) to features (..., F); a decoder maps latent vectors (..., D)
to (..., C, H, W), unsquashed. Leading dimensions are folded into one batch, so that particles
and importance samples pass through unchanged. Sizes come from the image, odd ones included, down to
a single pixel.

=====================  =============================================================
pair                   what it is made of
=====================  =============================================================
``Conv``               strided convolutions, ReLU
``BatchNorm``          convolutions of any strides, batch normalisation, leaky ReLU
``Halving``            the same, as deep as the image is large
``FullyConnected``     linear layers, described by a list
``MLP``                linear layers of given widths, ReLU
``ResNet``             residual blocks
=====================  =============================================================
"""

from pyro_vae.networks.batch_norm import (
    BatchNorm,
    BatchNormDecoder,
    BatchNormEncoder,
    HalvingDecoder,
    HalvingEncoder,
    halvings,
)
from pyro_vae.networks.convolutional import ConvDecoder, ConvEncoder
from pyro_vae.networks.fully_connected import (
    ACTIVATIONS,
    FullyConnectedDecoder,
    FullyConnectedEncoder,
    Layers,
    MLPDecoder,
    MLPEncoder,
)
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, sizes_after, values_in
from pyro_vae.networks.residual import ResNetDecoder, ResNetEncoder

__all__ = [
    "ACTIVATIONS",
    "BatchNorm",
    "BatchNormDecoder",
    "BatchNormEncoder",
    "ConvDecoder",
    "ConvEncoder",
    "Decoder",
    "Encoder",
    "FullyConnectedDecoder",
    "FullyConnectedEncoder",
    "HalvingDecoder",
    "HalvingEncoder",
    "ImageShape",
    "Layers",
    "MLPDecoder",
    "MLPEncoder",
    "ResNetDecoder",
    "ResNetEncoder",
    "halvings",
    "sizes_after",
    "values_in",
]
