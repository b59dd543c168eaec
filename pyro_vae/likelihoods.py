"""Likelihoods p(x|z): a decoder, and the distribution that its output parameterizes."""

import math
from typing import Annotated, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import distributions
from pyro_vae._arguments import Bounds, Size
from pyro_vae._module import Module
from pyro_vae._scales import Scale, Standardized, log_scale_of, scale_of
from pyro_vae._spelling import renamed
from pyro_vae.distributions import LEVELS, GrayBernoulli
from pyro_vae.errors import ArgumentError, ArgumentTypeError, PyroVAEError
from pyro_vae.networks import Decoder

constraints = dist.constraints


class SupportError(PyroVAEError, ValueError):
    """Images lie outside a likelihood's support."""


class Likelihood(Module):
    """A distribution over images (C, H, W) for each latent vector.

    Args:
        decoder: a network, (..., D) -> (..., C, H, W), without a final sigmoid. A `Decoder` of
            this library is widened to M parameters for each value. Any other network is called
            with latent vectors (N, D), and must return (N, M * C, H, W), grouped by parameter, then
            by channel.
        outputs: the number M of parameters of the distribution of one value.
    """

    #: The values that an image may have: "binary", "unit" ([0, 1]) or "levels" (k/255).
    support: Literal["binary", "unit", "levels"] = "unit"

    #: The kind of number that log p(x|z) is, on which bits per dimension depend. "mass": the
    #: log-probability of the values themselves, from which they follow directly. "density": the
    #: log-density of values in [0, 1]; for dequantized images, those of the 256 levels are 8 more.
    #: "none": the logarithm of something that is not normalized, for which there are none.
    measure: Literal["mass", "density", "none"] = "density"

    def __init__(self, decoder: nn.Module, outputs: Size = 1) -> None:
        super().__init__()
        self.decoder = decoder.widened(outputs) if isinstance(decoder, Decoder) else decoder
        self.outputs = outputs

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        """Return p(x|z) of latent vectors (..., D): batch shape (...), event shape (C, H, W)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoder's output at latent vectors (..., D): (..., M * C, H, W).

        For a network that is not a `Decoder`, the leading dimensions are folded into one.
        """
        if isinstance(self.decoder, Decoder) or z.dim() == 2:
            return self.decoder(z)
        images = self.decoder(z.reshape(-1, z.shape[-1]))
        return images.reshape(*z.shape[:-1], *images.shape[1:])

    def decoded(self, z: Tensor) -> Tensor:
        """Return the decoder's output, split by parameter: (M, ..., C, H, W).

        Raises:
            ArgumentTypeError: the number of the decoder's channels is not a multiple of M.
        """
        images = self.decode(z)
        if images.dim() < 3 or images.shape[-3] % self.outputs:
            raise ArgumentTypeError(
                f"{type(self).__name__} needs {self.outputs} parameters for each value of an "
                f"image, so its decoder must return {self.outputs} * C channels, but "
                f"{type(self.decoder).__name__} returned the shape {tuple(images.shape)}."
            )
        return images.unflatten(-3, (self.outputs, -1)).movedim(-4, 0)

    def check(self, x: Tensor) -> None:
        """Check that images lie in the support.

        Raises:
            SupportError: they do not; it names the likelihood, what it needs, and a stray value.
        """
        constraint, needs, remedy = _SUPPORTS[self.support]
        inside = constraint.check(x)
        if not bool(inside.all()):
            stray = x[~inside][0].item()
            raise SupportError(
                f"{type(self).__name__} needs {needs}, but got a value of {stray:.4g}. {remedy}"
            )


_SUPPORTS = {
    "binary": (
        constraints.boolean,
        "binary images (every value 0 or 1)",
        "Binarize the images, or choose a likelihood for gray levels; "
        "Bernoulli(gray_levels=True) accepts them, as many tutorials do.",
    ),
    "unit": (
        constraints.unit_interval,
        "values in [0, 1]",
        "Divide the images by their largest value.",
    ),
    "levels": (
        distributions.levels,
        "256 levels (every value k/255)",
        "Use the images as they are, not dequantized, or choose a likelihood for values in "
        "[0, 1], such as Normal.",
    ),
}


class Bernoulli(Likelihood):
    r"""Bernoulli, :math:`\log p(x|z) = \sum_i x_i \log \pi_i + (1 - x_i) \log (1 - \pi_i)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix C.1.

    The decoder's outputs are the logits of :math:`\pi`.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        gray_levels: accept any value in [0, 1], as many tutorials do. The sum above is then a
            cross-entropy, not a normalized density.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = Bernoulli(MLPDecoder(2, (1, 8, 8)))
        >>> images = likelihood(torch.zeros(5, 2)).sample()
        >>> images.shape, images.unique()
        (torch.Size([5, 1, 8, 8]), tensor([0., 1.]))
    """

    @renamed(grey_levels="gray_levels")
    def __init__(self, decoder: nn.Module, gray_levels: bool = False) -> None:
        super().__init__(decoder)
        self.support = "unit" if gray_levels else "binary"
        self.measure = "none" if gray_levels else "mass"

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        family = GrayBernoulli if self.support == "unit" else dist.Bernoulli
        return family(logits=self.decode(z)).to_event(3)


class ContinuousBernoulli(Likelihood):
    r"""Continuous Bernoulli, :math:`p(x|z) \propto \prod_i \lambda_i^{x_i} (1-\lambda_i)^{1-x_i}`.

    The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019), section 3.

    A normalized density on [0, 1], which the Bernoulli at gray levels is not. The decoder's
    outputs are the logits of :math:`\lambda`.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = ContinuousBernoulli(MLPDecoder(2, (1, 8, 8)))
        >>> likelihood(torch.zeros(5, 2)).mean.shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__(decoder)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        return distributions.ContinuousBernoulli(self.decode(z)).to_event(3)


class _LocationScale(Likelihood):
    """A distribution with a location and a scale: what `Normal` and similar classes share."""

    log_scale: Tensor

    @renamed(standardised="standardized")
    def __init__(
        self,
        decoder: nn.Module,
        scale: Scale = 1.0,
        learned: bool | Literal["channel", "value"] = False,
        sigmoid: bool = True,
        standardized: Standardized = (0.0, 1.0),
    ) -> None:
        super().__init__(decoder, outputs=2 if learned == "value" else 1)
        self.learned, self.sigmoid = learned, sigmoid
        self.standardized = float(standardized[0]), float(standardized[1])
        if sigmoid and self.standardized != (0, 1):
            raise ArgumentError(
                f"{type(self).__name__}: standardized needs sigmoid=False, got "
                f"standardized={self.standardized}: a sigmoid would keep the mean in [0, 1]."
            )
        log_scale = log_scale_of(scale)
        if learned == "channel":
            log_scale = log_scale.repeat(_channels(decoder), 1, 1)
        if learned in (True, "channel"):
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """The scale, shape () or (C, 1, 1); the initial one if it is learned for each value."""
        return scale_of(self.log_scale)

    def family(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        """Return the distribution of single values."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        if self.outputs == 1:
            loc, scale = self.decoded(z).squeeze(0), self.scale
        else:
            loc, log_ratio = self.decoded(z)
            scale = scale_of(self.log_scale + log_ratio)
        mean, deviation = self.standardized
        loc = loc.sigmoid() if self.sigmoid else mean + deviation * loc
        return self.family(loc, scale).to_event(3)


def _channels(decoder: nn.Module) -> int:
    """Return the number C of channels that a decoder declares."""
    shape = getattr(decoder, "image_shape", None)
    if shape is None:
        raise ArgumentTypeError(
            f"The decoder {type(decoder).__name__} does not say how many channels it returns: "
            "give it an attribute `image_shape`, (C, H, W)."
        )
    return shape[0]


class Normal(_LocationScale):
    r"""Normal, :math:`p(x|z) = \mathcal N(x; \hat x(z), \sigma^2 I)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix C.2.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the standard deviation sigma, in units of [0, 1] images; if it is learned, its
            initial value.
        learned: learn sigma: a single one (True), one for each "channel" (the decoder must have an
            attribute `image_shape`), or one for each "value" (a second output of the decoder).
        sigmoid: apply a sigmoid to the mean, which keeps it in [0, 1].
        standardized: (m, s): the decoder returns the mean of the standardized images (x - m)/s,
            so that the mean of x is m plus s times it. Needs sigmoid=False.

    Raises:
        ArgumentError: the scale is not above 0.0001, s is not above 0, or standardized is combined
            with a sigmoid.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = Normal(MLPDecoder(2, (3, 8, 8)), scale=0.1, learned="channel")
        >>> images = likelihood(torch.zeros(5, 2))
        >>> images.batch_shape, images.event_shape, likelihood.scale.shape
        (torch.Size([5]), torch.Size([3, 8, 8]), torch.Size([3, 1, 1]))
    """

    def family(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        return distributions.Normal(loc, scale)


class Laplace(_LocationScale):
    r"""Laplace, :math:`p(x|z) = \prod_i \frac{1}{2 b} \exp(-|x_i - \hat x_i(z)| / b)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the scale b, in units of [0, 1] images; if it is learned, its initial value.
        learned: learn b: a single one (True), one for each "channel" (the decoder must have an
            attribute `image_shape`), or one for each "value" (a second output of the decoder).
        sigmoid: apply a sigmoid to the mean, which keeps it in [0, 1].
        standardized: (m, s): the decoder returns the mean of the standardized images (x - m)/s,
            so that the mean of x is m plus s times it. Needs sigmoid=False.

    Raises:
        ArgumentError: the scale is not above 0.0001, s is not above 0, or standardized is combined
            with a sigmoid.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = Laplace(MLPDecoder(2, (1, 8, 8)), scale=0.1)
        >>> likelihood(torch.zeros(5, 2)).log_prob(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5])
    """

    def family(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        return dist.Laplace(loc, scale)


class StudentT(_LocationScale):
    r"""Student-t, :math:`p(x|z) \propto \prod_i (\nu + (x_i - \hat x_i(z))^2/s^2)^{-(\nu+1)/2}`.

    Student-t Variational Autoencoder for Robust Density Estimation (Takahashi et al., 2018).

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        degrees: the degrees of freedom nu > 1; with few of them, outliers cost little.
        scale: the scale s, in units of [0, 1] images; if it is learned, its initial value.
        learned: learn s: a single one (True), one for each "channel" (the decoder must have an
            attribute `image_shape`), or one for each "value" (a second output of the decoder).
        sigmoid: apply a sigmoid to the mean, which keeps it in [0, 1].
        standardized: (m, s): the decoder returns the mean of the standardized images (x - m)/s,
            so that the mean of x is m plus s times it. Needs sigmoid=False.

    Raises:
        ArgumentError: the scale is not above 0.0001, s is not above 0, standardized is combined
            with a sigmoid, or degrees is not above 1.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = StudentT(MLPDecoder(2, (1, 8, 8)), scale=0.1, learned="value")
        >>> likelihood(torch.zeros(5, 2)).log_prob(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5])
    """

    @renamed(standardised="standardized")
    def __init__(
        self,
        decoder: nn.Module,
        degrees: Annotated[float, Bounds(above=1)] = 5.0,
        scale: Scale = 1.0,
        learned: bool | Literal["channel", "value"] = False,
        sigmoid: bool = True,
        standardized: Standardized = (0.0, 1.0),
    ) -> None:
        super().__init__(decoder, scale, learned, sigmoid, standardized)
        self.degrees = degrees

    def family(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        # On the device: a number would be sent there at every call.
        return dist.StudentT(loc.new_full((), self.degrees), loc, scale)


class DiscretizedLogistic(_LocationScale):
    r"""Discretized logistic, :math:`P(x|z) = \prod_i [F_i(x_i + \delta) - F_i(x_i - \delta)]`.

    Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016).

    The probability mass of 256 levels, with :math:`F_i(x) = \sigma((x - \mu_i(z)) / s)` and
    :math:`\delta = 1/510`; the levels 0 and 255 absorb the tails.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the scale s, in units of [0, 1] images; if it is learned, its initial value.
        learned: learn s: a single one (True), one for each "channel" (the decoder must have an
            attribute `image_shape`), or one for each "value" (a second output of the decoder).
        sigmoid: apply a sigmoid to the location mu, which keeps it in [0, 1].

    Raises:
        ArgumentError: the scale is not above 0.0001.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = DiscretizedLogistic(MLPDecoder(2, (1, 8, 8)))
        >>> levels = 255 * likelihood(torch.zeros(5, 2)).sample()
        >>> torch.allclose(levels, levels.round())
        True
    """

    support = "levels"
    measure = "mass"

    def __init__(
        self,
        decoder: nn.Module,
        scale: Scale = 0.1,
        learned: bool | Literal["channel", "value"] = "value",
        sigmoid: bool = True,
    ) -> None:
        super().__init__(decoder, scale, learned, sigmoid)

    def family(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        return distributions.DiscretizedLogistic(loc, scale)


class DiscretizedLogisticMixture(Likelihood):
    r"""Mixture of discretized logistics, :math:`P(x|z) = \prod_i \sum_k w_{ik} P_{ik}(x_i)`.

    PixelCNN++ (Salimans et al., 2017), section 2.1.

    The probability mass of 256 levels, as in `DiscretizedLogistic`; the channels are independent
    given z. The initial locations are evenly spread over [0, 1].

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        components: the number K of logistics for each value.

    Raises:
        ArgumentError: components is not positive.

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = DiscretizedLogisticMixture(MLPDecoder(2, (1, 8, 8)), components=3)
        >>> likelihood(torch.zeros(5, 2)).sample().shape
        torch.Size([5, 1, 8, 8])
    """

    support = "levels"
    measure = "mass"
    start: Tensor

    def __init__(self, decoder: nn.Module, components: Size = 10) -> None:
        super().__init__(decoder, outputs=3 * components)
        self.components = components
        start = (torch.arange(components) + 0.5) / components
        self.register_buffer("start", start, persistent=False)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        logits, loc, log_scale = self.decoded(z).movedim(0, -1).chunk(3, -1)
        scale = scale_of(log_scale - math.log(self.components))
        each = distributions.DiscretizedLogistic(self.start + loc, scale)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), each).to_event(3)


class Categorical(Likelihood):
    r"""Categorical over 256 levels, :math:`P(x|z) = \prod_i \mathrm{softmax}(l_i(z))_{255 x_i}`.

    Pixel Recurrent Neural Networks (van den Oord et al., 2016), section 2.2.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).

    Example:
        >>> from pyro_vae.networks import MLPDecoder
        >>> likelihood = Categorical(MLPDecoder(2, (1, 8, 8)))
        >>> likelihood(torch.zeros(5, 2)).log_prob(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5])
    """

    support = "levels"
    measure = "mass"

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__(decoder, outputs=LEVELS)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        logits = self.decoded(z).movedim(0, -1)
        return distributions.LevelCategorical(logits=logits).to_event(3)
