"""A fixed test split for data that comes without one: by seed, the same on every machine.

The order is shuffled too, because `Dataset.split` holds out the last training images: in data
sorted by class those would all be of one class.
"""

import torch
from torch import Tensor

from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError


def shuffled(count: int, seed: int) -> Tensor:
    """The indices 0 to count - 1 in an order fixed by `seed`; touches no global generator."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def test_count(name: str, count: int, fraction: float) -> int:
    """How many of `count` images are for testing: the fraction, at least 1 each way.

    Raises:
        DataError: there are fewer than 2 images.
    """
    if count < 2:
        raise DataError(
            f"{name}: {count} image cannot be split into a training and a test part: "
            "add images, at least 2 are needed"
        )
    return min(max(round(count * fraction), 1), count - 1)


def split_by_seed(name: str, data: ImageData, fraction: float, seed: int) -> Dataset:
    """`fraction` of the images, drawn by `seed`, become the test part."""
    held_out = test_count(name, len(data), fraction)
    order = shuffled(len(data), seed)
    return Dataset(name, data.select(order[held_out:]), data.select(order[:held_out]))
