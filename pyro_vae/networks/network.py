"""What an encoder and a decoder are, and the sizes of images on their way through."""

from collections.abc import Iterable

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


def values_in(image_shape: ImageShape) -> int:
    """The number P of values in an image (C, H, W)."""
    channels, height, width = image_shape
    return channels * height * width


def sizes_after(image_shape: ImageShape, strides: Iterable[int]) -> list[tuple[int, int]]:
    """(H, W) of an image, and after each division by a stride, rounded up."""
    sizes = [tuple(image_shape[1:])]
    for stride in strides:
        height, width = sizes[-1]
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes
