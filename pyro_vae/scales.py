"""Scales: of distributions, positive, from numbers without bounds; of standardised images."""

import torch
from torch import Tensor

#: A density with a smaller scale could rise without end over a single image.
SMALLEST_SCALE = 1e-4


def scale_of(log_scale: Tensor) -> Tensor:
    """A scale above `SMALLEST_SCALE`, of the same shape; it neither overflows."""
    return SMALLEST_SCALE + log_scale.clamp(max=15).exp()


def log_scale_of(scale: float | Tensor) -> Tensor:
    """The number from which `scale_of` makes this scale.

    Raises:
        ValueError: it is not above `SMALLEST_SCALE`.
    """
    smallest = scale.min().item() if isinstance(scale, Tensor) else scale
    if smallest <= SMALLEST_SCALE:
        raise ValueError(f"scale must exceed {SMALLEST_SCALE}, got {smallest:.4g}.")
    return torch.as_tensor(scale - SMALLEST_SCALE, dtype=torch.get_default_dtype()).log()


def bounded_exp(x: Tensor) -> Tensor:
    """A posterior's scale from its logarithm, within bounds that no sensible posterior meets."""
    return x.clamp(-15, 15).exp()


def standardisation(mean: float, deviation: float) -> tuple[float, float]:
    """(m, s) of standardised images (x - m)/s.

    Raises:
        ValueError: s is not above 0.
    """
    if deviation <= 0:
        raise ValueError(f"standardised=(m, s): s must exceed 0, got {deviation:.4g}.")
    return mean, deviation
