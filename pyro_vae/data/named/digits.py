"""scikit-learn's 1,797 real handwritten digits, 8×8: part of that package, so no download."""

from pathlib import Path

import torch

from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.splits import divided

NAME = "digits"
_LEVELS = 16  # the brightest level in the source


def load_digits(data_dir: str | Path | None, options: LoadOptions) -> Dataset:
    """Load 1,797 × 1 × 8 × 8: levels 0 to 16 scaled to 0 to 255, and a test part drawn by seed."""
    from sklearn.datasets import load_digits as load_from_sklearn  # slow to import

    source = load_from_sklearn()
    levels = torch.from_numpy(source.images).unsqueeze(1) * (255 / _LEVELS)
    data = ImageData(
        images=levels.round().to(torch.uint8),
        labels=torch.from_numpy(source.target).long(),
        class_names=tuple("0123456789"),
        source=f"{NAME}, part of scikit-learn",
    )
    return divided(NAME, data, options)


LOADERS = {NAME: load_digits}
