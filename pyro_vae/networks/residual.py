"""Residual networks: ResNet-18 for small images, and its mirror.

They are not built on torchvision's ResNet, whose first convolution, pooling and classifier would
have to be replaced, which has a single width and no decoder, and which takes seconds to import
wherever a model is loaded. A test compares our encoder with torchvision's, weight by weight.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae._arguments import Size, Sizes
from pyro_vae._scales import Standardized
from pyro_vae._spelling import renamed
from pyro_vae.networks.batch_norm import BatchNorm
from pyro_vae.networks.convolutional import start
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, as_shape, sizes_after


class ResNetEncoder(Encoder):
    """ResNet-18 for small images: its first convolution is 3x3, without stride or max-pooling.

    Deep Residual Learning for Image Recognition (He et al., 2016), table 1 and, for small images,
    section 4.2. Each stage has two residual blocks, and each but the first halves the image. The
    features are the averages of the last channels. Batch normalization has momentum 0.1 and eps
    1e-5.

    Args:
        image_shape: (C, H, W).
        channels: the number of channels of each stage.
        standardized: (m, s): the network sees the standardized images (x - m)/s.

    Raises:
        ArgumentError: an argument is out of its range.

    Example:
        >>> import torch
        >>> encoder = ResNetEncoder((3, 32, 32), channels=(4, 8))
        >>> encoder(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 8])
    """

    @renamed(standardised="standardized")
    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sizes = (64, 128, 256, 512),
        standardized: Standardized = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.standardized = float(standardized[0]), float(standardized[1])
        first = channels[0]
        layers = [_conv(image_shape[0], first), BatchNorm(first), nn.ReLU()]
        layers += [_shrinking_block(first, first, 1), _shrinking_block(first, first, 1)]
        for before, after in pairwise(channels):
            layers += [_shrinking_block(before, after, 2), _shrinking_block(after, after, 1)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.features = channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.standardized
        return super().forward((x - mean) / deviation)


class ResNetDecoder(Decoder):
    """A linear layer, then residual blocks that mirror `ResNetEncoder`, and a convolution.

    Each stage has two blocks, and each but the last doubles the image by repeating pixels (nearest
    neighbor), which avoids checkerboard patterns. The last convolution, 3x3, has no bias. Batch
    normalization has momentum 0.1 and eps 1e-5.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: the number of channels before the first stage, then after each stage that doubles
            the image; the last stage keeps them.

    Example:
        >>> import torch
        >>> decoder = ResNetDecoder(2, (3, 32, 32), channels=(8, 4))
        >>> decoder(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 32, 32])
    """

    def __init__(
        self,
        latent_size: Size,
        image_shape: ImageShape,
        channels: Sizes = (512, 256, 128, 64),
    ) -> None:
        super().__init__()
        self.image_shape = as_shape(image_shape)
        sizes = sizes_after(image_shape, (2,) * (len(channels) - 1))[::-1]
        layers = start(latent_size, (channels[0], *sizes[0]))
        for (before, after), size in zip(pairwise(channels), sizes[1:], strict=True):
            layers += [_enlarging_block(before, after, size), _shrinking_block(after, after, 1)]
        last = channels[-1]
        layers += [_shrinking_block(last, last, 1), _shrinking_block(last, last, 1)]
        self.layers = nn.Sequential(*layers, _conv(last, image_shape[0]))


class Residual(nn.Module):
    """The ReLU of the sum of two paths: He et al. (2016), equations 1 and 2."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that divides the size by the stride, rounding up."""
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)


def _shrinking_block(before: int, after: int, stride: int) -> Residual:
    """Return a basic block of ResNet."""
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
    """Return a basic block in reverse, which enlarges the image instead of shrinking it."""
    main = nn.Sequential(
        _conv(before, before),
        BatchNorm(before),
        nn.ReLU(),
        nn.Upsample(size),
        _conv(before, after),
        BatchNorm(after),
    )
    # A convolution 1x1 before the repetition of pixels gives the same at a quarter of the cost.
    shortcut = nn.Sequential(_conv(before, after, kernel=1), BatchNorm(after), nn.Upsample(size))
    return Residual(main, shortcut)
