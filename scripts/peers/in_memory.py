"""A benchmark peer: plain PyTorch, with the images kept in memory as this library keeps them."""

from collections.abc import Iterator

import torch
from peers.task import Task, Turn, train_plainly
from torch import Tensor


def train(task: Task, turn: Turn) -> None:
    """Train the task's networks."""
    levels = task.padded()

    def batches() -> Iterator[Tensor]:
        for indices in torch.randperm(len(levels)).split(task.batch_size):
            yield levels[indices].float().div_(255)

    train_plainly(task.net(), batches, task, turn)
