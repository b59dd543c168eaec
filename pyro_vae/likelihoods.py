"""Likelihoods p(x|z): a decoder network, and the distribution that its output parameterises."""

import math
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import distributions
from pyro_vae.distributions import LEVELS, GreyBernoulli
from pyro_vae.module import Module
from pyro_vae.networks import Decoder
from pyro_vae.scales import log_scale_of, scale_of, standardisation

constraints = dist.constraints


class SupportError(ValueError):
    """Images lie outside a likelihood's support."""


class Likelihood(Module):
    """A distribution over images (C, H, W) for each latent vector.

    Args:
        decoder: a network, (..., D) -> (..., C, H, W), without a closing sigmoid. One of this
            library's is widened to `outputs` parameters for each value; your own must return
            (..., outputs * C, H, W), grouped by parameter, then by channel.
        outputs: the parameters M that the distribution of one value has.
    """

    #: What the values of an image may be: "binary", "unit" ([0, 1]) or "levels" (k/255).
    support: Literal["binary", "unit", "levels"] = "unit"

    #: What log p(x|z) is of. "mass": of the values themselves, bits/dim follow directly.
    #: "density": of values in [0, 1]; bits/dim of 256 levels follow for dequantised images, 8 more.
    #: "none": of no normalised distribution, there are no bits/dim.
    measure: Literal["mass", "density", "none"] = "density"

    def __init__(self, decoder: nn.Module, outputs: int = 1) -> None:
        super().__init__()
        self.decoder = decoder.widened(outputs) if isinstance(decoder, Decoder) else decoder
        self.outputs = outputs

    def forward(self, z: Tensor) -> dist.Distribution:
        """p(x|z) of latent vectors (..., D): batch shape (...), event shape (C, H, W)."""
        raise NotImplementedError

    def decoded(self, z: Tensor) -> Tensor:
        """The decoder's output by parameter, (M, ..., C, H, W).

        Raises:
            TypeError: the decoder's channels are no multiple of the M parameters.
        """
        images = self.decoder(z)
        if images.dim() < 3 or images.shape[-3] % self.outputs:
            raise TypeError(
                f"{type(self).__name__} needs {self.outputs} parameters for each value of an "
                f"image, so its decoder must return {self.outputs} * C channels, but "
                f"{type(self.decoder).__name__} returned the shape {tuple(images.shape)}."
            )
        return images.unflatten(-3, (self.outputs, -1)).movedim(-4, 0)

    def check(self, x: Tensor) -> None:
        """Refuse images outside the support.

        Raises:
            SupportError: naming the likelihood, what it needs and what came.
        """
        constraint, needs, remedy = _SUPPORTS[self.support]
        inside = constraint.check(x)
        if not bool(inside.all()):
            stray = x[~inside][0].item()
            raise SupportError(
                f"{type(self).__name__} needs {needs}, but a value is {stray:.4g}. {remedy}"
            )


_SUPPORTS = {
    "binary": (
        constraints.boolean,
        "binary images (every value 0 or 1)",
        "Binarise the data, or choose a likelihood for grey levels; "
        "Bernoulli(grey_levels=True) takes them as the tutorials do.",
    ),
    "unit": (constraints.unit_interval, "values in [0, 1]", "Divide by the largest value."),
    "levels": (
        distributions.levels,
        "256 levels (every value k/255)",
        "Leave the data as they are, not dequantised, or choose a likelihood for values in "
        "[0, 1], such as Normal.",
    ),
}


class Bernoulli(Likelihood):
    r"""Bernoulli, :math:`\log p(x|z) = \sum_i x_i \log \pi_i + (1 - x_i) \log (1 - \pi_i)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix C.1.

    The decoder's outputs are the logits of :math:`\pi`.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        grey_levels: accept any value in [0, 1], as many tutorials do. The sum above is then a
            cross-entropy and no normalised density.
    """

    def __init__(self, decoder: nn.Module, grey_levels: bool = False) -> None:
        super().__init__(decoder)
        self.support = "unit" if grey_levels else "binary"
        self.measure = "none" if grey_levels else "mass"

    def forward(self, z: Tensor) -> dist.Distribution:
        family = GreyBernoulli if self.support == "unit" else dist.Bernoulli
        return family(logits=self.decoder(z)).to_event(3)


class ContinuousBernoulli(Likelihood):
    r"""Continuous Bernoulli, :math:`p(x|z) \propto \prod_i \lambda_i^{x_i} (1-\lambda_i)^{1-x_i}`.

    The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019), section 3.

    A density on [0, 1]: what the Bernoulli at grey levels is not. The decoder's outputs are the
    logits of :math:`\lambda`.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__(decoder)

    def forward(self, z: Tensor) -> dist.Distribution:
        return distributions.ContinuousBernoulli(self.decoder(z)).to_event(3)


class _LocationScale(Likelihood):
    """A distribution that is shifted and scaled: what `Normal` and its like share."""

    def __init__(
        self,
        decoder: nn.Module,
        scale: float = 1.0,
        learned: bool | Literal["channel", "value"] = False,
        sigmoid: bool = True,
        standardised: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(decoder, outputs=2 if learned == "value" else 1)
        if learned not in (False, True, "channel", "value"):
            raise ValueError(f"learned must be a bool, 'channel' or 'value', got {learned!r}.")
        self.learned, self.sigmoid = learned, sigmoid
        self.standardised = standardisation(*standardised)
        if sigmoid and self.standardised != (0, 1):
            raise ValueError(
                f"{type(self).__name__}: a sigmoid ends in [0, 1] whatever the images are: with "
                "standardised, give sigmoid=False (or standardised=(0, 1))."
            )
        try:
            log_scale = log_scale_of(scale)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        if learned == "channel":
            log_scale = log_scale.repeat(_channels(decoder), 1, 1)
        if learned in (True, "channel"):
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """The scale, shape () or (C, 1, 1); one learned per value: where it starts from."""
        return scale_of(self.log_scale)

    def family(self, loc: Tensor, scale: Tensor) -> dist.Distribution:
        """The distribution of single values."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> dist.Distribution:
        loc, *log_ratio = self.decoded(z)
        scale = scale_of(self.log_scale + log_ratio[0]) if log_ratio else self.scale
        mean, deviation = self.standardised
        loc = loc.sigmoid() if self.sigmoid else mean + deviation * loc
        return self.family(loc, scale).to_event(3)


def _channels(decoder: nn.Module) -> int:
    """The channels C that a decoder says it returns."""
    shape = getattr(decoder, "image_shape", None)
    if shape is None:
        raise TypeError(
            f"The decoder {type(decoder).__name__} does not say how many channels it returns: "
            "give it an attribute `image_shape`, (C, H, W)."
        )
    return shape[0]


class Normal(_LocationScale):
    r"""Normal, :math:`p(x|z) = \mathcal N(x; \hat x(z), \sigma^2 I)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix C.2.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the standard deviation sigma, in units of [0, 1] images; where it is learned, the
            value it starts from.
        learned: learn sigma: one (True), one for each "channel" (the decoder must say its
            `image_shape`), or one for each "value", by a second output of the decoder.
        sigmoid: close the mean with a sigmoid, which keeps it in [0, 1].
        standardised: (m, s), without a sigmoid: the decoder's output is the mean of the images
            (x - m)/s, that of x is m + s times it.

    Raises:
        ValueError: the scale is not above 0.0001, s not above 0, or a sigmoid is to end in
            standardised images.
    """

    def family(self, loc: Tensor, scale: Tensor) -> dist.Distribution:
        return dist.Normal(loc, scale)


class Laplace(_LocationScale):
    r"""Laplace, :math:`p(x|z) = \prod_i \frac{1}{2 b} \exp(-|x_i - \hat x_i(z)| / b)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the scale b, in units of [0, 1] images; where it is learned, the value it starts
            from.
        learned: learn b: one (True), one for each "channel" (the decoder must say its
            `image_shape`), or one for each "value", by a second output of the decoder.
        sigmoid: close the mean with a sigmoid, which keeps it in [0, 1].
        standardised: (m, s), without a sigmoid: the decoder's output is the mean of the images
            (x - m)/s, that of x is m + s times it.

    Raises:
        ValueError: the scale is not above 0.0001, s not above 0, or a sigmoid is to end in
            standardised images.
    """

    def family(self, loc: Tensor, scale: Tensor) -> dist.Distribution:
        return dist.Laplace(loc, scale)


class StudentT(_LocationScale):
    r"""Student-t, :math:`p(x|z) \propto \prod_i (\nu + (x_i - \hat x_i(z))^2/s^2)^{-(\nu+1)/2}`.

    Student-t Variational Autoencoder for Robust Density Estimation (Takahashi et al., 2018).

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        degrees: the degrees of freedom nu > 1; few of them bear outliers.
        scale: the scale s, in units of [0, 1] images; where it is learned, the value it starts
            from.
        learned: learn s: one (True), one for each "channel" (the decoder must say its
            `image_shape`), or one for each "value", by a second output of the decoder.
        sigmoid: close the mean with a sigmoid, which keeps it in [0, 1].
        standardised: (m, s), without a sigmoid: the decoder's output is the mean of the images
            (x - m)/s, that of x is m + s times it.

    Raises:
        ValueError: the scale is not above 0.0001, s not above 0, a sigmoid is to end in
            standardised images, or there is no mean (degrees <= 1).
    """

    def __init__(
        self,
        decoder: nn.Module,
        degrees: float = 5.0,
        scale: float = 1.0,
        learned: bool | Literal["channel", "value"] = False,
        sigmoid: bool = True,
        standardised: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(decoder, scale, learned, sigmoid, standardised)
        if degrees <= 1:
            raise ValueError(f"StudentT: degrees must exceed 1, got {degrees}.")
        self.degrees = degrees

    def family(self, loc: Tensor, scale: Tensor) -> dist.Distribution:
        return dist.StudentT(self.degrees, loc, scale)


class DiscretizedLogistic(_LocationScale):
    r"""Discretised logistic, :math:`P(x|z) = \prod_i [F_i(x_i + \delta) - F_i(x_i - \delta)]`.

    Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016).

    The mass of 256 levels, :math:`F_i(x) = \sigma((x - \mu_i(z)) / s)` and :math:`\delta = 1/510`;
    the levels 0 and 255 absorb the tails.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the scale s, in units of [0, 1] images; where it is learned, the value it starts
            from.
        learned: learn s: one (True), one for each "channel" (the decoder must say its
            `image_shape`), or one for each "value", by a second output of the decoder.
        sigmoid: close the location mu with a sigmoid, which keeps it in [0, 1].

    Raises:
        ValueError: the scale is not above 0.0001.
    """

    support = "levels"
    measure = "mass"

    def __init__(
        self,
        decoder: nn.Module,
        scale: float = 0.1,
        learned: bool | Literal["channel", "value"] = "value",
        sigmoid: bool = True,
    ) -> None:
        super().__init__(decoder, scale, learned, sigmoid)

    def family(self, loc: Tensor, scale: Tensor) -> dist.Distribution:
        return distributions.DiscretizedLogistic(loc, scale)


class DiscretizedLogisticMixture(Likelihood):
    r"""Mixture of discretised logistics, :math:`P(x|z) = \prod_i \sum_k w_{ik} P_{ik}(x_i)`.

    PixelCNN++ (Salimans et al., 2017), section 2.1.

    The mass of 256 levels, as in `DiscretizedLogistic`; the channels are independent given z. The
    locations start evenly spread over [0, 1].

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        components: the number K of logistics for each value.
    """

    support = "levels"
    measure = "mass"

    def __init__(self, decoder: nn.Module, components: int = 10) -> None:
        if components < 1:
            raise ValueError(
                f"DiscretizedLogisticMixture: components must be positive, got {components}."
            )
        super().__init__(decoder, outputs=3 * components)
        self.components = components
        start = (torch.arange(components) + 0.5) / components
        self.register_buffer("start", start, persistent=False)

    def forward(self, z: Tensor) -> dist.Distribution:
        logits, loc, log_scale = self.decoded(z).movedim(0, -1).chunk(3, -1)
        scale = scale_of(log_scale - math.log(self.components))
        each = distributions.DiscretizedLogistic(self.start + loc, scale)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), each).to_event(3)


class Categorical(Likelihood):
    r"""Categorical over 256 levels, :math:`P(x|z) = \prod_i \mathrm{softmax}(l_i(z))_{255 x_i}`.

    Pixel Recurrent Neural Networks (van den Oord et al., 2016), section 2.2.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
    """

    support = "levels"
    measure = "mass"

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__(decoder, outputs=LEVELS)

    def forward(self, z: Tensor) -> dist.Distribution:
        logits = self.decoded(z).movedim(0, -1)
        return distributions.LevelCategorical(logits=logits).to_event(3)
