"""Convolutions of any strides, batch normalisation, leaky ReLU."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae.networks.convolutional import enlarging, start
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, sizes_after


class BatchNormEncoder(Encoder):
    """Convolutions 3x3, each followed by batch normalisation and leaky ReLU.

    A convolution of stride s leaves 1/s of the height and of the width, rounded up. Batch
    normalisation has PyTorch's momentum 0.1 (the weight of the newest batch in the running
    statistics) and eps 1e-5: see `BatchNorm`.

    Args:
        image_shape: (C, H, W).
        channels: the channels after each convolution.
        strides: of each convolution.
        slope: of the leaky ReLU below 0.

    Raises:
        ValueError: there is not one stride for each convolution.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sequence[int] = (32, 64, 64, 64),
        strides: Sequence[int] = (1, 2, 2, 1),
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        _require_as_many(channels, strides)
        layers: list[nn.Module] = []
        ends = pairwise((image_shape[0], *channels))
        for (before, after), stride in zip(ends, strides, strict=True):
            layers += [
                nn.Conv2d(before, after, 3, stride=stride, padding=1),
                BatchNorm(after),
                nn.LeakyReLU(slope),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        height, width = sizes_after(image_shape, strides)[-1]
        self.features = channels[-1] * height * width


class BatchNormDecoder(Decoder):
    """A linear layer, then transposed convolutions that mirror `BatchNormEncoder`.

    All but the last are followed by batch normalisation (momentum 0.1, eps 1e-5) and leaky ReLU.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: the channels before each transposed convolution.
        strides: of each transposed convolution: by how much it enlarges.
        slope: of the leaky ReLU below 0.

    Raises:
        ValueError: there is not one stride for each transposed convolution.
    """

    def __init__(
        self,
        latent_size: int,
        image_shape: ImageShape,
        channels: Sequence[int] = (64, 64, 64, 32),
        strides: Sequence[int] = (1, 2, 2, 1),
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        _require_as_many(channels, strides)
        self.image_shape = tuple(image_shape)
        sizes = sizes_after(image_shape, strides[::-1])[::-1]
        layers = start(latent_size, (channels[0], *sizes[0]))
        steps = zip(pairwise((*channels, image_shape[0])), pairwise(sizes), strides, strict=True)
        for (before, after), (small, large), stride in steps:
            layers += [
                enlarging(before, after, small, large, stride),
                BatchNorm(after),
                nn.LeakyReLU(slope),
            ]
        self.layers = nn.Sequential(*layers[:-2])


class HalvingEncoder(BatchNormEncoder):
    """A `BatchNormEncoder` that halves the image until its longer side is at most `smallest`.

    The first convolution has `first` channels, all others `channels`; there is at least one. An
    image of 256x256 takes five to come to 8x8, one of 128x128 four, one of 64x64 three.

    Args:
        image_shape: (C, H, W).
        first: channels after the first convolution.
        channels: channels after every other.
        smallest: pixels of the longer side at which halving ends, at least 1.
        slope: of the leaky ReLU below 0.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        first: int = 32,
        channels: int = 64,
        smallest: int = 8,
        slope: float = 0.2,
    ) -> None:
        depth = halvings(image_shape, smallest)
        super().__init__(image_shape, (first, *(channels,) * (depth - 1)), (2,) * depth, slope)


class HalvingDecoder(BatchNormDecoder):
    """The mirror of `HalvingEncoder`: doubles the image, from at most `smallest` pixels a side.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        last: channels before the last transposed convolution.
        channels: channels before every other.
        smallest: pixels of the longer side from which doubling starts, at least 1.
        slope: of the leaky ReLU below 0.
    """

    def __init__(
        self,
        latent_size: int,
        image_shape: ImageShape,
        last: int = 32,
        channels: int = 64,
        smallest: int = 8,
        slope: float = 0.2,
    ) -> None:
        depth = halvings(image_shape, smallest)
        widths = (*(channels,) * (depth - 1), last)
        super().__init__(latent_size, image_shape, widths, (2,) * depth, slope)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation, momentum 0.1, eps 1e-5; a lone value is normalised as in evaluation.

    Batch Normalization (Ioffe and Szegedy, 2015). A channel has one value only where the last
    batch of an epoch is a single image, shrunk to a single pixel: a value without a variance,
    at which PyTorch's own stops the training.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > x.shape[1]:
            return super().forward(x)
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, eps=self.eps)


def halvings(image_shape: ImageShape, smallest: int = 8) -> int:
    """How often an image is halved until its longer side is at most `smallest`: at least once.

    Raises:
        ValueError: `smallest` is below 1.
    """
    if smallest < 1:
        raise ValueError(f"An image cannot be halved to {smallest} pixels: smallest is 1 or more.")
    times = 1
    while max(sizes_after(image_shape, (2,) * times)[-1]) > smallest:
        times += 1
    return times


def _require_as_many(channels: Sequence[int], strides: Sequence[int]) -> None:
    if len(channels) != len(strides):
        raise ValueError(
            f"channels and strides must be as many: {tuple(channels)} and {tuple(strides)}."
        )
