"""Data sets by name, and by path: `load` decides which loader is meant."""

import difflib
from collections.abc import Callable
from pathlib import Path

from pyro_vae.data.arrays import SUFFIXES, load_arrays
from pyro_vae.data.cartoons import is_cartoon_folder, load_cartoon_folder, load_cartoons
from pyro_vae.data.cifar10 import load_cifar10
from pyro_vae.data.digits import load_digits
from pyro_vae.data.folders import load_folder
from pyro_vae.data.idx import FASHION_MNIST, MNIST, load_idx
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError
from pyro_vae.data.resizing import fit
from pyro_vae.data.settings import Settings

Loader = Callable[[str | Path | None, Settings], Dataset]

_LOADERS: dict[str, Loader] = {
    "fashion-mnist": lambda data_dir, settings: load_idx(FASHION_MNIST, data_dir),
    "mnist": lambda data_dir, settings: load_idx(MNIST, data_dir),
    "cifar10": lambda data_dir, settings: load_cifar10(data_dir),
    "cartoonset": load_cartoons,
    "digits": lambda data_dir, settings: load_digits(settings),
}


def names() -> tuple[str, ...]:
    """The data sets that `load` knows by name."""
    return tuple(_LOADERS)


def load(
    name: str | Path,
    data_dir: str | Path | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    skip_corrupt: bool = False,
    test_fraction: float = 0.1,
    seed: int = 0,
    stream: bool | None = None,
) -> Dataset:
    """Images to train on and to test with, as uint8 tensors in memory, or else as streams.

    Args:
        name: one of `names()`, or the path of a folder of images (see `pyro_vae.data.folders`) or
            of an array file, `.npy`, `.npz`, `.pt` (see `pyro_vae.data.arrays`). A folder that is
            called like a data set is meant by `./name`.
        data_dir: where named data sets are looked for first, and kept if the folder is ours
            (see `pyro_vae.data.sources`); else the environment's `PYRO_VAE_DATA`, else `data/`.
        size: pixels, (H, W) or one number for both; images are cropped to the centre in these
            proportions and resized. By default they keep their size; in a folder of mixed sizes
            they become squares of the median shorter side.
        channels: 1 for grey, 3 for RGB; by default as they are.
        skip_corrupt: leave out files that cannot be read, with a warning, instead of refusing.
        test_fraction: the share of images to test with, at least one, where the data has no test
            part of its own.
        seed: draws that test part, and fixes the order of the images of a folder.
        stream: leave the images of a folder, or the bytes of an `.npy` file, where they are, and
            read them batch by batch (see `pyro_vae.data.streams`); by default where they would
            take more than half of this machine's memory.

    Raises:
        DataError: the name is unknown, the data cannot be had or read, or does not fit the options.
    """
    settings = Settings(size, channels, skip_corrupt, test_fraction, seed, stream)
    if name in _LOADERS:
        found = _LOADERS[str(name)](data_dir, settings)
    else:
        found = _load_path(Path(name).expanduser(), str(name), settings)
    if stream and not found.train.streamed:
        raise DataError(
            f"{name} is held in memory: only the images of a folder and the bytes of an .npy file "
            "can be read batch by batch"
        )
    return fit(found, settings)


def _load_path(path: Path, asked: str, settings: Settings) -> Dataset:
    if path.is_dir():
        cartoons = is_cartoon_folder(path)
        return load_cartoon_folder(path, settings) if cartoons else load_folder(path, settings)
    if not path.exists():
        raise DataError(_unknown(asked))
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is neither a folder of images nor one of {', '.join(SUFFIXES)}")
    return load_arrays(path, settings)


def _unknown(asked: str) -> str:
    near = difflib.get_close_matches(asked.lower(), names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join(names())
    return f"no data set is called {asked!r}, and there is no such path.{hint} Known: {known}"
