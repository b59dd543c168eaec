"""Data sets by name and by path: `load` chooses the loader."""

import os
from pathlib import Path

from pyro_vae._spelling import suggestion
from pyro_vae.data.decisions import Decisions
from pyro_vae.data.images import Dataset
from pyro_vae.data.messages import DataError, reason
from pyro_vae.data.named import LOADERS
from pyro_vae.data.named.cartoons import is_cartoon_folder, load_cartoon_folder
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.readers.array_files import SUFFIXES
from pyro_vae.data.readers.arrays import load_arrays
from pyro_vae.data.readers.folders import load_folder, load_image_file
from pyro_vae.data.readers.image_formats import SUFFIXES as IMAGE_SUFFIXES
from pyro_vae.data.resizing import resized


def names() -> tuple[str, ...]:
    """Return the names of the data sets that `load` knows.

    >>> names()
    ('fashion-mnist', 'mnist', 'cifar10', 'cartoonset', 'digits')
    """
    return tuple(LOADERS)


def load(
    name: str | Path,
    data_dir: str | Path | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    skip_corrupt: bool = False,
    divide: bool = True,
    test_fraction: float = 0.1,
    seed: int = 0,
    stream: bool | None = None,
    stretch: tuple[float, float] | str | None = None,
    ground: str | None = None,
    frames: str | None = None,
    decisions: Decisions | None = None,
) -> Dataset:
    """Load images to train on and to test with: uint8 tensors in memory, or streams from files.

    Args:
        name: one of `names()`, or the path of a folder of images or of one image file (see
            `pyro_vae.data.readers.folders`), or of an array file, `.npy`, `.npz`, `.pt` or `.pth`
            (see `pyro_vae.data.readers.arrays`). Write `./mnist` for a folder that has the name
            of a data set.
        data_dir: folder in which named data sets are looked for first. Downloads are kept there
            if the folder is new, empty or was made by this function, and in `data/` otherwise
            (see `pyro_vae.data.downloads.places`). Default: the environment variable
            `PYRO_VAE_DATA`, else `data/`.
        size: height and width in pixels, (H, W) or one number for both. Images are cropped to
            the center in these proportions, then resized. By default they keep their size;
            images of several sizes in one folder become squares whose side is the median of
            their shorter sides.
        channels: 1 for gray, 3 for RGB. By default images keep their channels.
        skip_corrupt: leave out files that cannot be read, with a warning, instead of raising.
        divide: draw a test part of data that has none of its own. If False, its `train` and `test`
            are the same images, all of them in their order: for images that a trained model is
            given.
        test_fraction: the share of images, at least one, held out as the test part of data that
            has none of its own. Frames of one file stay in one part.
        seed: of the draw of that test part, and of the order of the images in a folder.
        stream: leave the images of a folder, or of an `.npy` file, in their files and read them
            batch by batch (see `pyro_vae.data.streams`). By default this is done for images that
            would take more than half of the memory of this machine.
        stretch: the values that become black and white, as (low, high) or "LOW:HIGH", or "auto"
            for the smallest and the largest value of all parts. By default values become levels
            by the rules of `pyro_vae.data.levels`.
        ground: what transparent images are put on, "white", "black" or "gray". By default white,
            or another on which more is to be seen. "keep" leaves the four channels of an array
            as they are.
        frames: "all" to make every frame of a stack or film an image, as by default, or "first".
        decisions: those of other data (`Dataset.decisions`), so that these data are treated like
            them; the options above override them.

    Raises:
        DataError: the name is unknown, the data cannot be found, downloaded or read, or it does
            not fit the options.

    >>> digits = load("digits")
    >>> digits.image_shape, len(digits.train), len(digits.test)
    ((1, 8, 8), 1617, 180)
    >>> load("digits", size=4, channels=3).image_shape
    (3, 4, 4)
    """
    options = LoadOptions(
        size=size,
        channels=channels,
        skip_corrupt=skip_corrupt,
        divide=divide,
        test_fraction=test_fraction,
        seed=seed,
        stream=stream,
        stretch=stretch,
        ground=ground,
        frames=frames,
        decisions=decisions,
    )
    for argument, value in (("name", name), ("data_dir", data_dir)):
        _check_path(argument, value)
    named = LOADERS.get(name) if isinstance(name, str) else None
    found = named(data_dir, options) if named else _load_path(name, options)
    if stream and not found.train.streamed:
        raise DataError(
            f"{name} is held in memory: only the images of a folder and those of an .npy file can "
            "be read batch by batch; leave out stream=True"
        )
    return resized(found, options)


def _check_path(argument: str, value: object) -> None:
    """Refuse what no file can be called."""
    if value is None and argument == "data_dir":
        return
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise DataError(f"{argument} must be a name or a path, not {value!r:.100}")
    if "\0" in os.fspath(value) or (argument == "name" and not os.fspath(value)):
        raise DataError(f"{argument} must be a name or a path, not {os.fspath(value)!r:.100}")


def _load_path(asked: str | Path, options: LoadOptions) -> Dataset:
    try:
        path = Path(asked).expanduser()
    except RuntimeError as error:
        raise DataError(f"{asked}: nobody of that name has a home folder here") from error
    try:
        return _load_existing(path, str(asked), options)
    except OSError as error:
        raise DataError(f"{error.filename or asked} cannot be read: {reason(error)}") from error


def _load_existing(path: Path, asked: str, options: LoadOptions) -> Dataset:
    if path.is_dir():
        cartoons = is_cartoon_folder(path)
        return load_cartoon_folder(path, options) if cartoons else load_folder(path, options)
    if not path.exists():
        raise DataError(_unknown(asked))
    if path.suffix in SUFFIXES:
        return load_arrays(path, options)
    if path.name.lower().endswith(IMAGE_SUFFIXES):
        return load_image_file(path, options)
    raise DataError(
        f"{path} is neither a folder of images nor one of {', '.join(SUFFIXES)}, nor an image "
        "file: give the folder that holds the images, an array file or an image file"
    )


def _unknown(asked: str) -> str:
    advice = suggestion(asked, names())
    return f"no data set is called {asked!r}, and there is no such path. {advice}"
