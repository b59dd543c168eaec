"""How many images to process at once, given the largest tensor that a model makes for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae._modes import evaluating, seeded
from pyro_vae.vae import VAE

#: The most numbers that one tensor may hold during evaluation or analysis: 256 MB as floats.
MOST_NUMBERS = 2**26
#: The most numbers that one tensor holds while latent vectors are decoded on a CPU, so that its
#: cache holds it: 2 MB as floats.
CACHED_NUMBERS = 2**19


def numbers_decoded_at_once(device: torch.device, most: int) -> int:
    """Return the numbers that one tensor holds while latent vectors are decoded on a device.

    Args:
        device: the device; on a CPU they are as many as its cache holds.
        most: the numbers on any other device.
    """
    return CACHED_NUMBERS if device.type == "cpu" else most


def numbers_per_image(vae: VAE) -> int:
    """Return the size of the largest tensor made by coding, decoding and scoring one image.

    This is the largest among the outputs of the networks' layers, the parameters of the
    likelihood, and the scores of a latent vector under each component of the prior.
    """
    with torch.no_grad(), evaluating(vae), seeded(0, vae.device):
        z, x = vae.zeros(1, vae.latent_size), vae.zeros(1, *vae.image_shape)
        # The prior is not called: a VampPrior codes its pseudo-inputs once, not for each image.
        with _watched(vae) as sizes:
            vae.posterior(x)
            vae.likelihood(z)
    decoded = x.numel() * getattr(vae.likelihood, "outputs", 1)
    return max(decoded, numbers_per_code(vae), *sizes)


def numbers_per_code(vae: VAE) -> int:
    """Return the size of the largest tensor made by scoring one latent vector under the prior."""
    return vae.latent_size * getattr(vae.prior, "components", 1)


def images_at_once(vae: VAE, most: int, numbers: int = MOST_NUMBERS) -> int:
    """Return how many images, from 1 to `most`, keep every tensor within `numbers` numbers."""
    return max(1, min(most, numbers // numbers_per_image(vae)))


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[int]]:
    """Record the size of every layer's output within a block."""
    sizes: list[int] = []

    def note(_layer: nn.Module, _inputs: tuple[Any, ...], output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()
