"""Of pixels: grey values in [0, 1], or one of 256 levels."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.nn import functional as F

from pyro_vae.distributions.base import Parametric

constraints = dist.constraints

LEVELS = 256


class _Levels(Constraint):
    """Grey values k/255, k = 0, ..., 255."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        level = value * (LEVELS - 1)
        near = (level - level.round()).abs() < 1e-3
        return near & (value >= 0) & (value <= 1)


levels = _Levels()


class GreyBernoulli(dist.Bernoulli):
    """A Bernoulli whose log-probability is also taken at grey levels between 0 and 1."""

    support = constraints.unit_interval


class ContinuousBernoulli(Parametric):
    r"""The density on [0, 1] proportional to :math:`\lambda^x (1 - \lambda)^{1 - x}`.

    With the logit :math:`l` of :math:`\lambda` its normaliser is :math:`l / \tanh(l / 2)`, stable
    for every l but 0, where a series takes over. (torch's own clamps the probabilities, and is no
    longer normalised beyond logits of 16.)

    Args:
        logits: the logit l, any shape.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cross_entropy = F.softplus(self.logits) - value * self.logits
        return math.log(2) + _log_of_ratio_to_tanh(self.logits / 2) - cross_entropy

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """By inverting the distribution function of the half with negative logits."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            u, negative = torch.rand_like(logits), -logits.abs().clamp(min=1e-6)
            x = ((u * negative.expm1()).log1p() / negative).clamp(0, 1)
            return torch.where(logits > 0, 1 - x, x)

    @property
    def mean(self) -> Tensor:
        """E x = (1 + coth(l / 2) - 2 / l) / 2."""
        half = self.logits / 2
        small = half.abs() < 0.3
        safe = torch.where(small, torch.ones_like(half), half)
        square = torch.where(small, half, torch.zeros_like(half)) ** 2
        series = half * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
        return (1 + torch.where(small, series, 1 / safe.tanh() - 1 / safe)) / 2


def _log_of_ratio_to_tanh(a: Tensor) -> Tensor:
    """log(a / tanh a), also near 0."""
    small = a.abs() < 0.1
    safe = torch.where(small, torch.ones_like(a), a.abs())
    square = torch.where(small, a, torch.zeros_like(a)) ** 2
    series = square * (1 / 3 - square * (7 / 90 - square * 62 / 2835))
    return torch.where(small, series, (safe / safe.tanh()).log())


class DiscretizedLogistic(Parametric):
    r"""A logistic distribution rounded to the values k/255; the end values absorb the tails.

    .. math:: P(k) = \sigma(a) - \sigma(b), \qquad
        a, b = \frac{k/255 \pm 1/510 - \mu}{s},

    computed as :math:`\sigma(a) \, \sigma(-b) \, (1 - e^{b - a})`, which never cancels.

    Args:
        loc: the location mu, any shape, in units of [0, 1] images.
        scale: the scale s, positive, in the same units.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = levels

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        half = 0.5 / (LEVELS - 1)
        below = F.logsigmoid((value + half - self.loc) / self.scale)
        above = F.logsigmoid((self.loc - value + half) / self.scale)
        width = torch.log(-torch.expm1(-2 * half / self.scale))
        inside = torch.where(value > 1 - half, above, below + above + width)
        return torch.where(value < half, below, inside)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        with torch.no_grad():
            noise = torch.rand(
                self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device
            ).logit(eps=1e-7)
            x = (self.loc + self.scale * noise).clamp(0, 1)
            return (x * (LEVELS - 1)).round() / (LEVELS - 1)

    @property
    def mean(self) -> Tensor:
        """The mean before rounding, of the tails cut at 0 and 1: right to half a level, 1/510."""
        rise = F.softplus(self.loc / self.scale) - F.softplus((self.loc - 1) / self.scale)
        return self.scale * rise


class LevelCategorical(dist.Categorical):
    """A categorical distribution over the values k/255; logits (..., 256)."""

    support = levels
    has_enumerate_support = False

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        level = (value * (LEVELS - 1)).round().long()
        level, logits = torch.broadcast_tensors(level.unsqueeze(-1), self.logits)
        return logits.gather(-1, level[..., :1]).squeeze(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        level = super().sample(sample_shape)
        return level.to(self.logits.dtype) / (LEVELS - 1)

    @property
    def mean(self) -> Tensor:
        """The expected grey value, in [0, 1]."""
        return self.probs @ torch.linspace(0, 1, LEVELS).to(self.probs)
