"""Priors p(z): modules whose call returns a Pyro distribution, batch shape (), event shape (D,)."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae import distributions
from pyro_vae.distributions import FlatDistribution, Flow, Mixture, zuko
from pyro_vae.modes import evaluating
from pyro_vae.module import Module
from pyro_vae.networks import ACTIVATIONS
from pyro_vae.scales import SMALLEST_SCALE, log_scale_of, scale_of

if TYPE_CHECKING:
    from pyro_vae.vae import VAE


class Prior(Module):
    """A distribution over latent vectors (D,)."""

    def forward(self) -> dist.Distribution:
        """p(z), batch shape (), event shape (D,)."""
        raise NotImplementedError

    def join(self, vae: VAE) -> None:
        """Called once by the VAE that takes this prior: a prior may share its other parts."""

    def start_from(self, images: Tensor) -> None:
        """Called with training images (n, C, H, W) before the first step of a training."""


class StandardNormal(Prior):
    r"""Standard Normal, :math:`p(z) = \mathcal N(z; 0, I)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 3.

    Args:
        latent_size: the dimension D.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_size), persistent=False)
        self.register_buffer("scale", torch.ones(latent_size), persistent=False)

    def forward(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.scale).to_event(1)


class Normal(Prior):
    r"""Diagonal Normal, :math:`p(z) = \mathcal N(z; \mu, \mathrm{diag}\,\sigma^2)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.1.

    Args:
        latent_size: the dimension D.
        loc: the mean mu, one number or one for each dimension.
        scale: the standard deviation sigma, one number or one for each dimension.
        learned: learn both, from these values.

    Raises:
        ValueError: a scale is not above 0.0001, or the numbers do not fit the dimension.
    """

    def __init__(
        self,
        latent_size: int,
        loc: float | list[float] = 0.0,
        scale: float | list[float] = 1.0,
        learned: bool = False,
    ) -> None:
        super().__init__()
        _place(self, "loc", _vector(loc, latent_size, "loc"), learned)
        log_scale = log_scale_of(_vector(scale, latent_size, "scale"))
        _place(self, "log_scale", log_scale, learned)

    @property
    def scale(self) -> Tensor:
        """The scale sigma, shape (D,)."""
        return scale_of(self.log_scale)

    def forward(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.scale).to_event(1)


class Laplace(Normal):
    r"""Laplace, :math:`p(z) = \prod_d \frac{1}{2 b_d} \exp(-|z_d - \mu_d| / b_d)`.

    Sparse-Coding Variational Auto-Encoders (Barello, Charles and Pillow, 2018).

    Args:
        latent_size: the dimension D.
        loc: the mean mu, one number or one for each dimension.
        scale: the scale b, one number or one for each dimension.
        learned: learn both, from these values.

    Raises:
        ValueError: a scale is not above 0.0001, or the numbers do not fit the dimension.
    """

    def forward(self) -> dist.Distribution:
        return dist.Laplace(self.loc, self.scale).to_event(1)


class MixtureOfGaussians(Prior):
    r"""Mixture of Gaussians, :math:`p(z) = \sum_k w_k \, \mathcal N(z; \mu_k, \sigma_k^2)`.

    Variational Deep Embedding (Jiang et al., 2017), its generative process.

    Learned. It starts spread out: equal weights, means that fill a Normal evenly, and a variance
    of about 1 in all.

    Args:
        latent_size: the dimension D.
        components: the number K of components.
        scale: the standard deviation of a component at the start, in (0, 1).
    """

    def __init__(self, latent_size: int, components: int = 10, scale: float = 0.5) -> None:
        super().__init__()
        _require_components(self, components)
        if not SMALLEST_SCALE < scale < 1:
            raise ValueError(f"MixtureOfGaussians: scale must lie in (0, 1), got {scale}.")
        self.components = components
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(math.sqrt(1 - scale**2) * _spread(components, latent_size))
        self.log_scale = nn.Parameter(log_scale_of(torch.full((components, latent_size), scale)))

    def forward(self) -> dist.Distribution:
        scale = scale_of(self.log_scale)
        return Mixture(self.logits, dist.Normal(self.loc, scale).to_event(1))


class VampPrior(Prior):
    r"""VampPrior, :math:`p(z) = \frac1K \sum_k q(z \mid u_k)`.

    VAE with a VampPrior (Tomczak and Welling, 2018), its mixture of posteriors.

    A mixture of the model's own posteriors q at learned pseudo-inputs u, images in [0, 1]. It
    shares the posterior's weights, and starts from training images. For any posterior with a
    density or a mass: all but Delta.

    Args:
        latent_size: the dimension D.
        components: the number K of pseudo-inputs.
    """

    def __init__(self, latent_size: int, components: int = 500) -> None:
        super().__init__()
        _require_components(self, components)
        self.latent_size, self.components = latent_size, components
        self.register_buffer("logits", torch.zeros(components), persistent=False)
        self.register_buffer("started", torch.tensor(False))
        self.register_parameter("pseudo_inputs", None)

    def join(self, vae: VAE) -> None:
        # Not an attribute in nn.Module's sense: the posterior's weights stay the posterior's.
        object.__setattr__(self, "_posterior", vae.posterior)
        if self.pseudo_inputs is None:
            with torch.no_grad(), evaluating(vae):
                z = torch.zeros(1, self.latent_size, device=vae.device)
                shape = vae.likelihood(z).event_shape
            self.pseudo_inputs = nn.Parameter(torch.rand(self.components, *shape).to(z))

    @torch.no_grad()
    def start_from(self, images: Tensor) -> None:
        """Start at images drawn at random, each at most once while there are enough.

        Pseudo-inputs that were started stay where their training led them.
        """
        if self.started:
            return
        self.started.fill_(True)
        rounds = math.ceil(self.components / len(images))
        order = torch.cat([torch.randperm(len(images)) for _ in range(rounds)])
        self.pseudo_inputs.copy_(images[order[: self.components].to(images.device)])

    def forward(self) -> dist.Distribution:
        if self.pseudo_inputs is None:
            raise RuntimeError("A VampPrior needs a posterior: give it to a VAE before calling it.")
        return Mixture(self.logits, self._posterior(self.pseudo_inputs.clamp(0, 1)))


class NormalizingFlow(Prior):
    r"""Normalising flow, :math:`p(z) = \mathcal N(f(z); 0, I) \, |\det \partial f / \partial z|`.

    Variational Lossy Autoencoder (Chen et al., 2017), section 3.2.

    Learned. The transforms f are autoregressive, so that scoring takes one pass and drawing D;
    with 2 passes, they are the coupling transforms of Real NVP (Dinh et al., 2017).
    They are those of Neural Spline Flows (Durkan et al., 2019), or the affine ones of Masked
    Autoregressive Flow for Density Estimation (Papamakarios et al., 2017), from Zuko.

    Args:
        latent_size: the dimension D.
        family: "spline" or "affine".
        transforms: the number of transforms; the order of the dimensions alternates.
        hidden: the width of the two hidden layers of each transform's network.
        passes: how many groups of dimensions depend on those before, drawn one after another; D
            unless given.
        activation: "relu", or "tanh", under which no code however far out can make the next
            transform's shift large: for many affine transforms in many dimensions.
        steepest: how many times an affine transform stretches or shrinks a dimension at most. As
            1,000, after Zuko, six in a row make one unusual code worth 1e17 nats, and one step
            towards it ends a training; as 2, they cannot.

    Raises:
        ValueError: there is no such family or activation, there are no passes, or steepest is not
            above 1.
    """

    def __init__(
        self,
        latent_size: int,
        family: Literal["spline", "affine"] = "spline",
        transforms: int = 3,
        hidden: int = 64,
        passes: int | None = None,
        activation: Literal["relu", "tanh"] = "relu",
        steepest: float = 1000.0,
    ) -> None:
        super().__init__()
        if not steepest > 1:
            raise ValueError(f"NormalizingFlow: steepest must be above 1, got {steepest:g}.")
        if activation not in ("relu", "tanh"):
            raise ValueError(
                f"NormalizingFlow: activation must be relu or tanh, got {activation!r}."
            )
        if passes is not None and passes < 1:
            raise ValueError(f"NormalizingFlow: passes must be positive, got {passes}.")
        if family not in ("spline", "affine"):
            raise ValueError(f"NormalizingFlow: family must be spline or affine, got {family!r}.")
        affine = partial(zuko.transforms.MonotonicAffineTransform, slope=1 / steepest)
        make = {
            "spline": zuko.flows.NSF,
            "affine": partial(zuko.flows.MAF, univariate=affine),
        }[family]
        self.transform = make(
            latent_size,
            transforms=transforms,
            hidden_features=(hidden, hidden),
            passes=passes,
            activation=ACTIVATIONS[activation],
        ).transform
        self.base = StandardNormal(latent_size)
        if latent_size == 1:  # Then Zuko has no networks, and starts far from the identity.
            for parameter in self.transform.parameters():
                parameter.data.mul_(0.1)

    def forward(self) -> dist.Distribution:
        return Flow(self.transform(), self.base())


class HypersphereUniform(Prior):
    r"""Uniform on the unit sphere, :math:`p(z) = \Gamma(D/2) / (2 \pi^{D/2}), \; \|z\| = 1`.

    Hyperspherical Variational Auto-Encoders (Davidson et al., 2018), section 3.

    A density with respect to the surface of the sphere.

    Args:
        latent_size: the number of coordinates D > 1; the sphere has dimension D - 1.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        if latent_size < 2:
            raise ValueError(f"A sphere needs 2 coordinates at least, not {latent_size}.")
        self.register_buffer("like", torch.zeros(latent_size), persistent=False)

    def forward(self) -> dist.Distribution:
        return distributions.HypersphereUniform(self.like)


class Bernoulli(Prior):
    r"""Bernoulli, binary codes, :math:`p(z) = \prod_d \pi_d^{z_d} (1 - \pi_d)^{1 - z_d}`.

    Neural Variational Inference and Learning in Belief Networks (Mnih and Gregor, 2014), section 2.

    Args:
        latent_size: the dimension D.
        probability: of a 1, in (0, 1).
        learned: learn one for each dimension, from this value.

    Raises:
        ValueError: the probability is not in (0, 1).
    """

    def __init__(self, latent_size: int, probability: float = 0.5, learned: bool = False) -> None:
        super().__init__()
        if not 0 < probability < 1:
            raise ValueError(f"Bernoulli: probability must lie in (0, 1), got {probability}.")
        logit = math.log(probability / (1 - probability))
        _place(self, "logits", torch.full((latent_size,), logit), learned)

    def forward(self) -> dist.Distribution:
        return dist.Bernoulli(logits=self.logits).to_event(1)


class Flat(Prior):
    r"""Flat, :math:`\log p(z) = 0`, for a plain autoencoder.

    Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006).

    It is no distribution: nothing can be drawn from it, and there is no ELBO under it.

    Args:
        latent_size: the dimension D.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.latent_size = latent_size

    def forward(self) -> dist.Distribution:
        return FlatDistribution(constraints.real_vector, (), (self.latent_size,))


def _place(module: nn.Module, name: str, value: Tensor, learned: bool) -> None:
    """A parameter where it is learned, else a constant."""
    if learned:
        module.register_parameter(name, nn.Parameter(value))
    else:
        module.register_buffer(name, value)


def _require_components(prior: Prior, components: int) -> None:
    if components < 1:
        name = type(prior).__name__
        raise ValueError(f"{name}: components must be positive, got {components}.")


def _vector(value: float | list[float], size: int, name: str) -> Tensor:
    """One number, or one for each dimension, as (D,)."""
    vector = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach()
    if vector.dim() and vector.shape != (size,):
        raise ValueError(f"{name} must be one number or {size} of them, got {vector.numel()}.")
    return vector.expand(size).clone()


def _spread(count: int, size: int) -> Tensor:
    """`count` points, (count, size), that fill a standard Normal more evenly than random ones."""
    even = torch.quasirandom.SobolEngine(size, scramble=True).draw(count)
    return dist.Normal(0.0, 1.0).icdf(even.clamp(1e-3, 1 - 1e-3)).to(torch.get_default_dtype())
