"""What a recipe is: a system's data, networks, distributions and training, as declarations."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from pyro_vae import posteriors, priors
from pyro_vae.annealing import Annealing, Constant
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import ImageShape
from pyro_vae.objectives import ELBO, Objective
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior
from pyro_vae.schedules import OneCycle, Schedule
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Recipe:
    """A system, ready to train. Parts are factories: classes, or `partial`s with settings.

    Attributes:
        data: a data set's name, or the path of a folder or file of images.
        encoder: called with the image shape (C, H, W).
        decoder: called with the latent size D and the image shape.
        prior: called with the latent size.
        likelihood: called with the decoder.
        posterior: called with the encoder and the latent size.
        padding: pixels of 0 added on each side of an image.
        latent_size: the dimension D.
        objective: makes the bound that is maximised.
        beta: the weight of the rate.
        annealing: makes the rule which part of beta counts when.
        epochs: how often every training image is seen.
        batch_size: images per step.
        learning_rate: Adam's, at its highest.
        schedule: makes the schedule of the learning rate.
        validation: how many of the last training images are held out to choose the weights; 0:
            the test images choose them.
        published: the settings of the source that differ from ours.
        published_loss: the loss on the source's scale, from distortion, rate (nats per image)
            and the number of values in an image.
    """

    name: str
    summary: str
    data: str
    encoder: Callable[[ImageShape], nn.Module]
    decoder: Callable[[int, ImageShape], nn.Module]
    likelihood: Callable[[nn.Module], Likelihood]
    prior: Callable[[int], Prior] = priors.StandardNormal
    posterior: Callable[[nn.Module, int], Posterior] = posteriors.DiagonalNormal
    latent_size: int = 2
    padding: int = 0
    objective: Callable[[], Objective] = ELBO
    beta: float = 1.0
    annealing: Callable[[], Annealing] = Constant
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Callable[[], Schedule] = OneCycle
    validation: int = 5000
    published: dict[str, Any] = field(default_factory=dict)
    published_loss: Callable[[float, float, int], float] | None = None

    def with_settings(self, **settings: Any) -> "Recipe":
        """The same system with other settings, by the attributes' names."""
        return replace(self, **settings)

    def as_published(self) -> "Recipe":
        """The same system with its source's settings."""
        return self.with_settings(**self.published)

    def as_autoencoder(self) -> "Recipe":
        """The plain autoencoder of the same shape: a Delta posterior under a flat prior."""
        return self.with_settings(prior=priors.Flat, posterior=posteriors.Delta, beta=1.0)

    def build(self, image_shape: ImageShape) -> VAE:
        """An untrained model for images of this shape."""
        decoder = self.decoder(self.latent_size, image_shape)
        return VAE(
            prior=self.prior(self.latent_size),
            likelihood=self.likelihood(decoder),
            posterior=self.posterior(self.encoder(image_shape), self.latent_size),
        )


analytic_elbo = partial(ELBO, analytic_kl=True)
