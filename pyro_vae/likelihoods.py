"""Likelihoods p(x|z): a decoder network, and the distribution that its output parameterises."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae.module import Module


class SupportError(ValueError):
    """Images lie outside a likelihood's support."""


class Likelihood(Module):
    """A distribution over images (C, H, W) for each latent vector.

    Args:
        decoder: a network, (..., D) -> (..., C, H, W), without a closing sigmoid.
    """

    #: What the values of an image may be: "binary", "unit" ([0, 1]) or "levels" (k/255).
    support: str = "unit"

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> dist.Distribution:
        """p(x|z) of latent vectors (..., D): batch shape (...), event shape (C, H, W)."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Refuse images outside the support.

        Raises:
            SupportError: naming the likelihood, what it needs and what came.
        """
        inside, needs, remedy = _SUPPORTS[self.support]
        if not bool(inside(x).all()):
            stray = x[~inside(x)][0].item()
            raise SupportError(
                f"{type(self).__name__} needs {needs}, but a value is {stray:.4g}. {remedy}"
            )


_SUPPORTS = {
    "binary": (
        lambda x: (x == 0) | (x == 1),
        "binary images (every value 0 or 1)",
        "Binarise the data, or choose a likelihood for grey levels; "
        "Bernoulli(grey_levels=True) takes them as the tutorials do.",
    ),
    "unit": (lambda x: (x >= 0) & (x <= 1), "values in [0, 1]", "Divide by the largest value."),
}


class Bernoulli(Likelihood):
    r"""Bernoulli, :math:`\log p(x|z) = \sum_i x_i \log \pi_i + (1 - x_i) \log (1 - \pi_i)`.

    The decoder's outputs are the logits of :math:`\pi`. Auto-Encoding Variational Bayes (Kingma
    and Welling, 2014), appendix C.1.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        grey_levels: accept any value in [0, 1], as many tutorials do. The sum above is then a
            cross-entropy and no normalised density.
    """

    def __init__(self, decoder: nn.Module, grey_levels: bool = False) -> None:
        super().__init__(decoder)
        self.support = "unit" if grey_levels else "binary"

    def forward(self, z: Tensor) -> dist.Distribution:
        family = GreyBernoulli if self.support == "unit" else dist.Bernoulli
        return family(logits=self.decoder(z)).to_event(3)


class GreyBernoulli(dist.Bernoulli):
    """A Bernoulli whose log-probability is also taken at grey levels between 0 and 1."""

    support = constraints.unit_interval


class Normal(Likelihood):
    r"""Normal, :math:`p(x|z) = \mathcal N(x; \hat x(z), \sigma^2 I)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix C.2.

    Args:
        decoder: network, (..., D) -> (..., C, H, W).
        scale: the standard deviation sigma, in units of [0, 1] images; where it is learned, the
            value it starts from.
        learned: learn one sigma, as a parameter.
        sigmoid: close the mean with a sigmoid, which keeps it in [0, 1].
    """

    SMALLEST_SCALE = 1e-4

    def __init__(
        self, decoder: nn.Module, scale: float = 1.0, learned: bool = False, sigmoid: bool = True
    ) -> None:
        super().__init__(decoder)
        self.sigmoid = sigmoid
        if scale <= self.SMALLEST_SCALE:
            raise ValueError(f"Normal: scale must exceed {self.SMALLEST_SCALE}, got {scale}.")
        log_scale = torch.tensor(math.log(scale - self.SMALLEST_SCALE))
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """The standard deviation, shape ()."""
        return self.SMALLEST_SCALE + self.log_scale.exp()

    def forward(self, z: Tensor) -> dist.Distribution:
        mean = self.decoder(z)
        mean = mean.sigmoid() if self.sigmoid else mean
        return dist.Normal(mean, self.scale).to_event(3)
