"""scikit-learn's 1,797 real handwritten digits, 8×8: inside that package, so no network at all."""

import torch

from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.settings import Settings
from pyro_vae.data.splits import split_by_seed

NAME = "digits"
_LEVELS = 16  # the brightest level in the source


def load_digits(settings: Settings) -> Dataset:
    """1,797 × 1 × 8 × 8, levels 0 to 16 scaled to 0 to 255, test split by seed."""
    from sklearn.datasets import load_digits as load_from_sklearn  # slow to import

    source = load_from_sklearn()
    levels = torch.from_numpy(source.images).unsqueeze(1) * (255 / _LEVELS)
    data = ImageData(
        images=levels.round().to(torch.uint8),
        labels=torch.from_numpy(source.target).long(),
        class_names=tuple("0123456789"),
        source=f"{NAME}, embedded in scikit-learn",
    )
    return split_by_seed(NAME, data, settings.test_fraction, settings.seed)
