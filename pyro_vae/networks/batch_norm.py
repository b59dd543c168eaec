"""Convolutions of any strides, with batch normalization and leaky ReLU."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae._arguments import Count, Number, Size, Sizes, checked
from pyro_vae.errors import ArgumentError
from pyro_vae.networks.convolutional import enlarging, start
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, as_shape, sizes_after
from pyro_vae.processes.shares import Share, of_each, share


class BatchNormEncoder(Encoder):
    """Convolutions 3x3, each followed by batch normalization and leaky ReLU.

    A convolution of stride s divides the height and the width by s, rounding up. Batch
    normalization has PyTorch's momentum 0.1 (the weight of the newest batch in the running
    statistics) and eps 1e-5: see `BatchNorm`.

    Args:
        image_shape: (C, H, W).
        channels: the number of channels after each convolution.
        strides: the stride of each convolution.
        slope: the slope of the leaky ReLU below 0.

    Raises:
        ArgumentError: there is not one stride for each convolution.

    Example:
        >>> import torch
        >>> encoder = BatchNormEncoder((1, 28, 28), channels=(8, 16), strides=(1, 2))
        >>> encoder(torch.rand(5, 1, 28, 28)).shape, encoder.features
        (torch.Size([5, 3136]), 3136)
    """

    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sizes = (32, 64, 64, 64),
        strides: Sizes = (1, 2, 2, 1),
        slope: Number = 0.2,
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

    All but the last are followed by batch normalization (momentum 0.1, eps 1e-5) and leaky ReLU.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        channels: the number of channels before each transposed convolution.
        strides: the stride of each transposed convolution, by which it enlarges the image.
        slope: the slope of the leaky ReLU below 0.
        normalized: use batch normalization.

    Raises:
        ArgumentError: there is not one stride for each transposed convolution.

    Example:
        >>> import torch
        >>> decoder = BatchNormDecoder(2, (1, 28, 28), channels=(16, 8), strides=(2, 1))
        >>> decoder(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        latent_size: Size,
        image_shape: ImageShape,
        channels: Sizes = (64, 64, 64, 32),
        strides: Sizes = (1, 2, 2, 1),
        slope: Number = 0.2,
        normalized: bool = True,
    ) -> None:
        super().__init__()
        _require_as_many(channels, strides)
        self.image_shape = as_shape(image_shape)
        sizes = sizes_after(image_shape, strides[::-1])[::-1]
        layers = start(latent_size, (channels[0], *sizes[0]))
        steps = zip(pairwise((*channels, image_shape[0])), pairwise(sizes), strides, strict=True)
        for (before, after), (small, large), stride in steps:
            norm = [BatchNorm(after)] if normalized else []
            layers += [enlarging(before, after, small, large, stride), *norm, nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers[: -2 if normalized else -1])


class HalvingEncoder(BatchNormEncoder):
    """A `BatchNormEncoder` that halves the image until its longer side is at most `smallest`.

    There is at least one convolution; the first has `first` channels, the others `channels`. An
    image of 256x256 needs five to reach 8x8, one of 128x128 four, and one of 64x64 three.

    Args:
        image_shape: (C, H, W).
        first: the number of channels after the first convolution.
        channels: the number of channels after each other convolution.
        smallest: the length of the longer side, in pixels, at which halving ends; at least 1.
        slope: the slope of the leaky ReLU below 0.

    Raises:
        ArgumentError: smallest is below 1.

    Example:
        >>> import torch
        >>> encoder = HalvingEncoder((3, 64, 64), first=8, channels=16)
        >>> encoder(torch.rand(5, 3, 64, 64)).shape  # 16 channels of 8x8
        torch.Size([5, 1024])
    """

    def __init__(
        self,
        image_shape: ImageShape,
        first: Size = 32,
        channels: Size = 64,
        smallest: Count = 8,
        slope: Number = 0.2,
    ) -> None:
        depth = halvings(image_shape, smallest)
        super().__init__(image_shape, (first, *(channels,) * (depth - 1)), (2,) * depth, slope)


class HalvingDecoder(BatchNormDecoder):
    """A `BatchNormDecoder` that mirrors `HalvingEncoder` and doubles the image.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        last: the number of channels before the last transposed convolution.
        channels: the number of channels before each other transposed convolution.
        smallest: the length of the longer side, in pixels, from which doubling starts; at least 1.
        slope: the slope of the leaky ReLU below 0.
        normalized: use batch normalization; without it, flat areas of one level are learned better.

    Raises:
        ArgumentError: smallest is below 1.

    Example:
        >>> import torch
        >>> decoder = HalvingDecoder(2, (3, 64, 64), last=8, channels=16)
        >>> decoder(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 64, 64])
    """

    def __init__(
        self,
        latent_size: Size,
        image_shape: ImageShape,
        last: Size = 32,
        channels: Size = 64,
        smallest: Count = 8,
        slope: Number = 0.2,
        normalized: bool = True,
    ) -> None:
        depth = halvings(image_shape, smallest)
        widths = (*(channels,) * (depth - 1), last)
        super().__init__(latent_size, image_shape, widths, (2,) * depth, slope, normalized)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization that also accepts a single value in each channel.

    Batch Normalization (Ioffe and Szegedy, 2015), with momentum 0.1 and eps 1e-5. A single value
    occurs where the last batch of an epoch is one image, reduced to one pixel. It has no variance,
    so that PyTorch's class raises an error; here it is normalized as in evaluation mode.

    Where several processes share a batch, the statistics are those of all its images.
    """

    def forward(self, x: Tensor) -> Tensor:
        found = share() if self.training else None
        # Number of values in each channel, in all processes.
        if (
            found is not None
            and (count := x.numel() // x.shape[1] // found.rows * found.images) > 1
        ):
            return self._shared(x, found, count)
        if found is None and x.numel() > x.shape[1]:
            return super().forward(x)
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, eps=self.eps)

    def _shared(self, x: Tensor, found: Share, count: int) -> Tensor:
        """Normalize the images of one process by the mean and the variance over all."""
        values = x.to(torch.promote_types(x.dtype, torch.float32))  # Networks may be in bfloat16.
        parts = of_each(torch.stack(torch.var_mean(values, (0, 2, 3), correction=0)))
        weights = parts.new_tensor(found.weights)[:, None]
        variances, means = parts[:, 0], parts[:, 1]
        mean = (weights * means).sum(0)
        variance = (weights * (variances + (means - mean).square())).sum(0)
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        result = (values - _of_channels(mean)) * _of_channels(scale)
        if self.affine:
            result = result + _of_channels(self.bias)
        return result.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Let the running statistics follow those of a batch, as PyTorch's class does."""
        if self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.copy_((1 - momentum) * running + momentum * now)


def _of_channels(values: Tensor) -> Tensor:
    return values[:, None, None]


@checked
def halvings(image_shape: ImageShape, smallest: Count = 8) -> int:
    """Return how often an image is halved until its longer side is at most `smallest`, at least 1.

    Raises:
        ArgumentError: `smallest` is below 1.
    """
    times = 1
    while max(sizes_after(image_shape, (2,) * times)[-1]) > smallest:
        times += 1
    return times


def _require_as_many(channels: Sequence[int], strides: Sequence[int]) -> None:
    if len(channels) != len(strides):
        raise ArgumentError(
            "channels and strides must have the same length, got "
            f"{tuple(channels)} and {tuple(strides)}."
        )
