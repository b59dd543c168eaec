"""Priors p(z): modules whose call returns a Pyro distribution, batch shape (), event shape (D,)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae import distributions
from pyro_vae._arguments import (
    Bounds,
    Count,
    Depth,
    Images,
    Number,
    OpenFraction,
    Size,
    SphereSize,
    checked,
)
from pyro_vae._modes import evaluating
from pyro_vae._module import Module
from pyro_vae._scales import SMALLEST_SCALE, Scale, log_scale_of, scale_of
from pyro_vae._spelling import rename_methods, warn_of
from pyro_vae.distributions import FlatDistribution, Flow, Mixture, zuko
from pyro_vae.errors import ArgumentError, StateError
from pyro_vae.networks import ACTIVATIONS
from pyro_vae.processes.shares import unshared
from pyro_vae.vae import VAE

SmallScale = Annotated[float, Bounds(above=SMALLEST_SCALE, below=1)]
"""The scale of a component in a mixture whose variance is 1."""
SobolSize = Annotated[int, Bounds(at_least=1, limit=torch.quasirandom.SobolEngine.MAXDIM)]
"""The dimension of a Sobol sequence."""


class Prior(Module):
    """A distribution over latent vectors (D,).

    A prior may have two more methods, whether it is of this class or any other callable:
    `join(vae)`, which the `VAE` that takes the prior calls once, and by which the prior may share
    the model's other parts; and `initialize(images)`, which is called with training images
    (n, C, H, W) before the first step of a training. `VampPrior` has both.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        rename_methods(cls, start_from="initialize")  # Its name up to version 0.1.

    def forward(self) -> dist.TorchDistribution:
        """Return p(z), batch shape (), event shape (D,)."""
        raise NotImplementedError


class StandardNormal(Prior):
    r"""Standard Normal, :math:`p(z) = \mathcal N(z; 0, I)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 3.

    Args:
        latent_size: the dimension D.

    Example:
        >>> prior = StandardNormal(2)
        >>> prior().sample((3,)).shape
        torch.Size([3, 2])
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_size: Size) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_size), persistent=False)
        self.register_buffer("scale", torch.ones(latent_size), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, self.scale).to_event(1)


class Normal(Prior):
    r"""Diagonal Normal, :math:`p(z) = \mathcal N(z; \mu, \mathrm{diag}\,\sigma^2)`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.1.

    Args:
        latent_size: the dimension D.
        loc: the mean mu, one number or one for each dimension.
        scale: the standard deviation sigma, one number or one for each dimension.
        learned: learn both, starting at these values.

    Raises:
        ArgumentError: a scale is not above 0.0001, or there are not D numbers.

    Example:
        >>> prior = Normal(2, loc=[0.0, 1.0], scale=0.5)
        >>> prior().mean
        tensor([0., 1.])
    """

    loc: Tensor
    log_scale: Tensor

    def __init__(
        self,
        latent_size: Size,
        loc: Number | Sequence[Number] = 0.0,
        scale: Scale | Sequence[Scale] = 1.0,
        learned: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _place(self, "loc", _vector(loc, latent_size, f"{name}: loc"), learned)
        log_scale = log_scale_of(_vector(scale, latent_size, f"{name}: scale"))
        _place(self, "log_scale", log_scale, learned)

    @property
    def scale(self) -> Tensor:
        """The scale sigma, shape (D,)."""
        return scale_of(self.log_scale)

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, self.scale).to_event(1)


class Laplace(Normal):
    r"""Laplace, :math:`p(z) = \prod_d \frac{1}{2 b_d} \exp(-|z_d - \mu_d| / b_d)`.

    Sparse-Coding Variational Auto-Encoders (Barello, Charles and Pillow, 2018).

    Args:
        latent_size: the dimension D.
        loc: the mean mu, one number or one for each dimension.
        scale: the scale b, one number or one for each dimension.
        learned: learn both, starting at these values.

    Raises:
        ArgumentError: a scale is not above 0.0001, or there are not D numbers.

    Example:
        >>> prior = Laplace(2, scale=0.5)
        >>> prior().log_prob(torch.zeros(2))
        tensor(0.)
    """

    def forward(self) -> dist.TorchDistribution:
        return dist.Laplace(self.loc, self.scale).to_event(1)


class MixtureOfGaussians(Prior):
    r"""Mixture of Gaussians, :math:`p(z) = \sum_k w_k \, \mathcal N(z; \mu_k, \sigma_k^2)`.

    Variational Deep Embedding (Jiang et al., 2017), its generative process.

    All parameters are learned. Initially the weights are equal, the means are spread evenly over a
    Normal, and the variance of the whole mixture is about 1.

    Args:
        latent_size: the dimension D.
        components: the number K of components.
        scale: the initial standard deviation of each component, in (0, 1).

    Raises:
        ArgumentError: components is not positive, or scale is not in (0, 1).

    Example:
        >>> prior = MixtureOfGaussians(2, components=5)
        >>> prior().sample((3,)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, latent_size: SobolSize, components: Size = 10, scale: SmallScale = 0.5
    ) -> None:
        super().__init__()
        self.components = components
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(math.sqrt(1 - scale**2) * _spread(components, latent_size))
        scales = torch.full((components, latent_size), scale)
        self.log_scale = nn.Parameter(log_scale_of(scales))

    def forward(self) -> dist.TorchDistribution:
        scale = scale_of(self.log_scale)
        return Mixture(self.logits, dist.Normal(self.loc, scale).to_event(1))


_NOT_JOINED = (
    "A VampPrior needs a posterior: give it to a VAE first, VAE(prior=VampPrior(...), ...)."
)


class VampPrior(Prior):
    r"""VampPrior, :math:`p(z) = \frac1K \sum_k q(z \mid u_k)`.

    VAE with a VampPrior (Tomczak and Welling, 2018), its mixture of posteriors.

    A mixture of the model's own posteriors q at learned pseudo-inputs u, which are images in
    [0, 1]. It shares the posterior's weights, and its pseudo-inputs start at training images. It
    takes any posterior with a density or a mass: all but Delta.

    Args:
        latent_size: the dimension D.
        components: the number K of pseudo-inputs.

    Raises:
        ArgumentError: components is not positive.

    Example:
        >>> from pyro_vae import likelihoods, networks, posteriors
        >>> vae = VAE(
        ...     VampPrior(2, components=5),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> vae.prior.initialize(torch.rand(100, 1, 8, 8))
        >>> vae.prior().sample((3,)).shape
        torch.Size([3, 2])
    """

    logits: Tensor
    started: Tensor
    pseudo_inputs: nn.Parameter | None
    _posterior: Callable[[Tensor], dist.TorchDistribution]

    def __init__(self, latent_size: Size, components: Size = 500) -> None:
        super().__init__()
        self.latent_size, self.components = latent_size, components
        self.register_buffer("logits", torch.zeros(components), persistent=False)
        self.register_buffer("started", torch.tensor(False))
        self.register_parameter("pseudo_inputs", None)

    def join(self, vae: VAE) -> None:
        """Share a model's posterior, and make pseudo-inputs of the shape of its images."""
        # Bypass nn.Module's own: the posterior's weights must not be registered twice.
        object.__setattr__(self, "_posterior", vae.posterior)
        if self.pseudo_inputs is None:
            with torch.no_grad(), evaluating(vae):
                z = vae.zeros(1, self.latent_size)
                shape = vae.likelihood(z).event_shape
            self.pseudo_inputs = nn.Parameter(torch.rand(self.components, *shape).to(z))

    @checked
    @torch.no_grad()
    def initialize(self, images: Images) -> None:
        """Set the pseudo-inputs to images (n, C, H, W) drawn at random.

        No image is drawn twice unless n is below K. A second call changes nothing: the
        pseudo-inputs of a trained model are kept.

        Raises:
            StateError: the prior is not part of a model.
        """
        if self.started:
            return
        if self.pseudo_inputs is None:
            raise StateError(_NOT_JOINED)
        if images.shape[1:] != self.pseudo_inputs.shape[1:]:
            raise ArgumentError(
                f"VampPrior.initialize: images must have the shape (n, C, H, W) of the model's, "
                f"{tuple(self.pseudo_inputs.shape[1:])}, got {tuple(images.shape)}."
            )
        self.started.fill_(True)
        rounds = math.ceil(self.components / len(images))
        order = torch.cat([torch.randperm(len(images), device="cpu") for _ in range(rounds)])
        self.pseudo_inputs.copy_(images[order[: self.components].to(images.device)])

    def start_from(self, images: Tensor) -> None:
        """Do the same as `initialize`, whose name this was up to version 0.1."""
        warn_of("VampPrior.start_from", "initialize", stacklevel=3)
        VampPrior.initialize(self, images)

    def forward(self) -> dist.TorchDistribution:
        if self.pseudo_inputs is None:
            raise StateError(_NOT_JOINED)
        with unshared():  # Every process has all pseudo-inputs.
            return Mixture(self.logits, self._posterior(self.pseudo_inputs.clamp(0, 1)))


class NormalizingFlow(Prior):
    r"""Normalizing flow, :math:`p(z) = \mathcal N(f(z); 0, I) \, |\det \partial f / \partial z|`.

    Variational Lossy Autoencoder (Chen et al., 2017), section 3.2.

    All parameters are learned. The transforms f are autoregressive: scoring takes one pass, and
    drawing takes D. With 2 passes they are the coupling transforms of Real NVP (Dinh et al., 2017).
    Their families are those of Neural Spline Flows (Durkan et al., 2019) and of Masked
    Autoregressive Flow for Density Estimation (Papamakarios et al., 2017), both from Zuko.

    Args:
        latent_size: the dimension D.
        family: "spline" or "affine".
        transforms: the number of transforms; the order of the dimensions alternates.
        hidden: the width of the two hidden layers of each transform's network.
        passes: the number of groups of dimensions, drawn one after another, each of which depends
            on those before it; D by default.
        activation: "relu" or "tanh". With "tanh", a distant latent vector cannot make the shift of
            the next transform large, which matters for many affine transforms in many dimensions.
        steepest: the largest factor by which an affine transform stretches or shrinks a dimension.
            With 1,000, Zuko's default, six transforms can give one unusual latent vector a
            log-density of 1e17 nats, and a step toward it ends a training; with 2, they cannot.

    Raises:
        ArgumentError: the family or the activation is unknown, passes is below 2 (1 in one
            dimension), or steepest is not above 1.

    Example:
        >>> prior = NormalizingFlow(3, family="affine", passes=2)
        >>> prior().log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_size: Size,
        family: Literal["spline", "affine"] = "spline",
        transforms: Depth = 3,
        hidden: Size = 64,
        passes: Count | None = None,
        activation: Literal["relu", "tanh"] = "relu",
        steepest: Annotated[float, Bounds(above=1)] = 1000.0,
    ) -> None:
        super().__init__()
        fewest = min(2, latent_size)  # In one pass, no dimension would depend on another.
        if passes is not None and passes < fewest:
            raise ArgumentError(f"NormalizingFlow: passes must be at least {fewest}, got {passes}.")
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
        if latent_size == 1:  # Zuko then has no networks, and starts far from the identity.
            for parameter in self.transform.parameters():
                parameter.data.mul_(0.1)

    def forward(self) -> dist.TorchDistribution:
        return Flow(self.transform(), self.base())


class HypersphereUniform(Prior):
    r"""Uniform on the unit sphere, :math:`p(z) = \Gamma(D/2) / (2 \pi^{D/2}), \; \|z\| = 1`.

    Hyperspherical Variational Auto-Encoders (Davidson et al., 2018), section 3.

    The density is with respect to the surface of the sphere.

    Args:
        latent_size: the number of coordinates D > 1; the sphere has dimension D - 1.

    Raises:
        ArgumentError: latent_size is below 2.

    Example:
        >>> prior = HypersphereUniform(3)
        >>> prior().sample((5,)).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    like: Tensor

    def __init__(self, latent_size: SphereSize) -> None:
        super().__init__()
        self.register_buffer("like", torch.zeros(latent_size), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return distributions.HypersphereUniform(self.like)


class Bernoulli(Prior):
    r"""Bernoulli, binary codes, :math:`p(z) = \prod_d \pi_d^{z_d} (1 - \pi_d)^{1 - z_d}`.

    Neural Variational Inference and Learning in Belief Networks (Mnih and Gregor, 2014), section 2.

    Args:
        latent_size: the dimension D.
        probability: the probability of a 1, in (0, 1).
        learned: learn one for each dimension, starting at this value.

    Raises:
        ArgumentError: the probability is not in (0, 1).

    Example:
        >>> prior = Bernoulli(2, probability=0.25)
        >>> prior().mean
        tensor([0.2500, 0.2500])
    """

    logits: Tensor

    def __init__(
        self, latent_size: Size, probability: OpenFraction = 0.5, learned: bool = False
    ) -> None:
        super().__init__()
        logit = math.log(probability / (1 - probability))
        _place(self, "logits", torch.full((latent_size,), logit), learned)

    def forward(self) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=self.logits).to_event(1)


class Flat(Prior):
    r"""Flat, :math:`\log p(z) = 0`, for a plain autoencoder.

    Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006).

    It is not a distribution: nothing can be drawn from it, and it gives no ELBO.

    Args:
        latent_size: the dimension D.

    Example:
        >>> prior = Flat(2)
        >>> prior().log_prob(torch.zeros(5, 2))
        tensor([0., 0., 0., 0., 0.])
    """

    def __init__(self, latent_size: Size) -> None:
        super().__init__()
        self.latent_size = latent_size

    def forward(self) -> dist.TorchDistribution:
        return FlatDistribution(constraints.real_vector, (), (self.latent_size,))


def _place(module: nn.Module, name: str, value: Tensor, learned: bool) -> None:
    """Register a parameter if it is learned, and a buffer otherwise."""
    if learned:
        module.register_parameter(name, nn.Parameter(value))
    else:
        module.register_buffer(name, value)


def _vector(value: float | Sequence[float], size: int, name: str) -> Tensor:
    """Return one number, or one for each dimension, as a vector (D,)."""
    vector = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach()
    if vector.dim() and vector.shape != (size,):
        raise ArgumentError(f"{name} must be one number or {size} of them, got {vector.numel()}.")
    return vector.expand(size).clone()


def _spread(count: int, size: int) -> Tensor:
    """Return points (count, size) that fill a standard Normal more evenly than random ones."""
    even = torch.quasirandom.SobolEngine(size, scramble=True).draw(count)
    return dist.Normal(0.0, 1.0).icdf(even.clamp(1e-3, 1 - 1e-3)).to(torch.get_default_dtype())
