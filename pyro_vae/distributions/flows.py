"""Normalising flows: Zuko's as Pyro distributions, and planar transforms."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyro.distributions as dist
import torch
from pyro.contrib.zuko import ZukoToPyro
from torch import Tensor
from torch.distributions import Distribution, Transform
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
