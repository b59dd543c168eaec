"""How many images at once: what a model holds for each of them decides."""

import math

from pyro_vae.vae import VAE

#: Numbers that a step of an evaluation or a picture may hold in one tensor: 256 MB as floats.
MOST_NUMBERS = 2**26


def numbers_per_image(vae: VAE) -> int:
    """The size of the largest tensor that scoring an image at one code makes, in numbers.

    The parameters of the likelihood's values, or a prior's score of the code by every component.
    """
    decoded = math.prod(vae.image_shape) * getattr(vae.likelihood, "outputs", 1)
    return max(decoded, vae.latent_size * getattr(vae.prior, "components", 1))


def images_at_once(vae: VAE, most: int, numbers: int = MOST_NUMBERS) -> int:
    """At most so many images at a time that no tensor has more than `numbers` numbers."""
    return max(1, min(most, numbers // numbers_per_image(vae)))
