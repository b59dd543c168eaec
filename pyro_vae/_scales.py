"""Positive scales computed from unbounded numbers, and the scale of standardized images."""

import torch
from torch import Tensor

from pyro_vae.errors import ArgumentError

#: With a smaller scale, a density could grow without bound at a single image.
SMALLEST_SCALE = 1e-4


def scale_of(log_scale: Tensor) -> Tensor:
    """Return a scale above `SMALLEST_SCALE` that does not overflow, of the same shape."""
    return SMALLEST_SCALE + log_scale.clamp(max=15).exp()


def log_scale_of(scale: float | Tensor, owner: str) -> Tensor:
    """Return the number from which `scale_of` computes this scale.

    Args:
        scale: a scale, or a tensor of them.
        owner: the class that the error names.

    Raises:
        ArgumentError: the scale is not above `SMALLEST_SCALE`.
    """
    smallest = scale.min().item() if isinstance(scale, Tensor) else scale
    if smallest <= SMALLEST_SCALE:
        raise ArgumentError(f"{owner}: scale must exceed {SMALLEST_SCALE}, got {smallest:.4g}.")
    return torch.as_tensor(scale - SMALLEST_SCALE, dtype=torch.get_default_dtype()).log()


def bounded_exp(log_scale: Tensor) -> Tensor:
    """Return a posterior's scale, within bounds that no useful posterior reaches."""
    return log_scale.clamp(-15, 15).exp()


def standardization(mean: float, deviation: float) -> tuple[float, float]:
    """Return (m, s), by which images x are standardized to (x - m)/s.

    Raises:
        ArgumentError: s is not above 0.
    """
    if deviation <= 0:
        raise ArgumentError(f"standardized=(m, s): s must exceed 0, got {deviation:.4g}.")
    return mean, deviation
