"""Posteriors q(z|x): an encoder, and heads that turn its features into a distribution."""

import math
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae import distributions
from pyro_vae._arguments import Depth, Size, SphereSize
from pyro_vae._module import Module
from pyro_vae._scales import bounded_exp
from pyro_vae.distributions import Flow, zuko
from pyro_vae.errors import ArgumentTypeError


class Posterior(Module):
    """A distribution over latent vectors (D,) for each image.

    Args:
        encoder: a network, (B, C, H, W) -> (B, F), whose attribute `features` is F.
        latent_size: the dimension D.
    """

    #: Whether the gradient of its draws is not exact, so that the rate needs its closed form.
    analytic_kl_only: bool = False

    def __init__(self, encoder: nn.Module, latent_size: Size) -> None:
        super().__init__()
        self.encoder = encoder
        self.latent_size = latent_size

    def head(self, size: int | None = None) -> nn.Linear:
        """Return a linear layer from the encoder's features to `size` parameters, by default D.

        Raises:
            ArgumentTypeError: the encoder has no integer attribute `features`.
        """
        features = getattr(self.encoder, "features", None)
        if not isinstance(features, int) or features < 1:
            raise ArgumentTypeError(
                f"The encoder {type(self.encoder).__name__} does not say how many features it "
                "returns for each image: give it an integer attribute `features`."
            )
        return nn.Linear(features, self.latent_size if size is None else size)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        """Return q(z|x) of images (B, C, H, W): batch shape (B,), event shape (D,)."""
        raise NotImplementedError


class DiagonalNormal(Posterior):
    r"""Diagonal Normal, :math:`q(z|x) = \mathcal N(z; \mu(x), \mathrm{diag}\,\sigma^2(x))`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), equation 9.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.
        spread: what the second head returns, log sigma^2 or log sigma. The family of distributions
            is the same; the gradient of the head differs by a factor of two.

    Raises:
        ArgumentError: spread is neither of the two.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = DiagonalNormal(MLPEncoder((1, 8, 8)), latent_size=2)
        >>> q = posterior(torch.rand(5, 1, 8, 8))
        >>> q.batch_shape, q.event_shape, q.rsample((3,)).shape
        (torch.Size([5]), torch.Size([2]), torch.Size([3, 5, 2]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent_size: Size,
        spread: Literal["log_variance", "log_scale"] = "log_variance",
    ) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()
        self.spread = self.head()
        self.factor = 0.5 if spread == "log_variance" else 1.0

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        scale = bounded_exp(self.factor * self.spread(features))
        return dist.Normal(self.mean(features), scale).to_event(1)


class FullNormal(Posterior):
    r"""Normal with full covariance, :math:`q(z|x) = \mathcal N(z; \mu(x), L(x) L(x)^T)`.

    An Introduction to Variational Autoencoders (Kingma and Welling, 2019), section 2.5.1.

    L is lower triangular, with a positive diagonal.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = FullNormal(MLPEncoder((1, 8, 8)), latent_size=2)
        >>> posterior(torch.rand(5, 1, 8, 8)).covariance_matrix.shape
        torch.Size([5, 2, 2])
    """

    places: Tensor

    def __init__(self, encoder: nn.Module, latent_size: Size) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()
        self.log_diagonal = self.head()
        self.below = self.head(latent_size * (latent_size - 1) // 2)
        rows, columns = torch.tril_indices(latent_size, latent_size, offset=-1)
        self.register_buffer("places", rows * latent_size + columns, persistent=False)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        diagonal = bounded_exp(self.log_diagonal(features)).diag_embed()
        scale_tril = diagonal.flatten(-2).index_add(-1, self.places, self.below(features))
        return dist.MultivariateNormal(self.mean(features), scale_tril=scale_tril.view_as(diagonal))


class Laplace(Posterior):
    r"""Laplace, :math:`q(z|x) = \prod_d \frac{1}{2 b_d(x)} \exp(-|z_d - \mu_d(x)| / b_d(x))`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = Laplace(MLPEncoder((1, 8, 8)), latent_size=2)
        >>> posterior(torch.rand(5, 1, 8, 8)).rsample().shape
        torch.Size([5, 2])
    """

    def __init__(self, encoder: nn.Module, latent_size: Size) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()
        self.log_scale = self.head()

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        scale = bounded_exp(self.log_scale(features))
        return dist.Laplace(self.mean(features), scale).to_event(1)


class InverseAutoregressiveFlow(Posterior):
    r"""Inverse autoregressive flow, :math:`z_t = \mu_t(z_{t-1}, x) + \sigma_t(z_{t-1}, x) z_{t-1}`.

    Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016), sec. 4.

    The d-th outputs of mu and sigma depend only on the dimensions before d, so that drawing takes
    one pass for each transform; scoring a point that was not drawn takes D. The flow starts from a
    diagonal Normal. The transforms are Zuko's.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.
        transforms: the number of transforms; the order of the dimensions alternates.
        hidden: the width of the two hidden layers of each transform's network.
        context: the number of features of the image on which the transforms are conditioned.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = InverseAutoregressiveFlow(MLPEncoder((1, 8, 8)), latent_size=2)
        >>> q = posterior(torch.rand(5, 1, 8, 8))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([5])
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent_size: Size,
        transforms: Depth = 2,
        hidden: Size = 64,
        context: Size = 32,
    ) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()
        self.log_scale = self.head()
        self.context = self.head(context)
        self.transform = zuko.flows.MAF(
            latent_size, context, transforms=transforms, hidden_features=(hidden, hidden)
        ).transform

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        scale = bounded_exp(self.log_scale(features))
        start = dist.Normal(self.mean(features), scale).to_event(1)
        return Flow(self.transform(self.context(features)).inv, start)


class PlanarFlow(Posterior):
    r"""Planar flow, :math:`z_t = z_{t-1} + u_t(x) \tanh(w_t(x)^T z_{t-1} + b_t(x))`.

    Variational Inference with Normalizing Flows (Rezende and Mohamed, 2015), section 4.1.

    The flow starts from a diagonal Normal; the encoder gives the parameters of every transform.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.
        transforms: the number T of transforms.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = PlanarFlow(MLPEncoder((1, 8, 8)), latent_size=2, transforms=3)
        >>> posterior(torch.rand(5, 1, 8, 8)).rsample().shape
        torch.Size([5, 2])
    """

    def __init__(self, encoder: nn.Module, latent_size: Size, transforms: Depth = 4) -> None:
        super().__init__(encoder, latent_size)
        self.transforms = transforms
        self.mean = self.head()
        self.log_scale = self.head()
        self.u, self.w = self.head(transforms * latent_size), self.head(transforms * latent_size)
        self.b = self.head(transforms)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        scale = bounded_exp(self.log_scale(features))
        start = dist.Normal(self.mean(features), scale).to_event(1)
        u, w = (
            head(features).unflatten(-1, (self.transforms, self.latent_size))
            for head in (self.u, self.w)
        )
        return Flow(distributions.Planar(u, w, self.b(features)).inv, start)


class PowerSpherical(Posterior):
    r"""Power spherical, :math:`q(z|x) \propto (1 + \mu(x)^T z)^{\kappa(x)}, \; \|z\| = 1`.

    The Power Spherical distribution (De Cao and Aziz, 2020).

    A distribution on the unit sphere, exactly reparameterized, for the prior `HypersphereUniform`.
    The concentration kappa lies between 0.0001 and 100,000.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the number of coordinates D > 1; the sphere has dimension D - 1.

    Raises:
        ArgumentError: latent_size is below 2.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = PowerSpherical(MLPEncoder((1, 8, 8)), latent_size=3)
        >>> z = posterior(torch.rand(5, 1, 8, 8)).rsample()
        >>> z.norm(dim=-1).allclose(torch.ones(5))
        True
    """

    def __init__(self, encoder: nn.Module, latent_size: SphereSize) -> None:
        super().__init__(encoder, latent_size)
        self.direction = self.head()
        self.log_concentration = self.head(1)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        features = self.encoder(x)
        log_concentration = self.log_concentration(features).squeeze(-1)
        concentration = log_concentration.clamp(math.log(1e-4), math.log(1e5)).exp()
        direction = F.normalize(self.direction(features), dim=-1)
        return distributions.PowerSpherical(direction, concentration)


class Bernoulli(Posterior):
    r"""Bernoulli, :math:`q(z|x) = \prod_d \pi_d(x)^{z_d} (1 - \pi_d(x))^{1 - z_d}`.

    Neural Variational Inference and Learning in Belief Networks (Mnih and Gregor, 2014), section 2.

    Binary codes, trained by the score function, whose gradient is unbiased but of high variance.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = Bernoulli(MLPEncoder((1, 8, 8)), latent_size=100)
        >>> posterior(torch.rand(5, 1, 8, 8)).sample().unique()
        tensor([0., 1.])
    """

    def __init__(self, encoder: nn.Module, latent_size: Size) -> None:
        super().__init__(encoder, latent_size)
        self.logits = self.head()

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=self.logits(self.encoder(x))).to_event(1)


class StraightThroughBernoulli(Bernoulli):
    r"""Straight-through Bernoulli, :math:`z_d \sim \pi_d(x), \; \partial z_d / \partial \pi_d = 1`.

    Estimating or Propagating Gradients Through Stochastic Neurons (Bengio et al., 2013).

    Binary codes whose draws pass gradients on to the probabilities. The gradient is of low
    variance, but biased. The rate is always that of the Bernoulli, in closed form.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = StraightThroughBernoulli(MLPEncoder((1, 8, 8)), latent_size=100)
        >>> z = posterior(torch.rand(5, 1, 8, 8)).rsample()
        >>> z.unique().tolist(), z.requires_grad
        ([0.0, 1.0], True)
    """

    analytic_kl_only = True

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        logits = self.logits(self.encoder(x))
        return distributions.StraightThroughBernoulli(logits=logits).to_event(1)


class Delta(Posterior):
    r"""All mass on one point, :math:`z = \mu(x)`: the code of a plain autoencoder.

    Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006).

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.

    Example:
        >>> from pyro_vae.networks import MLPEncoder
        >>> posterior = Delta(MLPEncoder((1, 8, 8)), latent_size=2)
        >>> posterior(torch.rand(5, 1, 8, 8)).rsample().shape
        torch.Size([5, 2])
    """

    def __init__(self, encoder: nn.Module, latent_size: Size) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Delta(self.mean(self.encoder(x)), event_dim=1)
