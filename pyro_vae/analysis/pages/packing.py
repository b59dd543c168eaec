r"""Fully connected networks within a page: packed here, run there by `templates/networks.js`.

A network is a list of layers, each :math:`y = f(W x + b)`. Of each row of W the page holds
integers of 16 or 8 bits and one scale, so that an entry is off by at most half a scale; b is held
as it is, in 32 bits. All numbers are little-endian, in base64.
"""

import base64
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.distributions import ContinuousBernoulli
from pyro_vae.networks import ACTIVATIONS


class Layer(TypedDict):
    """A layer as a page holds it.

    Attributes:
        inputs: the number of columns of W.
        outputs: the number of rows of W.
        bits: 16 or 8, of each integer.
        weights: integers, row by row.
        scales: by what the integers of each row are multiplied.
        bias: the vector b.
        activation: the name of f in networks.js.
    """

    inputs: int
    outputs: int
    bits: int
    weights: str
    scales: str
    bias: str
    activation: str


#: What an activation computes, by its name in networks.js.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: kind() for name, kind in ACTIVATIONS.items()},
    "continuous_bernoulli": lambda logits: ContinuousBernoulli(logits).mean,
}


def layers_of(network: nn.Module) -> list[tuple[nn.Linear, str]] | None:
    """Return the linear layers of a network, in order, with the names of their activations.

    Returns:
        None if the network has anything but linear layers whose sizes fit each other, a known
        activation after some of them, and changes of shape.
    """
    layers: list[tuple[nn.Linear, str]] = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            layers.append((module, "identity"))
        elif any(module.children()) or isinstance(module, nn.Flatten | nn.Unflatten | nn.Identity):
            continue
        elif (name := _name(module)) and layers and layers[-1][1] == "identity":
            layers[-1] = layers[-1][0], name
        else:
            return None
    fits = all(a.out_features == b.in_features for (a, _), (b, _) in pairwise(layers))
    return layers if layers and fits else None


def _name(module: nn.Module) -> str | None:
    return next((name for name, kind in ACTIVATIONS.items() if type(module) is kind), None)


def pack(weight: Tensor, bias: Tensor | None, activation: str, bits: int = 8) -> Layer:
    """Return a layer as a page holds it.

    Args:
        weight: W, (outputs, inputs).
        bias: b, (outputs,); None stands for 0.
        activation: a name in `FUNCTIONS`.
        bits: 16 or 8.
    """
    rows = weight.detach().cpu().double().numpy()
    largest = 2 ** (bits - 1) - 1
    scales = (np.abs(rows).max(1) / largest).astype("<f4")
    integers = np.rint(rows / np.maximum(scales, np.finfo("f4").tiny)[:, None])
    added = np.zeros(len(rows)) if bias is None else bias.detach().cpu().numpy()
    return {
        "inputs": rows.shape[1],
        "outputs": rows.shape[0],
        "bits": bits,
        "weights": _text(integers.clip(-largest, largest).astype(f"<i{bits // 8}")),
        "scales": _text(scales),
        "bias": _text(added.astype("<f4")),
        "activation": activation,
    }


def dequantized(layer: Layer) -> tuple[Tensor, Tensor]:
    """Return W (outputs, inputs) and b (outputs,) of a packed layer."""
    integers = _numbers(layer["weights"], f"<i{layer['bits'] // 8}")
    rows = integers.reshape(layer["outputs"], layer["inputs"])
    weight = rows * _numbers(layer["scales"], "<f4")[:, None]
    return torch.from_numpy(weight.astype("f4")), torch.tensor(
        _numbers(layer["bias"], "<f4"), device="cpu"
    )


def run_layers(network: Sequence[Layer], x: Tensor) -> Tensor:
    """Return what packed layers make of vectors (N, inputs): (N, outputs), as networks.js does."""
    for layer in network:
        weight, bias = dequantized(layer)
        x = FUNCTIONS[layer["activation"]](nn.functional.linear(x, weight, bias))
    return x


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def _numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)
