"""Encoders and decoders: networks only, no probability.

An encoder maps images (..., C, H, W) to features (..., F); a decoder maps latent vectors (..., D)
to (..., C, H, W), unsquashed. Leading dimensions are folded into one batch, so that particles
and importance samples pass through unchanged. Sizes come from the image, odd ones included.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from pyro_vae.module import Module

ImageShape = tuple[int, int, int]


class Encoder(Module):
    """Images (..., C, H, W) to features (..., F). Subclasses set `layers` and `features`."""

    layers: nn.Module
    features: int

    def forward(self, x: Tensor) -> Tensor:
        flat = self.layers(x.reshape(-1, *x.shape[-3:]))
        return flat.reshape(*x.shape[:-3], self.features)


class Decoder(Module):
    """Latent vectors (..., D) to images (..., C, H, W). Subclasses set `layers`, `image_shape`."""

    layers: nn.Module
    image_shape: ImageShape

    def widened(self, outputs: int) -> "Decoder":
        """The same untrained network with `outputs` times as many output channels.

        For likelihoods with several parameters for each value of an image: what it returns,
        (..., outputs * C, H, W), is grouped by parameter, then by channel.
        """
        channels, height, width = self.image_shape
        wide = {"image_shape": (channels * outputs, height, width)}
        return self if outputs == 1 else type(self)(**{**self._arguments, **wide})

    def forward(self, z: Tensor) -> Tensor:
        images = self.layers(z.reshape(-1, z.shape[-1]))
        return images.reshape(*z.shape[:-1], *self.image_shape)


class ConvEncoder(Encoder):
    """Convolutions 3x3, stride 2, padding 1, each followed by ReLU; each halves the image.

    Args:
        image_shape: (C, H, W).
        channels: the channels after each convolution.
    """

    def __init__(self, image_shape: ImageShape, channels: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((image_shape[0], *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        height, width = halvings(image_shape, len(channels))[-1]
        self.features = channels[-1] * height * width


class ConvDecoder(Decoder):
    """A linear layer, then transposed convolutions that mirror `ConvEncoder`.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: the channels before each transposed convolution.
    """

    def __init__(
        self,
        latent_size: int,
        image_shape: ImageShape,
        channels: Sequence[int] = (128, 64, 32),
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = halvings(image_shape, len(channels))[::-1]
        start = (channels[0], *sizes[0])
        layers: list[nn.Module] = [
            nn.Linear(latent_size, start[0] * start[1] * start[2]),
            nn.Unflatten(1, start),
        ]
        after = (*channels[1:], image_shape[0])
        for before, wide, size in zip(channels, after, sizes[1:], strict=True):
            layers += [_doubling(before, wide, size), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])


def halvings(image_shape: ImageShape, times: int) -> list[tuple[int, int]]:
    """(H, W) of an image, and after each halving (rounded up): `times` + 1 sizes."""
    sizes = [tuple(image_shape[1:])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _doubling(before: int, after: int, size: tuple[int, int]) -> nn.ConvTranspose2d:
    """A transposed convolution to an image of `size`, the inverse in shape of a halving."""
    padding = tuple(1 - side % 2 for side in size)
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=padding)
