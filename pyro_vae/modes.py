"""States to look at a model in, and to leave it as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode (batch norm uses its running statistics) within; the mode before, after."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers follow `seed` within; afterwards they go on as if nothing had happened."""
    state = random_state(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(state, device)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Where the random numbers are, of the CPU and of a device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on from where the random numbers were; a device of another kind goes on as it is."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
