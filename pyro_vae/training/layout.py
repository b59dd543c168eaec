"""How convolutional networks lie in memory while they are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from pyro_vae._modes import channels_last
from pyro_vae.vae import VAE

MemoryFormat = Literal["contiguous", "channels_last"]


@contextmanager
def in_memory_format(vae: VAE, optimizer: Optimizer, name: MemoryFormat) -> Iterator[None]:
    """Lay out the weights of a model and the optimizer's state of them within a block.

    Files of weights and of states are the same in both; a state that is loaded within the block is
    laid out as its weight, as a fused kernel takes both for one sequence of numbers.
    """
    if name == "contiguous":
        yield
        return
    with channels_last(vae):
        _follow_weights(optimizer)
        hook = optimizer.register_load_state_dict_post_hook(_follow_weights)
        try:
            yield
        finally:
            hook.remove()
    _follow_weights(optimizer)


def _follow_weights(optimizer: Optimizer) -> None:
    """Lay the optimizer's state of each weight out as the weight itself."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if _alike(weight, value) and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _alike(weight: Any, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == weight.shape
