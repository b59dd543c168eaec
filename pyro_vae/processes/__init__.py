"""Several processes that train one model together, each on its part of every batch.

`torchrun` starts them, and PyTorch's process group connects them. Each process holds the whole
model. The first of them, of rank 0, alone writes files and messages; what only one of them knows,
such as a signal that it received, is agreed upon before it is acted on.
"""

from pyro_vae.processes.group import (
    ProcessError,
    alone,
    is_first,
    join,
    joined,
    leave,
    rank,
    world_size,
)
from pyro_vae.processes.shares import batch_mean

__all__ = [
    "ProcessError",
    "alone",
    "batch_mean",
    "is_first",
    "join",
    "joined",
    "leave",
    "rank",
    "world_size",
]
