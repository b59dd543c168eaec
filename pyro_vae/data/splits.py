"""A test part for data that comes without one, drawn by seed: the same on every machine.

The order of the training images is shuffled too, because `Dataset.split` holds out the last ones:
in data sorted by class they would all belong to one class.
"""

import torch
from torch import Tensor

from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError
from pyro_vae.data.options import LoadOptions, check_seed


def shuffled(count: int, seed: int) -> Tensor:
    """Return the indices 0 to `count` - 1 in an order fixed by `seed`: int64, (count,).

    The global random state is neither used nor changed.

    Raises:
        DataError: the seed is not a whole number from 0 to 2^63 - 1.
    """
    check_seed(seed)
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(seed)), device="cpu")


def held_out_count(name: str, count: int, fraction: float) -> int:
    """Return how many of `count` images become the test part, leaving at least 1 in each part.

    Raises:
        DataError: there are fewer than 2 images, or the fraction does not lie between 0 and 1.
    """
    if count < 2:
        raise DataError(
            f"{name}: {count} image cannot be split into a training and a test part: "
            "add images, at least 2 are needed, or leave it undivided for a trained model "
            "(divide=False)"
        )
    if not 0 < fraction < 1:
        raise DataError(f"the fraction of test images must be between 0 and 1, not {fraction!r}")
    return min(max(round(count * fraction), 1), count - 1)


def divided(name: str, data: ImageData, options: LoadOptions) -> Dataset:
    """Draw a test part as the options say; or leave images undivided, if they say so.

    Raises:
        DataError: as `split_by_seed`.
    """
    if not options.divide:
        return Dataset(name, data, data, divided=False)
    return split_by_seed(name, data, options.test_fraction, options.seed)


def split_by_seed(name: str, data: ImageData, fraction: float, seed: int) -> Dataset:
    """Split images in two: a `fraction` of them, drawn by `seed`, becomes the test part.

    Raises:
        DataError: as `held_out_count` and `shuffled`.
    """
    held_out = held_out_count(name, len(data), fraction)
    order = shuffled(len(data), seed)
    return Dataset(name, data.select(order[held_out:]), data.select(order[:held_out]))
