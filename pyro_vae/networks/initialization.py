"""How the weights of a network begin: as PyTorch draws them, or so that signals keep their size."""

from collections.abc import Sequence
from math import prod
from typing import Literal

from torch import nn

from pyro_vae._arguments import checked

Initialization = Literal["pytorch", "he"]


@checked
def initialize(layers: Sequence[nn.Module], initialization: Initialization) -> None:
    """Draw the first weights of layers that follow one another, with ReLU between them.

    PyTorch's own weights have a third of the variance that a linear layer needs for outputs as
    large as its inputs, and a sixth after ReLU: behind a few layers little is left of the signal.
    "he" gives them the variance that each needs, and biases of 0. Delving Deep into Rectifiers
    (He et al., 2015), equation 10.

    Args:
        layers: the layers, in their order.
        initialization: "pytorch" leaves the weights as they are.

    Raises:
        ArgumentError: there is no such initialization.
    """
    if initialization == "pytorch":
        return
    rectified = False
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            variance = (2 if rectified else 1) / _inputs_of(layer)
            nn.init.normal_(layer.weight, std=variance**0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            rectified = False
        elif isinstance(layer, nn.ReLU):
            rectified = True


def _inputs_of(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Return the number of inputs that each output adds up; within an image, its mean."""
    shape = layer.weight.shape
    if isinstance(layer, nn.ConvTranspose2d):
        return shape[0] * prod(shape[2:]) / (layer.groups * prod(layer.stride))
    return prod(shape[1:])
