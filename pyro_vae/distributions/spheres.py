"""Distributions of directions: uniform on a sphere, and concentrated around a direction."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import register_kl
from torch.distributions.constraints import Constraint
from torch.nn import functional as F

from pyro_vae.distributions.base import Parametric, Shape, precise, require_tensors, unfit
from pyro_vae.errors import ArgumentError

constraints = dist.constraints


class HypersphereUniform(dist.TorchDistribution):
    """The uniform distribution on the surface of the unit sphere S^(D-1) in D coordinates.

    Args:
        like: a vector (D,), D > 1, whose precision and device the draws have.
        batch_shape: the batch shape.

    Example:
        >>> p = HypersphereUniform(torch.zeros(3))
        >>> p.sample((5,)).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    arg_constraints: dict[str, Constraint] = {}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, like: Tensor, batch_shape: Shape = torch.Size()) -> None:
        require_tensors(self, like=like)
        if like.ndim != 1 or len(like) < 2:
            raise ArgumentError(
                "HypersphereUniform: like must be a vector (D,) with D > 1, got the shape "
                f"{tuple(like.shape)}."
            )
        self.like = like
        super().__init__(torch.Size(batch_shape), like.shape)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "HypersphereUniform":
        return HypersphereUniform(self.like, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        return _on_sphere(self.like, self._extended_shape(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The origin, which is not on the sphere."""
        return torch.zeros_like(self.like).expand(self.batch_shape + self.event_shape)


def log_area(dimension: int) -> float:
    """Return the logarithm of the area of the unit sphere in `dimension` coordinates.

    Example:
        >>> f"{math.exp(log_area(3)):.3f}"  # 4 pi
        '12.566'
    """
    return math.log(2) + dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2)


def _on_sphere(like: Tensor, shape: torch.Size) -> Tensor:
    return F.normalize(torch.randn(shape, dtype=like.dtype, device=like.device), dim=-1)


class PowerSpherical(Parametric):
    r"""The power spherical distribution on S^(D-1), exactly reparameterized for every D > 1.

    .. math:: p(x; \mu, \kappa) \propto (1 + \mu^T x)^\kappa

    The Power Spherical distribution (De Cao and Aziz, 2020). A draw combines a Beta variable along
    mu with a uniform direction orthogonal to it. Logarithms are those of (1 + mu^T x) / 2, which
    avoids the cancellation of large numbers at high concentrations.

    Args:
        loc: the mean direction mu, unit vectors (..., D).
        concentration: kappa > 0, shape (...).

    Example:
        >>> q = PowerSpherical(torch.eye(3), torch.tensor([1.0, 10.0, 100.0]))
        >>> q.rsample((5,)).shape, q.entropy().argmax()
        (torch.Size([5, 3, 3]), tensor(0))
    """

    arg_constraints = {"loc": constraints.sphere, "concentration": constraints.positive}
    support = constraints.sphere
    has_rsample = True

    def __init__(
        self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        require_tensors(self, loc=loc, concentration=concentration)
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        except RuntimeError:
            raise unfit(self, loc=loc, concentration=concentration) from None
        if loc.ndim < 1 or loc.shape[-1] < 2:
            raise ArgumentError(
                "PowerSpherical: loc must be vectors (..., D) with D > 1, got the shape "
                f"{tuple(loc.shape)}."
            )
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean direction, (..., D), which lies on the sphere, as that of torch's `VonMises`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate around its expectation in R^D, (..., D)."""
        along, across = self._moments()
        return across[..., None] + (along - across)[..., None] * self.loc**2

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Return the variances along and across the mean direction, each of shape (...)."""
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
        return self.concentration * near.log() - self._log_normalizer().to(near)

    def _log_normalizer(self) -> Tensor:
        alpha, beta = self._beta
        alpha = precise(alpha)
        ratio = alpha.lgamma() - (alpha + beta).lgamma()
        return ratio + beta * math.log(4 * math.pi)

    def entropy(self) -> Tensor:
        alpha, beta = self._beta
        alpha = precise(alpha)
        expected = alpha.digamma() - (alpha + beta).digamma()
        entropy = self._log_normalizer() - precise(self.concentration) * expected
        return entropy.to(self.loc)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        alpha, beta = self._beta
        # A Dirichlet draw gives both z and 1 - z of the Beta variable, so that neither loses digits
        # near 0. In single precision, torch's gradient is a third too small at alpha = 1e5.
        both = precise(torch.stack([alpha, torch.full_like(alpha, beta)], -1))
        both = dist.Dirichlet(both, validate_args=False).rsample(sample_shape).to(alpha)
        near, far = both.clamp(min=torch.finfo(both.dtype).tiny).split(1, dim=-1)
        across = _on_sphere(self.loc, shape[:-1] + (shape[-1] - 1,))
        pole = torch.cat([near - far, 2 * near.sqrt() * far.sqrt() * across], -1)
        return F.normalize(self._turned(pole), dim=-1)

    def _turned(self, x: Tensor) -> Tensor:
        """Map vectors so that the first axis goes to the mean direction.

        The map is a reflection. Where mu is near the axis, it goes to -mu and back, so that its
        plane is never nearly degenerate.
        """
        first = torch.zeros_like(self.loc)
        first[..., 0] = torch.where(self.loc[..., 0] >= 0, 1.0, -1.0)
        normal = F.normalize(self.loc + first, dim=-1)
        reflected = x - 2 * (x * normal).sum(-1, keepdim=True) * normal
        return -first[..., :1] * reflected


@register_kl(PowerSpherical, HypersphereUniform)
def _kl_power_spherical_uniform(q: PowerSpherical, p: HypersphereUniform) -> Tensor:
    return log_area(p.event_shape[0]) - q.entropy()
