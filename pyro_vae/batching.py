"""How many images at once: what a model holds for each of them decides."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pyro_vae.modes import evaluating, seeded
from pyro_vae.vae import VAE

#: Numbers that a step of an evaluation or a picture may hold in one tensor: 256 MB as floats.
MOST_NUMBERS = 2**26


def numbers_per_image(vae: VAE) -> int:
    """The size of the largest tensor that coding, decoding and scoring an image makes, in numbers.

    What a network's layers put out, the parameters of the likelihood's values, or a prior's score
    of the code by every component.
    """
    with torch.no_grad(), evaluating(vae), seeded(0, vae.device):
        z, x = vae.zeros(1, vae.latent_size), vae.zeros(1, *vae.image_shape)
        # A prior that codes images of its own, a VampPrior, is no part of this: it does so once.
        with _watched(vae) as sizes:
            vae.posterior(x)
            vae.likelihood(z)
    decoded = x.numel() * getattr(vae.likelihood, "outputs", 1)
    return max(decoded, numbers_per_code(vae), *sizes)


def numbers_per_code(vae: VAE) -> int:
    """The size of the largest tensor that scoring a code under the prior makes, in numbers."""
    return vae.latent_size * getattr(vae.prior, "components", 1)


def images_at_once(vae: VAE, most: int, numbers: int = MOST_NUMBERS) -> int:
    """At most so many images at a time that no tensor has more than `numbers` numbers."""
    return max(1, min(most, numbers // numbers_per_image(vae)))


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[int]]:
    """Within, the size of what every layer puts out is noted."""
    sizes: list[int] = []

    def note(_layer: nn.Module, _inputs: tuple, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()
