"""How many images at once: what a model holds for each of them decides."""

import math
from collections.abc import Callable, Iterator
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
    decoded = math.prod(vae.image_shape) * getattr(vae.likelihood, "outputs", 1)
    scored = vae.latent_size * getattr(vae.prior, "components", 1)
    return max(decoded, scored, _largest_output(vae))


def images_at_once(vae: VAE, most: int, numbers: int = MOST_NUMBERS) -> int:
    """At most so many images at a time that no tensor has more than `numbers` numbers."""
    return max(1, min(most, numbers // numbers_per_image(vae)))


@torch.no_grad()
def _largest_output(vae: VAE) -> int:
    """Of all layers of both networks, for one image."""
    sizes = [0]

    def note(_module: nn.Module, _inputs: tuple, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    with evaluating(vae), seeded(0, vae.device), _watched(vae, note):
        vae.posterior(vae.zeros(1, *vae.image_shape))
        vae.likelihood(vae.zeros(1, vae.latent_size))
    return max(sizes)


@contextmanager
def _watched(module: nn.Module, note: Callable[[nn.Module, tuple, object], None]) -> Iterator[None]:
    """Within, what every layer puts out is noted."""
    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
