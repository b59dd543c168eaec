"""Shares: how processes divide a batch, and how they add up what is not linear in its images.

A batch of N images is divided into consecutive parts, which differ by one image at most. A loss
that is a mean over images counts by the number of images of each part. What is not linear in them,
such as the statistics of batch normalization, is summed over all processes by the functions below,
through which gradients flow. Where nothing is shared, they compute what their names say of the
tensor alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from pyro_vae.processes.group import rank, world_size


@dataclass(frozen=True)
class Share:
    """The part of a batch that this process has: images `start` to `stop` of all.

    A process for which none is left has the first image of the batch, and counts it zero times.
    Its networks see an image like all others, and it takes part in every sum.

    Attributes:
        images: the number N of images of the batch.
        counts: the number of images of each process.
        start: the first image of this process.
        stop: the image after its last.
    """

    images: int
    counts: tuple[int, ...]
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """The number of images that this process has, counted or not."""
        return max(1, self.stop - self.start)

    @property
    def weights(self) -> list[float]:
        """What each process counts in a mean over images."""
        return [count / self.images for count in self.counts]

    @property
    def weight(self) -> float:
        """What this process counts in a mean over images."""
        return (self.stop - self.start) / self.images


_share: ContextVar[Share | None] = ContextVar("share", default=None)


def share() -> Share | None:
    """Return this process's share of the batch, or None where none is shared."""
    # In this order: torch.compile traces the first, and breaks a graph at the second.
    return _share.get() if world_size() > 1 else None


@contextmanager
def shared(images: int) -> Iterator[None]:
    """Let the processes share a batch of that many images within a block."""
    token = _share.set(_share_of(images) if world_size() > 1 else None)
    try:
        yield
    finally:
        _share.reset(token)


@contextmanager
def unshared() -> Iterator[None]:
    """Let every process have the same within a block, such as the pseudo-inputs of a prior."""
    token = _share.set(None)
    try:
        yield
    finally:
        _share.reset(token)


def own_part(batch: Tensor) -> Tensor:
    """Return this process's part of a batch, (n, ...) of (N, ...); at least one row."""
    return _rows(batch, _share_of(len(batch))) if world_size() > 1 else batch


def total(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; its gradient, too, is that of all."""
    from torch.distributed.nn.functional import all_reduce  # Not every build of PyTorch has it.

    summed: Tensor = all_reduce(values)
    return summed


def batch_mean(values: Tensor) -> Tensor:
    """Return the mean over all images of the batch, (...), of values (B, ...) of this share."""
    found = _share.get()
    mean = values.mean(0)
    return mean if found is None else total(found.weight * mean)


def batch_logsumexp(values: Tensor) -> Tensor:
    """Return the log-sum-exp over all images of the batch, (A, ...), of values (A, B, ...)."""
    found = _share.get()
    if found is None:
        return values.logsumexp(1)
    largest = values.detach().amax(1)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    counted = float(found.stop > found.start)
    return largest + total(counted * (values - largest.unsqueeze(1)).exp().sum(1)).log()


def of_each(values: Tensor) -> Tensor:
    """Return the tensors of all processes, (W, ...) of (...), in the order of their ranks."""
    others = values.new_zeros(world_size(), *values.shape)
    before, after = others[: rank()], others[rank() + 1 :]
    return total(torch.cat([before, values[None], after]))


def all_rows(values: Tensor) -> Tensor:
    """Return the rows of all processes, (N, ...), in the order of the batch."""
    found = _share.get()
    if found is None:
        return values
    before = values.new_zeros(found.start, *values.shape[1:])
    after = values.new_zeros(found.images - found.stop, *values.shape[1:])
    return total(torch.cat([before, values[: found.stop - found.start], after]))


def own_rows(values: Tensor) -> Tensor:
    """Return this process's rows, (n, ...), of those of all, (N, ...); at least one."""
    found = _share.get()
    return values if found is None else _rows(values, found)


def _rows(values: Tensor, found: Share) -> Tensor:
    return values[found.start : found.stop] if found.stop > found.start else values[:1]


def _share_of(images: int) -> Share:
    size, place = world_size(), rank()
    ends = [number * images // size for number in range(size + 1)]
    counts = tuple(stop - start for start, stop in zip(ends, ends[1:], strict=False))
    return Share(images, counts, ends[place], ends[place + 1])
