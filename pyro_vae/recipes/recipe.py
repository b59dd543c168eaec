"""What a recipe is: a system's data, networks, distributions and training, as declarations."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from pyro_vae import posteriors, priors
from pyro_vae.annealing import Annealing, Constant
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import ImageShape
from pyro_vae.objectives import ELBO, Objective
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior
from pyro_vae.schedules import OneCycle, Schedule
from pyro_vae.training import Keep
from pyro_vae.vae import VAE

#: How often a handful of images is seen, whatever `least_steps`: an epoch has costs of its own.
MOST_EPOCHS = 200


@dataclass(frozen=True)
class Recipe:
    """A system, ready to train. Parts are factories: classes, or `partial`s with settings.

    Attributes:
        name: on the command line.
        summary: the system in one line.
        source: who published it.
        data: a data set's name, or the path of a folder or file of images.
        image_shape: (C, H, W) of its own images, as the networks see them, for the listing;
            `build` takes any.
        encoder: called with the image shape (C, H, W).
        decoder: called with the latent size D and the image shape.
        prior: called with the latent size.
        likelihood: called with the decoder.
        posterior: called with the encoder and the latent size.
        size: pixels of a side that images are cropped and resized to; None: as they are.
        channels: 1 for grey, 3 for RGB; None: as they are.
        padding: pixels of 0 added on each side of an image.
        pixels: what a level from 0 to 255 becomes: "grey" (k/255), "binarised" (drawn anew each
            time), "binarised-once" (drawn once by the seed) or "dequantised".
        latent_size: the dimension D.
        objective: makes the bound that is maximised.
        beta: the weight of the rate.
        annealing: makes the rule which part of beta counts when.
        epochs: how often every training image is seen.
        least_steps: a training has at least so many steps: images that make fewer in `epochs` are
            seen more often, up to `MOST_EPOCHS` times.
        batch_size: images per step.
        learning_rate: Adam's, at its highest.
        epsilon: Adam's, for gradients in nats per image.
        schedule: makes the schedule of the learning rate.
        keep: the weights of the "best" epoch by the validation loss, or of the "last" one.
        new_draws: validate every epoch at new draws of the codes, not at the same ones.
        validation: how many of the last training images are held out to choose the weights; 0:
            the test images choose them.
        published: the settings of the source that differ from ours.
        published_loss: the loss on the source's scale, from distortion, rate (nats per image)
            and the number of values in an image; None where the settings have none.
        expected: numbers measured, and on what; shown in the listing.
    """

    name: str
    summary: str
    source: str
    data: str
    image_shape: ImageShape
    encoder: Callable[[ImageShape], nn.Module]
    decoder: Callable[[int, ImageShape], nn.Module]
    likelihood: Callable[[nn.Module], Likelihood]
    prior: Callable[[int], Prior] = priors.StandardNormal
    posterior: Callable[[nn.Module, int], Posterior] = posteriors.DiagonalNormal
    latent_size: int = 2
    size: int | None = None
    channels: int | None = None
    padding: int = 0
    pixels: Literal["grey", "binarised", "binarised-once", "dequantised"] = "grey"
    objective: Callable[[], Objective] = ELBO
    beta: float = 1.0
    annealing: Callable[[], Annealing] = Constant
    epochs: int = 10
    least_steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 1e-3
    epsilon: float = 1e-8
    schedule: Callable[[], Schedule] = OneCycle
    keep: Keep = "best"
    new_draws: bool = False
    validation: int = 5000
    published: dict[str, Any] = field(default_factory=dict)
    published_loss: Callable[[float, float, int], float] | None = None
    expected: str = ""

    def with_settings(self, **settings: Any) -> "Recipe":
        """The same system with other settings, by the attributes' names."""
        return replace(self, **settings)

    def as_published(self) -> "Recipe":
        """The same system with its source's settings.

        No source validates at the same draws, or counts steps.
        """
        common = {"new_draws": True, "least_steps": 0, "expected": ""}
        return self.with_settings(**common | self.published)

    def as_autoencoder(self) -> "Recipe":
        """The plain autoencoder of the same shape: a Delta posterior under a flat prior.

        It has no rate, and so no loss on the source's scale.
        """
        return self.with_settings(
            prior=priors.Flat, posterior=posteriors.Delta, beta=1.0, published_loss=None
        )

    def epochs_for(self, images: int) -> int:
        """How often each of so many training images is seen."""
        steps = math.ceil(images / self.batch_size)
        return max(self.epochs, min(math.ceil(self.least_steps / steps), MOST_EPOCHS))

    def build(self, image_shape: ImageShape) -> VAE:
        """An untrained model for images of this shape."""
        decoder = self.decoder(self.latent_size, image_shape)
        return VAE(
            prior=self.prior(self.latent_size),
            likelihood=self.likelihood(decoder),
            posterior=self.posterior(self.encoder(image_shape), self.latent_size),
        )


analytic_elbo = partial(ELBO, analytic_kl=True)
