"""The recipe that fits any images: `auto` chooses the model and its training from what is there.

The networks are convolutions that halve the image until its longer side is at most eight pixels.
The encoder has batch normalization; the decoder has none, which lets it reach the levels of an even
background within few steps, but for binary images and few small ones, from which a normalized one
learns faster. The prior is a normalizing flow, which takes the shape of the codes. The latent size
grows with the image. The likelihood follows from the levels: binary images have a Bernoulli, all
others a `DiscretizedLogistic`, whose scales are learned: one for each value, or, of few images, one
for each channel. A decoder that may doubt each value by itself learns to doubt the colors of a few
images before it learns the colors. A Bernoulli has no scale to learn, and bears a higher learning
rate and a larger flow.

What is chosen are settings like any other, written to `config.yaml`, and each can be overridden.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyro_vae import likelihoods, networks, priors
from pyro_vae.networks import ImageShape
from pyro_vae.recipes.recipe import Recipe
from pyro_vae.schedules import OneCycle

AUTO = "auto"
#: Larger images are brought to this side, in pixels: on a CPU they would take hours.
LARGEST, BROUGHT_TO = 160, 128
#: Largest number of passes that `auto` chooses; other recipes have one of their own.
MOST_EPOCHS_OF_AUTO = 300
#: Fewer training images than these are learned by heart: the model is smaller.
FEW = 500
#: Most pixels of what counts as a small image.
SMALL = 64 * 64


@dataclass(frozen=True)
class Facts:
    """What is known of images when a model is chosen for them.

    Attributes:
        image_shape: (C, H, W).
        images: the number of training images.
        binary: whether all their values are 0 or 1.
        dequantized: whether noise is added to their levels.
        classes: the number of classes; 0 where they have none.
    """

    image_shape: ImageShape
    images: int
    binary: bool = False
    dequantized: bool = False
    classes: int = 0

    def __str__(self) -> str:
        channels, height, width = self.image_shape
        kind = "binary" if self.binary else {1: "gray", 3: "color"}.get(channels, "")
        images = f"{self.images:,} {kind} images of {height}×{width}".replace("  ", " ")
        return images + f" in {self.classes:,} classes" * (self.classes > 1)


def auto(facts: Facts) -> Recipe:
    """Return the recipe for images of which these facts are known.

    Example:
        >>> recipe = auto(Facts((3, 64, 64), 10_000))
        >>> recipe.latent_size, recipe.build((3, 64, 64)).latent_size
        (200, 200)
        >>> auto(Facts((1, 28, 28), 2000, binary=True)).likelihood.__name__
        'Bernoulli'
    """
    size = BROUGHT_TO if max(facts.image_shape[1:]) > LARGEST else None
    shape = (facts.image_shape[0], size, size) if size else facts.image_shape
    batch_size = _batch_size(facts.images)
    return Recipe(
        name=AUTO,
        summary=f"{AUTO}: chosen for {facts}",
        source="this library",
        data="fashion-mnist",
        image_shape=shape,
        size=size,
        latent_size=_latent_size(shape, facts.images),
        encoder=networks.HalvingEncoder,
        decoder=partial(
            networks.HalvingDecoder,
            normalized=facts.binary or _few_and_small(shape, facts.images),
        ),
        prior=partial(
            priors.NormalizingFlow,
            family="affine",
            transforms=6 if facts.binary else 4,
            hidden=256 if facts.binary else 128,
            passes=2,
            activation="tanh",
            steepest=2.0,
        ),
        likelihood=_likelihood(facts),
        epochs=_epochs(shape, facts.images, batch_size),
        batch_size=batch_size,
        learning_rate=4e-3 if facts.binary else 2e-3,
        schedule=OneCycle,
        least_steps=0,
    )


def _batch_size(images: int) -> int:
    """Return 64, or what makes two or three steps of a pass over fewer images."""
    return max(8, min(64, 2 ** round(math.log2(max(images, 1) / 2.5))))


def _few_and_small(shape: ImageShape, images: int) -> bool:
    return images < FEW and math.prod(shape[1:]) <= SMALL


def _latent_size(shape: ImageShape, images: int) -> int:
    """Return a size that grows with what an image can hold, and is smaller for few images."""
    values = math.prod(shape)
    return 32 if values <= 256 else 64 if values <= 1024 else 128 if images < FEW else 200


def _likelihood(facts: Facts) -> Callable[[networks.Decoder], likelihoods.Likelihood]:
    if facts.binary:
        return likelihoods.Bernoulli
    if facts.dequantized:
        return partial(likelihoods.Normal, scale=0.25, learned="value")
    if facts.images < FEW:
        return partial(likelihoods.DiscretizedLogistic, learned="channel")
    return likelihoods.DiscretizedLogistic


def _epochs(shape: ImageShape, images: int, batch_size: int) -> int:
    """Return the number of passes that make as many steps as take some minutes on two cores."""
    steps = 6000 * min(1.0, 32 * 32 / math.prod(shape[1:])) ** 0.5
    return max(1, min(MOST_EPOCHS_OF_AUTO, round(steps * batch_size / max(images, 1))))
