"""What a recipe is: data, networks, distributions and training of a system, as declarations."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from pyro_vae import posteriors, priors
from pyro_vae._settings import declared, setting
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import Decoder, Encoder, ImageShape
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior
from pyro_vae.training import TrainingSettings
from pyro_vae.vae import VAE

DATA, MODEL = "the data", "the model"
#: Largest number of passes over a handful of images: every epoch has costs of its own.
MOST_EPOCHS_OF_FEW = 200


Pixels = Literal["gray", "binarized", "binarized-once", "dequantized"]


@dataclass(frozen=True, kw_only=True)
class Recipe(TrainingSettings):
    """A system, ready to train: its data, its model, and the settings of its training.

    Parts are factories: classes, or `partial`s with settings. The settings below, and those of
    `TrainingSettings`, are also the options of the command line.

    Attributes:
        name: on the command line.
        summary: the system in one line.
        source: who published it.
        image_shape: (C, H, W) of its own images, as the networks see them, for the listing;
            `build` takes any.
        least_steps: smallest number of steps of a training: images that make fewer in `epochs` are
            seen more often, up to `MOST_EPOCHS_OF_FEW` times.
        published: the settings of the source that differ from ours.
        published_loss: the loss on the source's scale, from distortion, rate (nats per image)
            and the number of values in an image; None where the settings have none.
        expected: numbers measured, and on what; shown in the listing.

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> fashion_conv.epochs, fashion_conv.as_published().epochs
        (8, 100)
        >>> vae = fashion_conv.with_settings(latent_size=3).build((1, 28, 28))
        >>> vae.latent_size, tuple(vae.image_shape)
        (3, (1, 28, 28))
    """

    name: str
    summary: str
    source: str
    image_shape: ImageShape
    data: str = setting(
        help="a data set's name, or the path of a folder or file of images", group=DATA
    )
    size: int | None = setting(
        None,
        "side length in pixels; images are cropped and resized to it",
        group=DATA,
        at_least=1,
        at_most=10_000,
    )
    channels: Literal[1, 3] | None = setting(
        None, "1 for gray, 3 for RGB (default: as they are)", group=DATA
    )
    padding: int = setting(
        0, "pixels of 0 added on each side of an image", group=DATA, at_least=0, at_most=1000
    )
    pixels: Pixels = setting(
        "gray",
        "pixel values: k/255, binary (drawn anew each time, or once), or (k + noise)/256",
        group=DATA,
    )
    validation: int = setting(
        5000,
        "number of training images held out to choose the weights (a tenth at most); "
        "0: the test images choose them",
        group=DATA,
        at_least=0,
    )
    latent_size: int = setting(
        2, "dimension D of the latent space", group=MODEL, at_least=1, at_most=100_000
    )
    prior: Callable[[int], Prior] = setting(
        priors.StandardNormal, "prior p(z)", group=MODEL, part=Prior
    )
    likelihood: Callable[[Decoder], Likelihood] = setting(
        help="likelihood p(x|z)", group=MODEL, part=Likelihood
    )
    posterior: Callable[[Encoder, int], Posterior] = setting(
        posteriors.DiagonalNormal, "posterior q(z|x)", group=MODEL, part=Posterior
    )
    encoder: Callable[[ImageShape], Encoder] = setting(
        help="network from images to features", group=MODEL, part=Encoder
    )
    decoder: Callable[[int, ImageShape], Decoder] = setting(
        help="network from latent vectors to images", group=MODEL, part=Decoder
    )
    least_steps: int = 2000
    published: dict[str, Any] = field(default_factory=dict)
    published_loss: Callable[[float, float, int], float] | None = None
    expected: str = ""

    @property
    def training(self) -> dict[str, Any]:
        """The settings of the training, by name, as `fit` takes them."""
        return {name: getattr(self, name) for name in declared(TrainingSettings)}

    def with_settings(self, **settings: Any) -> "Recipe":
        """Return the same system with other settings, by name."""
        return replace(self, **settings)

    def as_published(self) -> "Recipe":
        """Return the same system with the settings of its source.

        No source validates at the same draws every epoch, or counts steps.
        """
        common = {"new_draws": True, "least_steps": 0, "expected": ""}
        return self.with_settings(**common | self.published)

    def as_autoencoder(self) -> "Recipe":
        """Return the plain autoencoder of the same shape: a Delta posterior under a flat prior.

        It has no rate, and therefore no loss on the source's scale.
        """
        return self.with_settings(
            prior=priors.Flat, posterior=posteriors.Delta, beta=1.0, published_loss=None
        )

    def epochs_for(self, images: int) -> int:
        """Return the number of passes over that many training images."""
        steps = math.ceil(images / self.batch_size)
        return max(self.epochs, min(math.ceil(self.least_steps / steps), MOST_EPOCHS_OF_FEW))

    def build(self, image_shape: ImageShape) -> VAE:
        """Build an untrained model for images of this shape."""
        decoder = self.decoder(self.latent_size, image_shape)
        return VAE(
            prior=self.prior(self.latent_size),
            likelihood=self.likelihood(decoder),
            posterior=self.posterior(self.encoder(image_shape), self.latent_size),
        )


analytic_elbo = partial(ELBO, analytic_kl=True)
