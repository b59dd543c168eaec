"""Distributions of pixels: of gray values in [0, 1], or of one of 256 levels."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.nn import functional as F

from pyro_vae.distributions.base import Parametric, Shape, require_tensors, unfit

constraints = dist.constraints

LEVELS = 256


class _Levels(Constraint):
    """The gray values k/255, k = 0, ..., 255."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        level = value * (LEVELS - 1)
        near = (level - level.round()).abs() < 1e-3
        return near & (value >= 0) & (value <= 1)


levels = _Levels()


class GrayBernoulli(dist.Bernoulli):
    """A Bernoulli that also scores gray levels between 0 and 1, by the cross-entropy.

    The numbers are those of Pyro's class, bit for bit. Without gradients they take fewer steps, and
    an image that many latent vectors are scored for is not repeated.

    Example:
        >>> GrayBernoulli(logits=torch.zeros(1)).log_prob(torch.tensor([0.5]))
        tensor([-0.6931])
    """

    support = constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        if self.logits.requires_grad or value.requires_grad:
            return super().log_prob(value)
        if self._validate_args:
            self._validate_sample(value)
        return F.logsigmoid(self.logits) - (1 - value) * self.logits


class Normal(dist.Normal):
    """A Normal that scores fast where one scale, without gradient, is that of every value.

    The numbers are those of Pyro's class, bit for bit; the logarithm of the scale is taken once,
    and not again for each value.

    Example:
        >>> Normal(torch.zeros(2), torch.ones(())).log_prob(torch.tensor([0.0, 1.0]))
        tensor([-0.9189, -1.4189])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self.scale.requires_grad or any(self.scale.stride()) or not self.scale.numel():
            return super().log_prob(value)
        if self._validate_args:
            self._validate_sample(value)
        scale = self.scale.as_strided((), ())
        off = value - self.loc
        square = off**2 if off.requires_grad else off.square_()
        scaled = square.div_(-2 * scale**2)
        return scaled.sub_(scale.log()).sub_(math.log(math.sqrt(2 * math.pi)))


class ContinuousBernoulli(Parametric):
    r"""The density on [0, 1] proportional to :math:`\lambda^x (1 - \lambda)^{1 - x}`.

    With the logit :math:`l` of :math:`\lambda`, its normalizer is :math:`l / \tanh(l / 2)`, which
    is stable except near 0, where a series replaces it. (torch's class clamps the probabilities,
    and is not normalized for logits beyond 16.)

    Args:
        logits: the logit l, any shape.

    Example:
        >>> ContinuousBernoulli(torch.tensor([0.0, 2.0])).mean
        tensor([0.5000, 0.6565])
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        require_tensors(self, logits=logits)
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cross_entropy = F.softplus(self.logits) - value * self.logits
        return math.log(2) + _log_of_ratio_to_tanh(self.logits / 2) - cross_entropy

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Draw by inverting the distribution function, which is stable for negative logits."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            u, negative = torch.rand_like(logits), -logits.abs().clamp(min=1e-6)
            x = ((u * negative.expm1()).log1p() / negative).clamp(0, 1)
            return torch.where(logits > 0, 1 - x, x)

    @property
    def mean(self) -> Tensor:
        """The mean, (1 + coth(l / 2) - 2 / l) / 2."""
        half = self.logits / 2
        small = half.abs() < 0.3
        safe = torch.where(small, torch.ones_like(half), half)
        square = torch.where(small, half, torch.zeros_like(half)) ** 2
        series = half * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
        return (1 + torch.where(small, series, 1 / safe.tanh() - 1 / safe)) / 2


def _log_of_ratio_to_tanh(a: Tensor) -> Tensor:
    """Return log(a / tanh a), near 0 by its series."""
    small = a.abs() < 0.1
    safe = torch.where(small, torch.ones_like(a), a.abs())
    square = torch.where(small, a, torch.zeros_like(a)) ** 2
    series = square * (1 / 3 - square * (7 / 90 - square * 62 / 2835))
    return torch.where(small, series, (safe / safe.tanh()).log())


class DiscretizedLogistic(Parametric):
    r"""A logistic distribution rounded to the values k/255; the values 0 and 1 absorb the tails.

    .. math:: P(k) = \sigma(a) - \sigma(b), \qquad
        a, b = \frac{k/255 \pm 1/510 - \mu}{s},

    computed as :math:`\sigma(a) \, \sigma(-b) \, (1 - e^{b - a})`, which avoids cancellation.

    Args:
        loc: the location mu, any shape, in units of [0, 1] images.
        scale: the scale s, positive, in the same units.

    Example:
        >>> p = DiscretizedLogistic(torch.tensor(0.5), torch.tensor(0.1))
        >>> f"{p.log_prob(torch.arange(256) / 255).exp().sum():.4f}"
        '1.0000'
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = levels

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        require_tensors(self, loc=loc, scale=scale)
        try:
            self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        except RuntimeError:
            raise unfit(self, loc=loc, scale=scale) from None
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

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        with torch.no_grad():
            noise = torch.rand(
                self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device
            ).logit(eps=1e-7)
            x = (self.loc + self.scale * noise).clamp(0, 1)
            return (x * (LEVELS - 1)).round() / (LEVELS - 1)

    @property
    def mean(self) -> Tensor:
        """The mean, up to 1/510: that of the values clamped to [0, 1], before rounding."""
        rise = F.softplus(self.loc / self.scale) - F.softplus((self.loc - 1) / self.scale)
        return self.scale * rise


class LevelCategorical(dist.Categorical):
    """A categorical distribution over the values k/255, with logits (..., 256).

    Example:
        >>> p = LevelCategorical(logits=torch.zeros(3, 256))
        >>> p.log_prob(torch.tensor([0.0, 0.2, 1.0])).exp() * 256
        tensor([1., 1., 1.])
    """

    support = levels
    has_enumerate_support = False

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        level = (value * (LEVELS - 1)).round().long()
        level, logits = torch.broadcast_tensors(level.unsqueeze(-1), self.logits)
        return logits.gather(-1, level[..., :1]).squeeze(-1)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        level = super().sample(sample_shape)
        return level.to(self.logits.dtype) / (LEVELS - 1)

    @property
    def mean(self) -> Tensor:
        """The expected gray value, in [0, 1]."""
        probs = self.probs
        return probs @ torch.linspace(0, 1, LEVELS, dtype=probs.dtype, device=probs.device)
