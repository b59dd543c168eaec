"""Images that do not fit in memory: they stay in their files and are read batch by batch.

A `Stream` takes the place of the tensor in an `ImageData`. Indexing it reads in this process;
`batches` reads a few batches ahead in the worker processes of a `DataLoader`, so that memory use
stays bounded. The images and their order are those that a tensor would give.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyro_vae.data.messages import DataError
from pyro_vae.processes.group import local_processes

_MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Stream(Dataset[Tensor]):
    """N images, uint8 of shape (N, C, H, W), that are read when they are used."""

    read: Callable[[Tensor], Tensor]
    """Maps positions in the files, int64 (n,), to images, uint8 (n, C, H, W); the workers need it
    to be picklable."""
    positions: Tensor
    """int64, (N,): the position of each image in the files."""
    changes: tuple[Callable[[Tensor], Tensor], ...] = ()
    """Applied one after the other to every batch that was read."""
    device: torch.device = torch.device("cpu")
    """Where images are moved after reading."""

    dtype = torch.uint8
    ndim = 4

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def shape(self) -> torch.Size:
        """The shape (N, C, H, W)."""
        return torch.Size((len(self), *self._fetch(self.positions[:1]).shape[1:]))

    def __getitem__(self, indices: slice | Tensor) -> Tensor:
        """Read the images at `indices` now: uint8, (n, C, H, W)."""
        return self._fetch(self.positions[_on_cpu(indices)]).to(self.device)

    def select(self, indices: slice | Tensor) -> Stream:
        """Return the images at `indices`, still in their files."""
        return replace(self, positions=self.positions[_on_cpu(indices)])

    def then(self, change: Callable[[Tensor], Tensor]) -> Stream:
        """Return the same images, with a change applied to every batch that is read."""
        return replace(self, changes=(*self.changes, change))

    def to(self, device: torch.device | str) -> Stream:
        """Return the same images, moved to a device when they are read."""
        return replace(self, device=torch.device(device))

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of `indices`, read ahead by worker processes.

        Raises:
            DataError: images can no longer be read.
        """
        on_cpu = replace(self, device=torch.device("cpu"))  # Workers leave the accelerator alone.
        loader: DataLoader[Tensor | DataError] = DataLoader(
            _Batches(on_cpu),
            batch_size=None,  # A "sample" is a whole batch: nothing is left to collate.
            sampler=[_on_cpu(part) for part in indices],
            num_workers=_workers(len(indices)),
            generator=torch.Generator(),  # Not the one that the training draws from.
        )
        for levels in loader:
            if isinstance(levels, DataError):
                raise levels
            yield levels.to(self.device)

    def _fetch(self, positions: Tensor) -> Tensor:
        levels = self.read(positions)
        for change in self.changes:
            levels = change(levels)
        return levels


@dataclass(frozen=True, eq=False)
class _Batches(Dataset[Tensor | DataError]):
    """The images at given positions, or the error of reading them.

    An error that a worker raised would be passed on with the traceback in its message.
    """

    images: Stream

    def __getitem__(self, indices: Tensor) -> Tensor | DataError:
        try:
            return self.images[indices]
        except DataError as error:
            return error


def selected(images: Tensor | Stream, indices: slice | Tensor) -> Tensor | Stream:
    """Return the images at `indices`; those of a stream stay in their files."""
    return images.select(indices) if isinstance(images, Stream) else images[indices]


def changed(images: Tensor | Stream, change: Callable[[Tensor], Tensor]) -> Tensor | Stream:
    """Apply a change, uint8 to uint8, to images; a stream applies it whenever it reads."""
    return images.then(change) if isinstance(images, Stream) else change(images)


def _workers(batches: int) -> int:
    """Return how many processes read batches ahead of their use; of one, nothing is ahead."""
    return 0 if batches == 1 else min(batches, _cores(), _MOST_WORKERS)


def _cores() -> int:
    """Return the number of this machine's cores, for each process that trains on it."""
    return max(1, (os.cpu_count() or 1) // local_processes())


def _on_cpu(indices: slice | Tensor) -> slice | Tensor:
    return indices if isinstance(indices, slice) else indices.cpu()
