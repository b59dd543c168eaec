"""Evaluation mode, layouts and seeds that hold within a block, after which all is as before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode within a block, then each of its parts back in its own.

    In evaluation mode, batch normalization uses its running statistics.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training


@contextmanager
def channels_last(module: nn.Module) -> Iterator[None]:
    """Lay the weights of convolutions out channels last within a block, which is often faster.

    Results are equal to rounding. Afterward every weight has its layout of before, with the values
    that it was given meanwhile. One that is channels last already stays so, as within a training.
    """
    fours = [weight for weight in module.parameters() if weight.dim() == 4]
    laid_out = [(weight, weight.data.to(memory_format=torch.channels_last)) for weight in fours]
    # Weights of one channel are contiguous in both layouts: their strides say which one is meant.
    changed = [(weight, data) for weight, data in laid_out if data.stride() != weight.stride()]
    try:
        for weight, data in changed:
            weight.data = data
        yield
    finally:
        for weight, _ in changed:
            weight.data = weight.data.to(memory_format=torch.contiguous_format)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the random numbers of the CPU and of a device within a block.

    Afterward they continue as if it had not been. Those of other devices are left alone, which
    `torch.manual_seed` would seed as well, for good.
    """
    before = random_state(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(before, device)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the random number generators of the CPU and of a device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Continue from a state that `random_state` returned.

    The generator of a device is left as it is where the state was saved on a device of another
    kind.
    """
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
