"""Positive scales computed from unbounded numbers, and the scale of standardized images."""

import math
from typing import Annotated

import torch
from torch import Tensor

from pyro_vae._arguments import Bounds, Number, Positive

#: With a smaller scale, a density could grow without bound at a single image.
SMALLEST_SCALE = 1e-4
_LARGEST_LOG_SCALE = 15.0

Scale = Annotated[
    float, Bounds(above=SMALLEST_SCALE, limit=math.floor(math.exp(_LARGEST_LOG_SCALE)))
]
"""A scale that a likelihood or a prior can have."""
Standardized = tuple[Number, Positive]
"""(m, s), by which images x are standardized to (x - m)/s."""


def scale_of(log_scale: Tensor) -> Tensor:
    """Return a scale above `SMALLEST_SCALE` that does not overflow, of the same shape."""
    return SMALLEST_SCALE + log_scale.clamp(max=_LARGEST_LOG_SCALE).exp()


def log_scale_of(scale: float | Tensor) -> Tensor:
    """Return the number from which `scale_of` computes this scale, a number or a tensor."""
    return torch.as_tensor(scale - SMALLEST_SCALE, dtype=torch.get_default_dtype()).log()


def bounded_exp(log_scale: Tensor) -> Tensor:
    """Return a posterior's scale, within bounds that no useful posterior reaches."""
    return log_scale.clamp(-15, 15).exp()
