r"""The distributions that Pyro does not have, as Pyro distributions.

Pixels: `GreyBernoulli`, `ContinuousBernoulli`, `DiscretizedLogistic`, `LevelCategorical`. Latent
vectors: `HypersphereUniform`, `PowerSpherical`, `StraightThroughBernoulli`, `Mixture`, `Flow`,
`Planar` transforms, `FlatDistribution`. Divergences in closed form are registered with torch's
`kl_divergence`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pyro.distributions as dist
import torch
from pyro.contrib.zuko import ZukoToPyro
from torch import Tensor
from torch.distributions import Distribution, Transform, register_kl
from torch.distributions.constraints import Constraint
from torch.nn import functional as F

constraints = dist.constraints


@contextmanager
def _unchanged(owner: type, *names: str) -> Iterator[None]:
    """Class attributes are afterwards what they were before."""
    before = {name: vars(owner)[name] for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


# Importing Zuko switches the validation of every distribution in the process off.
with _unchanged(Distribution, "_validate_args", "arg_constraints"):
    import zuko

LEVELS = 256
#: Numbers that a mixture draws at once: some draws of all its components.
MOST_DRAWN = 2**24


def has_density(distribution: dist.Distribution) -> bool:
    """Whether a distribution has a density or a mass: a Delta and an improper one have none."""
    return not isinstance(
        getattr(distribution, "base_dist", distribution), dist.Delta | dist.ImproperUniform
    )


class _Levels(Constraint):
    """Grey values k/255, k = 0, ..., 255."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        level = value * (LEVELS - 1)
        near = (level - level.round()).abs() < 1e-3
        return near & (value >= 0) & (value <= 1)


levels = _Levels()


class _Parametric(dist.TorchDistribution):
    """A distribution whose parameters are the tensors that `arg_constraints` names."""

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "_Parametric":
        own = {name: getattr(self, name) for name in self.arg_constraints}
        rank = len(self.batch_shape)
        wide = {k: v.expand(torch.Size(batch_shape) + v.shape[rank:]) for k, v in own.items()}
        return type(self)(**wide, validate_args=self._validate_args)


# ---------------------------------------------------------------------------------------- pixels


class GreyBernoulli(dist.Bernoulli):
    """A Bernoulli whose log-probability is also taken at grey levels between 0 and 1."""

    support = constraints.unit_interval


class ContinuousBernoulli(_Parametric):
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


class DiscretizedLogistic(_Parametric):
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


# ------------------------------------------------------------------------------- latent vectors


class FlatDistribution(dist.ImproperUniform):
    """Log-density 0 on all of R^D; nothing can be drawn from it."""

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        raise NotImplementedError(
            "A plain autoencoder has no prior to sample from: its prior is flat. "
            "Train it with a proper prior, such as priors.StandardNormal, to draw new images."
        )


class StraightThroughBernoulli(dist.Bernoulli):
    r"""A Bernoulli whose draws are 0 or 1, but pass gradients on as if they were the probability.

    Its log-probabilities are the Bernoulli's. The gradient of a draw is a device for training,
    not a derivative: a rate must be taken in closed form, as `analytic_kl_only` says.
    """

    has_rsample = True
    analytic_kl_only = True

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        # The bracket is exactly 0, so that the draws are exactly 0 or 1.
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class HypersphereUniform(dist.TorchDistribution):
    """Uniform on the unit sphere S^(D-1) in D coordinates, with respect to its surface.

    Args:
        like: a vector (D,), D > 1, whose type and device the draws have.
    """

    arg_constraints = {}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, like: Tensor, batch_shape: torch.Size = torch.Size()) -> None:
        self.like = like
        super().__init__(torch.Size(batch_shape), like.shape)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "HypersphereUniform":
        return HypersphereUniform(self.like, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return _on_sphere(self.like, self._extended_shape(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The origin, which is not on the sphere."""
        return torch.zeros_like(self.like).expand(self.batch_shape + self.event_shape)


def log_area(dimension: int) -> float:
    """The logarithm of the area of the unit sphere in `dimension` coordinates."""
    return math.log(2) + dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2)


def _on_sphere(like: Tensor, shape: torch.Size) -> Tensor:
    return F.normalize(torch.randn(shape, dtype=like.dtype, device=like.device), dim=-1)


class PowerSpherical(_Parametric):
    r"""The power spherical distribution on S^(D-1), exactly reparameterised for every D > 1.

    .. math:: p(x; \mu, \kappa) \propto (1 + \mu^T x)^\kappa

    The Power Spherical distribution (De Cao and Aziz, 2020). Draws combine a Beta
    variable, along mu, with a uniform direction across it. Logarithms are taken of
    (1 + mu^T x) / 2, so that nothing large cancels at high concentrations.

    Args:
        loc: the mean direction mu, unit vectors (..., D).
        concentration: kappa > 0, shape (...).
    """

    arg_constraints = {"loc": constraints.sphere, "concentration": constraints.positive}
    support = constraints.sphere
    has_rsample = True

    def __init__(
        self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean direction, which (like torch's VonMises) lies on the sphere."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, around the expectation in R^D."""
        along, across = self._moments()
        return across[..., None] + (along - across)[..., None] * self.loc**2

    def _moments(self) -> tuple[Tensor, Tensor]:
        """The variances along and across the mean direction, shape (...) each."""
        alpha, beta = self._beta
        total = alpha + beta
        along = 4 * alpha * beta / (total**2 * (total + 1))
        square = along + ((alpha - beta) / total) ** 2
        return along, (1 - square) / (2 * beta)

    @property
    def _beta(self) -> tuple[Tensor, float]:
        """The parameters of the Beta distribution of (1 + mu^T x) / 2."""
        beta = (self.event_shape[0] - 1) / 2
        return self.concentration + beta, beta

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        tiny = torch.finfo(value.dtype).eps
        near = ((1 + (self.loc * value).sum(-1)) / 2).clamp(min=tiny, max=1)
        return self.concentration * near.log() - self._log_normalizer().to(value.dtype)

    def _log_normalizer(self) -> Tensor:
        alpha, beta = self._beta
        alpha = _precise(alpha)
        ratio = alpha.lgamma() - (alpha + beta).lgamma()
        return ratio + beta * math.log(4 * math.pi)

    def entropy(self) -> Tensor:
        alpha, beta = self._beta
        alpha = _precise(alpha)
        expected = alpha.digamma() - (alpha + beta).digamma()
        entropy = self._log_normalizer() - self.concentration * expected
        return entropy.to(self.loc.dtype)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        alpha, beta = self._beta
        # Both parts of the Beta variable, z and 1 - z: neither loses its digits near 0. In single
        # precision torch's gradient with respect to alpha is a third too small at alpha = 1e5.
        both = _precise(torch.stack([alpha, torch.full_like(alpha, beta)], -1))
        both = dist.Dirichlet(both, validate_args=False).rsample(sample_shape).to(alpha.dtype)
        near, far = both.clamp(min=torch.finfo(both.dtype).tiny).split(1, dim=-1)
        across = _on_sphere(self.loc, shape[:-1] + (shape[-1] - 1,))
        pole = torch.cat([near - far, 2 * near.sqrt() * far.sqrt() * across], -1)
        return F.normalize(self._turned(pole), dim=-1)

    def _turned(self, x: Tensor) -> Tensor:
        """Turn the first axis to the mean direction, by a reflection.

        In a plane that is never near degenerate: to -mu and back where mu is on the axis's side.
        """
        first = torch.zeros_like(self.loc)
        first[..., 0] = torch.where(self.loc[..., 0] >= 0, 1.0, -1.0)
        normal = F.normalize(self.loc + first, dim=-1)
        reflected = x - 2 * (x * normal).sum(-1, keepdim=True) * normal
        return -first[..., :1] * reflected


def _precise(x: Tensor) -> Tensor:
    """Double precision, for differences of large numbers, where the device has it."""
    return x if x.device.type == "mps" else x.double()


@register_kl(PowerSpherical, HypersphereUniform)
def _kl_power_spherical_uniform(q: PowerSpherical, p: HypersphereUniform) -> Tensor:
    return log_area(p.event_shape[0]) - q.entropy()


@register_kl(dist.MultivariateNormal, dist.Independent)
def _kl_full_diagonal(q: dist.MultivariateNormal, p: dist.Independent) -> Tensor:
    """Between a full-covariance and a diagonal Normal."""
    diagonal = p.base_dist
    if not isinstance(diagonal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    log_ratio = diagonal.scale.log() - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()
    square = q.scale_tril.square().sum(-1) + (q.loc - diagonal.loc).square()
    return (log_ratio + (square / diagonal.variance - 1) / 2).sum(-1)


class Mixture(dist.TorchDistribution):
    r"""A mixture of any K distributions of a family, :math:`\sum_k w_k \, p_k(x)`.

    Unlike `MixtureSameFamily` it asks nothing of its components but `log_prob` and `sample`, and
    keeps them as they are when expanded.

    Args:
        logits: unnormalised log-weights, (K,).
        components: a distribution of batch shape (K,).
    """

    arg_constraints = {}

    def __init__(
        self,
        logits: Tensor,
        components: dist.Distribution,
        batch_shape: torch.Size = torch.Size(),
    ) -> None:
        self.logits, self.components = logits.log_softmax(-1), components
        super().__init__(torch.Size(batch_shape), components.event_shape, validate_args=False)

    @property
    def support(self) -> Constraint:
        """The components' support."""
        return self.components.support

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "Mixture":
        return Mixture(self.logits, self.components, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.components.log_prob(value.unsqueeze(-1 - self.event_dim))
        total = (self.logits + each).logsumexp(-1)
        return total.expand(torch.broadcast_shapes(total.shape, self.batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        at_once = max(1, MOST_DRAWN // (len(self.logits) * self.event_shape.numel()))
        with torch.no_grad():
            counts = [min(at_once, shape.numel() - i) for i in range(0, shape.numel(), at_once)]
            draws = torch.cat([self._draw(count) for count in counts])
        return draws.reshape(shape + self.event_shape)

    def _draw(self, count: int) -> Tensor:
        """Draws, one after another: of every component, and one of these chosen."""
        draws = self.components.sample((count,))
        chosen = dist.Categorical(logits=self.logits).sample((count,))
        return draws[torch.arange(count, device=draws.device), chosen]

    @property
    def mean(self) -> Tensor:
        mean = torch.tensordot(self.logits.exp(), self.components.mean, 1)
        return mean.expand(self.batch_shape + self.event_shape)


class Flow(ZukoToPyro):
    """A base distribution pushed through Zuko's transforms.

    A draw's log-density comes with it: that of the last draw is kept. Unlike `ZukoToPyro` it has
    `rsample` and `sample`.

    Args:
        transform: from the latent vectors (..., D) to the base distribution's; draws invert it.
        base: event shape (D,).
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(self, transform: Transform, base: dist.Distribution) -> None:
        super().__init__(_NormalizingFlow(transform, base))
        self.drawn: tuple[Tensor | None, Tensor | None] = (None, None)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "Flow":
        return Flow(self.dist.transform, self.dist.base.expand(batch_shape))

    def __call__(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return self.rsample(sample_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        self.drawn = self.dist.rsample_and_log_prob(torch.Size(sample_shape))
        return self.drawn[0]

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        x, log_prob = self.drawn
        # What was drawn without gradients is scored anew where gradients are wanted.
        if value is x and (log_prob.requires_grad or not torch.is_grad_enabled()):
            return log_prob
        return self.dist.log_prob(value)


class Planar(Transform):
    r"""T planar transforms in turn, each :math:`f(z) = z + \hat u \tanh(w^T z + b)`.

    Variational Inference with Normalizing Flows (Rezende and Mohamed, 2015), equation 10 and
    appendix A.1, which makes each invertible. Its inverse is found along w by bisection.

    Args:
        u: (..., T, D); the batch shape is that of the vectors transformed.
        w: (..., T, D).
        b: (..., T).
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        product, square = (w * u).sum(-1, keepdim=True), w.square().sum(-1, keepdim=True)
        along = (F.softplus(product) - 1 - product) / square.clamp(min=1e-12)
        # The new u's product with w, -1 at least: rounding could take the sum over D below that.
        stretch = (product + along * square).clamp(min=1e-6 - 1)
        parts = (u + along * w, w, b[..., None], stretch)
        self.steps = list(zip(*(part.unbind(-2) for part in parts), strict=True))

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), (..., D), and the log-determinant of its Jacobian, (...)."""
        total = torch.zeros_like(x[..., 0])
        for u, w, b, stretch in self.steps:
            bent = torch.tanh((x * w).sum(-1, keepdim=True) + b)
            total = total + torch.log1p((1 - bent.square()) * stretch)[..., 0]
            x = x + bent * u
        return x, total

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def _inverse(self, y: Tensor) -> Tensor:
        for u, w, b, stretch in reversed(self.steps):
            along = _solve((y * w).sum(-1, keepdim=True), stretch, b)
            y = y - torch.tanh(along + b) * u
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Of f at x, (...)."""
        return self.call_and_ladj(x)[1]


def _solve(c: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """The a at which a + k tanh(a + b) = c, for k > -1: bisection, and a step of Newton's.

    The last step brings the gradient, and the precision that bisection lacks.
    """
    with torch.no_grad():
        low, high = c - k.abs(), c + k.abs()
        for _ in range(30):
            middle = (low + high) / 2
            above = middle + k * torch.tanh(middle + b) > c
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        a = (low + high) / 2
    bent = torch.tanh(a + b)
    return a - (a + k * bent - c) / (1 + k * (1 - bent.square()))


class _NormalizingFlow(zuko.distributions.NormalizingFlow):
    """Zuko's, without its reliance on torch's base class being changed."""

    arg_constraints = {}
