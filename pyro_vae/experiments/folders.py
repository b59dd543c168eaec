"""Which folder a run goes to, and which one is resumed."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from pyro_vae.experiments.configuration import Configuration, ConfigurationError
from pyro_vae.training import Run


def folder_for(configuration: Configuration) -> Path:
    """Return the folder of a new run: the one given, or the first free one of runs/NAME, ...

    Raises:
        ConfigurationError: the folder given already holds a run.
    """
    out = configuration.settings.out
    if out is None:
        return next(folder for folder in _numbered(configuration) if _claim(folder))
    if Run(Path(out)).exists():
        raise ConfigurationError(
            f"{out} already holds a run: continue it (--resume), or choose another --out."
        )
    return Path(out)


def folder_to_resume(configuration: Configuration) -> Path:
    """Return the folder of the run to resume: the one given, or the last of runs/NAME, ..."""
    if configuration.settings.out is not None:
        return Path(configuration.settings.out)
    latest = None
    for folder in _numbered(configuration):
        if not folder.exists():
            break
        if Run(folder).exists():
            latest = folder
    return latest or next(_numbered(configuration))


def _claim(folder: Path) -> bool:
    """Make a folder and return True, or return False if another training already has it."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _numbered(configuration: Configuration) -> Iterator[Path]:
    """Yield runs/NAME, runs/NAME-2, runs/NAME-3, ..."""
    name = configuration.recipe.name
    yield Path("runs") / name
    for number in count(2):
        yield Path("runs") / f"{name}-{number}"
