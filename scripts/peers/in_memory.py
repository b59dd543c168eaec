"""A benchmark peer: plain PyTorch, with the images kept in memory as this library keeps them."""

from collections.abc import Iterator
from functools import partial

import torch
from peers.task import Task, Turn, train_plainly
from torch import Tensor


def train(task: Task, turn: Turn, layout: torch.memory_format = torch.contiguous_format) -> None:
    """Train the task's networks."""
    levels, net = task.padded(), task.net()
    net.to(memory_format=layout)  # type: ignore[call-overload]

    def batches() -> Iterator[Tensor]:
        for indices in torch.randperm(len(levels)).split(task.batch_size):
            yield levels[indices].float().div_(255)

    train_plainly(net, batches, task, turn)


channels_last = partial(train, layout=torch.channels_last)
