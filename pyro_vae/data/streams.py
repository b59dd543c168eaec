"""Images that do not fit in memory: they stay in their files, and are read batch by batch.

A `Stream` stands where an `ImageData` otherwise has its tensor. What is asked for in one go is read
in this process; `batches` reads ahead in the worker processes of a `DataLoader`, a few batches at a
time, so that memory stays bounded. Order and values are those that a tensor would give.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader

_MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Stream:
    """N images, uint8 of shape (N, C, H, W), read when they are asked for."""

    read: Callable[[Tensor], Tensor]
    """int64 (n,), places in the files, -> uint8 (n, C, H, W); can be pickled, for the workers."""
    places: Tensor
    """int64, (N,)."""
    changes: tuple[Callable[[Tensor], Tensor], ...] = ()
    """What is done to every batch that was read, one after the other."""
    device: torch.device = torch.device("cpu")
    """Where images come to lie."""

    dtype = torch.uint8
    ndim = 4

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size((len(self), *self._fetch(self.places[:1]).shape[1:]))

    def __getitem__(self, indices: slice | Tensor) -> Tensor:
        """The images at `indices`, uint8 (n, C, H, W), read now."""
        return self._fetch(self.places[_on_cpu(indices)]).to(self.device)

    def select(self, indices: slice | Tensor) -> Stream:
        """The images at `indices`, still in their files."""
        return replace(self, places=self.places[_on_cpu(indices)])

    def then(self, change: Callable[[Tensor], Tensor]) -> Stream:
        """The same images, with a change made to each batch that is read."""
        return replace(self, changes=(*self.changes, change))

    def to(self, device: torch.device | str) -> Stream:
        """The same images, moved to a device when they are read."""
        return replace(self, device=torch.device(device))

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images at each of `indices`, read ahead by worker processes."""
        on_cpu = replace(self, device=torch.device("cpu"))  # Workers leave the accelerator alone.
        loader = DataLoader(
            on_cpu,
            batch_size=None,  # A "sample" is a whole batch: nothing is left to collate.
            sampler=[_on_cpu(part) for part in indices],
            num_workers=min(len(indices), os.cpu_count() or 1, _MOST_WORKERS),
            generator=torch.Generator(),  # Not the one that the training draws from.
        )
        for levels in loader:
            yield levels.to(self.device)

    def _fetch(self, places: Tensor) -> Tensor:
        levels = self.read(places)
        for change in self.changes:
            levels = change(levels)
        return levels


def selected(images: Tensor | Stream, indices: slice | Tensor) -> Tensor | Stream:
    """The images at `indices`; those of a stream stay in their files."""
    return images.select(indices) if isinstance(images, Stream) else images[indices]


def changed(images: Tensor | Stream, change: Callable[[Tensor], Tensor]) -> Tensor | Stream:
    """The images after a change, uint8 to uint8; a stream makes it whenever it reads."""
    return images.then(change) if isinstance(images, Stream) else change(images)


def _on_cpu(indices: slice | Tensor) -> slice | Tensor:
    return indices if isinstance(indices, slice) else indices.cpu()
