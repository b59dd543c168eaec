"""Data sets by name. Each module here declares its own in `LOADERS`, which maps names to loaders.

A loader is called with the data folder, or None, and the `LoadOptions` of `load`. Those that
concern size, channels and streaming are applied afterward to whatever it returns.
"""

from collections.abc import Callable
from pathlib import Path

from pyro_vae.data.images import Dataset
from pyro_vae.data.named import cartoons, cifar10, digits, mnist
from pyro_vae.data.options import LoadOptions

LOADERS: dict[str, Callable[[str | Path | None, LoadOptions], Dataset]] = {
    **mnist.LOADERS,
    **cifar10.LOADERS,
    **cartoons.LOADERS,
    **digits.LOADERS,
}
