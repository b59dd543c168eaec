"""Priors p(z): modules whose call returns a Pyro distribution, batch shape (), event shape (D,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyro.distributions as dist
import torch
from torch.distributions import constraints

from pyro_vae.module import Module

if TYPE_CHECKING:
    from torch import Tensor

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


class Flat(Prior):
    """No prior: log-density 0 everywhere, for a plain autoencoder.

    It is no distribution: nothing can be drawn from it, and there is no ELBO under it.

    Args:
        latent_size: the dimension D.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.latent_size = latent_size

    def forward(self) -> dist.Distribution:
        return FlatDistribution(constraints.real_vector, (), (self.latent_size,))


class FlatDistribution(dist.ImproperUniform):
    """Log-density 0 on all of R^D."""

    def sample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:
        raise NotImplementedError(
            "A plain autoencoder has no prior to sample from: its prior is flat. "
            "Train it with a proper prior, such as priors.StandardNormal, to draw new images."
        )
