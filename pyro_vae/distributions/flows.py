"""Normalizing flows: Zuko's, as Pyro distributions, and planar transforms."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro.distributions as dist
import torch
from pyro.contrib.zuko import ZukoToPyro
from torch import Tensor
from torch.distributions import Distribution, Transform
from torch.distributions.constraints import Constraint
from torch.nn import functional as F

from pyro_vae.distributions.base import Shape, require_tensors, unfit
from pyro_vae.errors import ArgumentTypeError

constraints = dist.constraints


@contextmanager
def _unchanged(owner: type, *names: str) -> Iterator[None]:
    """Restore a class's attributes at the end of a block."""
    before = {name: vars(owner)[name] for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


# Importing Zuko switches off the validation of every distribution in the process, and declares that
# the arguments of none are constrained. Its own classes rely on the second, and would warn without.
with _unchanged(Distribution, "_validate_args", "arg_constraints"):
    import zuko
_class: Any
for _class in filter(inspect.isclass, vars(zuko.distributions).values()):
    if _class.__module__ == zuko.distributions.__name__ and "arg_constraints" not in vars(_class):
        _class.arg_constraints = {}


class Flow(ZukoToPyro):
    """A base distribution pushed through Zuko's transforms.

    The log-density of a draw is computed along with it, and that of the last draw is kept. Unlike
    `ZukoToPyro`, the class has `rsample` and `sample`.

    Args:
        transform: the transform from latent vectors (..., D) to the base space; draws invert it.
        base: the base distribution, event shape (D,).

    Example:
        >>> from torch.distributions import transforms
        >>> base = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
        >>> flow = Flow(transforms.AffineTransform(1.0, 2.0, event_dim=1), base)
        >>> flow.log_prob(flow.rsample((3,))).shape
        torch.Size([3])
    """

    arg_constraints: dict[str, Constraint] = {}
    support = constraints.real_vector

    def __init__(self, transform: Transform, base: dist.TorchDistribution) -> None:
        for name, value, kind in (
            ("transform", transform, Transform),
            ("base", base, Distribution),
        ):
            if not isinstance(value, kind):
                raise ArgumentTypeError(
                    f"Flow: {name} must be a {kind.__name__}, got {type(value).__name__}."
                )
        self._flow = zuko.distributions.NormalizingFlow(transform, base)
        super().__init__(self._flow)
        self._last: tuple[Tensor, Tensor] | None = None

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Flow":
        """Return the flow of the expanded base distribution."""
        return Flow(self._flow.transform, self._flow.base.expand(batch_shape))

    def __call__(self, sample_shape: Shape = torch.Size()) -> Tensor:
        return self.rsample(sample_shape)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Draw latent vectors, ``(*sample_shape, *batch_shape, D)``, with gradients."""
        z, log_prob = self._flow.rsample_and_log_prob(torch.Size(sample_shape))
        self._last = z, log_prob
        return z

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Draw latent vectors, ``(*sample_shape, *batch_shape, D)``, without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density at latent vectors; that of the last draw is not computed again."""
        if self._last is not None and value is self._last[0]:
            log_prob = self._last[1]
            # A draw without gradients is scored again where gradients are wanted.
            if log_prob.requires_grad or not torch.is_grad_enabled():
                return log_prob
        return self._flow.log_prob(value)


class Planar(Transform):
    r"""T planar transforms in turn, each :math:`f(z) = z + \hat u \tanh(w^T z + b)`.

    Variational Inference with Normalizing Flows (Rezende and Mohamed, 2015), equation 10, and
    appendix A.1, by which each is invertible. The inverse is found along w by bisection.

    Args:
        u: (..., T, D); the batch shape is that of the vectors transformed.
        w: (..., T, D).
        b: (..., T).
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        require_tensors(self, u=u, w=w, b=b)
        if u.shape != w.shape or u.shape[:-1] != b.shape:
            raise unfit(self, u=u, w=w, b=b)
        product, square = (w * u).sum(-1, keepdim=True), w.square().sum(-1, keepdim=True)
        along = (F.softplus(product) - 1 - product) / square.clamp(min=1e-12)
        # The product of the new u with w is at least -1; rounding could take the sum below that.
        stretch = (product + along * square).clamp(min=1e-6 - 1)
        parts = (u + along * w, w, b[..., None], stretch)
        self.steps = list(zip(*(part.unbind(-2) for part in parts), strict=True))

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x), (..., D), and the logarithm of its Jacobian's determinant, (...)."""
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
        """Return the logarithm of the determinant of f's Jacobian at x, (...)."""
        return self.call_and_ladj(x)[1]


def _solve(c: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """Solve a + k tanh(a + b) = c for a, where k > -1, by bisection and one Newton step.

    The Newton step gives the gradient, and the precision that bisection lacks.
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
