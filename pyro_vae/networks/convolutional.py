"""Strided convolutions and their transposes, with ReLU."""

from itertools import pairwise

from torch import nn

from pyro_vae._arguments import Size, Sizes
from pyro_vae.networks.initialization import Initialization, initialize
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, as_shape, sizes_after, values_in


class ConvEncoder(Encoder):
    """Convolutions 3x3 with stride 2, each followed by ReLU; each halves the image.

    Args:
        image_shape: (C, H, W).
        channels: the number of channels after each convolution.
        initialization: of the weights: "pytorch" or "he" (`initialize`).

    Example:
        >>> import torch
        >>> encoder = ConvEncoder((1, 28, 28), channels=(8, 16))
        >>> encoder(torch.rand(5, 1, 28, 28)).shape, encoder.features
        (torch.Size([5, 784]), 784)
    """

    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sizes = (32, 64, 128),
        *,
        initialization: Initialization = "pytorch",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((image_shape[0], *channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        initialize(layers, initialization)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        height, width = sizes_after(image_shape, (2,) * len(channels))[-1]
        self.features = channels[-1] * height * width


class ConvDecoder(Decoder):
    """A linear layer, then transposed convolutions that mirror `ConvEncoder`.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: the number of channels before each transposed convolution.
        initialization: of the weights: "pytorch" or "he" (`initialize`).

    Example:
        >>> import torch
        >>> decoder = ConvDecoder(2, (1, 28, 28), channels=(16, 8))
        >>> decoder(torch.zeros(3, 5, 2)).shape
        torch.Size([3, 5, 1, 28, 28])
    """

    def __init__(
        self,
        latent_size: Size,
        image_shape: ImageShape,
        channels: Sizes = (128, 64, 32),
        *,
        initialization: Initialization = "pytorch",
    ) -> None:
        super().__init__()
        self.image_shape = as_shape(image_shape)
        sizes = sizes_after(image_shape, (2,) * len(channels))[::-1]
        layers = start(latent_size, (channels[0], *sizes[0]))
        steps = zip(pairwise((*channels, image_shape[0])), pairwise(sizes), strict=True)
        for (before, after), (small, large) in steps:
            layers += [enlarging(before, after, small, large, stride=2), nn.ReLU()]
        initialize(layers, initialization)
        self.layers = nn.Sequential(*layers[:-1])


def start(latent_size: int, shape: ImageShape) -> list[nn.Module]:
    """Return a linear layer from a latent vector to a small image."""
    return [nn.Linear(latent_size, values_in(shape)), nn.Unflatten(1, shape)]


def enlarging(
    before: int, after: int, small: tuple[int, int], large: tuple[int, int], stride: int
) -> nn.ConvTranspose2d:
    """Return a transposed convolution 3x3 that undoes the shape of one from large to small."""
    height, width = (b - 1 - (a - 1) * stride for a, b in zip(small, large, strict=True))
    missing = (height, width)
    return nn.ConvTranspose2d(before, after, 3, stride=stride, padding=1, output_padding=missing)
