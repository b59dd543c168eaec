"""How the weights of a network begin: as PyTorch draws them, or so that signals keep their size."""

from collections.abc import Iterable
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

Initialization = Literal["pytorch", "he"]


@torch.no_grad()
def initialize(layers: Iterable[nn.Module], initialization: Initialization) -> None:
    """Draw the first weights of layers that follow one another, with ReLU between them.

    PyTorch's own weights have a third of the variance that a linear layer needs for outputs as
    large as its inputs, and a sixth after ReLU: behind a few layers little is left of the signal.
    "he" gives them the variance that each needs, and biases of 0. Delving Deep into Rectifiers
    (He et al., 2015), equation 10.

    Args:
        layers: the layers, in their order.
        initialization: "pytorch" leaves the weights as they are.
    """
    if initialization == "pytorch":
        return
    rectified = False
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            variance = (2 if rectified else 1) / inputs_of(layer)
            nn.init.normal_(layer.weight, std=variance**0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            rectified = False
        rectified = rectified or isinstance(layer, nn.ReLU)


def inputs_of(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Return the number of inputs that each output adds up; within an image, its mean."""
    weight: Tensor = layer.weight
    if isinstance(layer, nn.ConvTranspose2d):
        return weight.shape[0] * prod(weight.shape[2:]) / (layer.groups * prod(layer.stride))
    return prod(weight.shape[1:])
