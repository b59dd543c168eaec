"""Residual blocks: ResNet-18 for small images, and its mirror.

Not built on torchvision's ResNet: that would need its first convolution, its pooling and its
classifier replaced, has one width, no decoder, and takes seconds to import wherever a model is
loaded. A test holds our encoder to torchvision's, weight by weight.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae.networks.batch_norm import BatchNorm
from pyro_vae.networks.convolutional import start
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, sizes_after
from pyro_vae.scales import standardisation


class ResNetEncoder(Encoder):
    """ResNet-18 for small images: first convolution 3x3 of stride 1, no max-pooling.

    Deep Residual Learning for Image Recognition (He et al., 2016), table 1 and, for small images,
    section 4.2. A stage of two residual blocks for each number of channels; every stage but the
    first halves the image; the features are the averages over what is left. Batch normalisation
    with momentum 0.1 and eps 1e-5.

    Args:
        image_shape: (C, H, W).
        channels: of each stage.
        standardised: (m, s): the first convolution is given (x - m)/s.

    Raises:
        ValueError: s is not above 0.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sequence[int] = (64, 128, 256, 512),
        standardised: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.standardised = standardisation(*standardised)
        first = channels[0]
        layers = [_conv(image_shape[0], first), BatchNorm(first), nn.ReLU()]
        layers += [_shrinking_block(first, first, 1), _shrinking_block(first, first, 1)]
        for before, after in pairwise(channels):
            layers += [_shrinking_block(before, after, 2), _shrinking_block(after, after, 1)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.features = channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.standardised
        return super().forward((x - mean) / deviation)


class ResNetDecoder(Decoder):
    """A linear layer, then residual blocks that mirror `ResNetEncoder`, and a convolution.

    Every stage of two blocks but the last doubles the image by repeating pixels (nearest
    neighbour), which leaves no checkerboard; the closing convolution 3x3 has no bias. Batch
    normalisation with momentum 0.1 and eps 1e-5.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: before the first stage, and after each that doubles; the last stage keeps them.
    """

    def __init__(
        self,
        latent_size: int,
        image_shape: ImageShape,
        channels: Sequence[int] = (512, 256, 128, 64),
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = sizes_after(image_shape, (2,) * (len(channels) - 1))[::-1]
        layers = start(latent_size, (channels[0], *sizes[0]))
        for (before, after), size in zip(pairwise(channels), sizes[1:], strict=True):
            layers += [_enlarging_block(before, after, size), _shrinking_block(after, after, 1)]
        last = channels[-1]
        layers += [_shrinking_block(last, last, 1), _shrinking_block(last, last, 1)]
        self.layers = nn.Sequential(*layers, _conv(last, image_shape[0]))


class Residual(nn.Module):
    """ReLU of the sum of two paths. He et al. (2016), equations 1 and 2."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, or divides it by the stride, rounded up."""
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)


def _shrinking_block(before: int, after: int, stride: int) -> Residual:
    """A basic block of ResNet."""
    main = nn.Sequential(
        _conv(before, after, stride=stride),
        BatchNorm(after),
        nn.ReLU(),
        _conv(after, after),
        BatchNorm(after),
    )
    if before == after and stride == 1:
        return Residual(main, nn.Identity())
    shortcut = nn.Sequential(_conv(before, after, kernel=1, stride=stride), BatchNorm(after))
    return Residual(main, shortcut)


def _enlarging_block(before: int, after: int, size: tuple[int, int]) -> Residual:
    """A basic block reversed: what divided size and multiplied channels now does the opposite."""
    main = nn.Sequential(
        _conv(before, before),
        BatchNorm(before),
        nn.ReLU(),
        nn.Upsample(size),
        _conv(before, after),
        BatchNorm(after),
    )
    # A convolution 1x1 is the same before repeating pixels as after, and costs a quarter.
    shortcut = nn.Sequential(_conv(before, after, kernel=1), BatchNorm(after), nn.Upsample(size))
    return Residual(main, shortcut)
