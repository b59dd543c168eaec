"""Posteriors q(z|x): an encoder network, and heads that turn its features into a distribution."""

from typing import Literal

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_vae.module import Module


class Posterior(Module):
    """A distribution over latent vectors (D,) for each image.

    Args:
        encoder: a network, (B, C, H, W) -> (B, F), that says F in its attribute `features`.
        latent_size: the dimension D.
    """

    def __init__(self, encoder: nn.Module, latent_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.latent_size = latent_size

    def head(self, size: int | None = None) -> nn.Linear:
        """A linear map from the encoder's features to `size` (default: D) parameters."""
        features = getattr(self.encoder, "features", None)
        if not isinstance(features, int):
            raise TypeError(
                f"The encoder {type(self.encoder).__name__} does not say how many features it "
                "returns per image: give it an integer attribute `features`."
            )
        return nn.Linear(features, size or self.latent_size)

    def forward(self, x: Tensor) -> dist.Distribution:
        """q(z|x) of images (B, C, H, W): batch shape (B,), event shape (D,)."""
        raise NotImplementedError


class DiagonalNormal(Posterior):
    r"""Diagonal Normal, :math:`q(z|x) = \mathcal N(z; \mu(x), \mathrm{diag}\,\sigma^2(x))`.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), equation 9.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.
        spread: what the second head gives, log sigma^2 or log sigma. The same family of
            distributions; the gradient of the head differs by a factor of two.
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent_size: int,
        spread: Literal["log_variance", "log_scale"] = "log_variance",
    ) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()
        self.spread = self.head()
        self.half = 0.5 if spread == "log_variance" else 1.0

    def forward(self, x: Tensor) -> dist.Distribution:
        features = self.encoder(x)
        # Bounds that no sensible posterior meets keep the scale finite and away from 0.
        log_scale = (self.half * self.spread(features)).clamp(-15, 15)
        return dist.Normal(self.mean(features), log_scale.exp()).to_event(1)


class Delta(Posterior):
    """All mass on one point, z = mean(x): the code of a plain autoencoder.

    Args:
        encoder: network, (B, C, H, W) -> (B, F).
        latent_size: the dimension D.
    """

    def __init__(self, encoder: nn.Module, latent_size: int) -> None:
        super().__init__(encoder, latent_size)
        self.mean = self.head()

    def forward(self, x: Tensor) -> dist.Distribution:
        return dist.Delta(self.mean(self.encoder(x)), event_dim=1)
