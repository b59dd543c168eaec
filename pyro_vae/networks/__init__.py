"""Encoders and decoders: networks only, without probability.

An encoder maps images (..., C, H, W) to features (..., F); a decoder maps latent vectors (..., D)
to unbounded values (..., C, H, W). Leading dimensions are folded into one batch, so that particles
and importance samples pass through unchanged. The size of the image sets the size of the layers;
any image works, with odd sides and down to a single pixel. Weights begin as PyTorch draws them;
`ConvEncoder` and `ConvDecoder` can begin with others, behind which signals keep their size
(`initialize`).

=====================  =============================================================
pair                   layers
=====================  =============================================================
``Conv``               strided convolutions, ReLU
``BatchNorm``          convolutions of any strides, batch normalization, leaky ReLU
``Halving``            the same; the depth follows from the size of the image
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
from pyro_vae.networks.initialization import Initialization, initialize
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
    "Initialization",
    "Layers",
    "MLPDecoder",
    "MLPEncoder",
    "ResNetDecoder",
    "ResNetEncoder",
    "halvings",
    "initialize",
    "sizes_after",
    "values_in",
]
