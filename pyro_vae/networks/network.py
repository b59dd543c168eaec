"""The base classes of encoders and decoders, and the sizes of images within them."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from pyro_vae._arguments import ImageShape, Size, checked
from pyro_vae._module import Module


class Encoder(Module):
    """A network from images (..., C, H, W) to features (..., F).

    Subclasses set `layers` and `features`, the number F.
    """

    layers: nn.Module
    features: int

    def forward(self, x: Tensor) -> Tensor:
        flat = self.layers(x.reshape(-1, *x.shape[-3:]))
        return flat.reshape(*x.shape[:-3], self.features)


class Decoder(Module):
    """A network from latent vectors (..., D) to images (..., C, H, W).

    Subclasses set `layers` and `image_shape`, (C, H, W).
    """

    layers: nn.Module
    image_shape: ImageShape

    def widened(self, outputs: int) -> "Decoder":
        """Return the same network, untrained, with `outputs` times as many output channels.

        It serves likelihoods with several parameters for each value of an image: its output,
        (..., outputs * C, H, W), is grouped by parameter, then by channel.
        """
        if outputs == 1:
            return self
        channels, height, width = self.image_shape
        wide = (channels * outputs, height, width)
        return type(self)(**{**self._arguments, "image_shape": wide})

    def forward(self, z: Tensor) -> Tensor:
        images = self.layers(z.reshape(-1, z.shape[-1]))
        return images.reshape(*z.shape[:-1], *self.image_shape)


def as_shape(image_shape: Iterable[int]) -> ImageShape:
    """Return the shape of an image, given as any sequence of (C, H, W), as a tuple."""
    channels, height, width = image_shape
    return channels, height, width


@checked
def values_in(image_shape: ImageShape) -> int:
    """Return the number of values in an image (C, H, W)."""
    channels, height, width = image_shape
    return channels * height * width


@checked
def sizes_after(image_shape: ImageShape, strides: Sequence[Size]) -> list[tuple[int, int]]:
    """Return (H, W) of an image, and after each division by a stride, rounded up."""
    _, height, width = image_shape
    sizes = [(height, width)]
    for stride in strides:
        height, width = -(-height // stride), -(-width // stride)
        sizes.append((height, width))
    return sizes
