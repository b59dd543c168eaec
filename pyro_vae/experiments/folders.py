"""Which folder a run goes to, and which one is resumed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

from pyro_vae._files import write_text
from pyro_vae.experiments.configuration import Configuration
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.processes.group import first_only
from pyro_vae.training import Run
from pyro_vae.training.lock import locked
from pyro_vae.training.run_folder import kept_if_begun

#: A file of a start that has not ended: if it is killed, the next start may clear the folder.
STARTING = ".starting"
#: Where the folders of runs are, unless another is given.
RUNS = Path("runs")


def folder_for(configuration: Configuration) -> Path:
    """Return the folder of a new run: the one given, or the first free one of runs/NAME, ...

    Raises:
        ConfigurationError: the folder given holds anything already.
    """
    out = configuration.settings.out
    if out is None:
        return next(folder for folder in _numbered(configuration) if _claim(folder))
    require_free(Path(out))
    return Path(out)


def require_free(folder: Path) -> None:
    """Refuse a folder that holds anything: a new training overwrites nothing.

    Raises:
        ConfigurationError: there is a run in it, or something else.
    """
    if Run(folder).exists():
        raise ConfigurationError(
            f"{folder} already holds a run: continue it (--resume), or choose another --out."
        )
    if (folder / STARTING).is_file() and not Run(folder).history.exists():
        return  # A start that was killed before it kept anything.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"{folder} is not an empty folder, and nothing in it is overwritten: "
            "choose another --out."
        )


@contextmanager
def claimed(run: Run, *, resume: bool) -> Iterator[None]:
    """Hold a run folder for one training; leave nothing half-made where its start fails.

    Raises:
        ConfigurationError: a new run finds the folder in use.
        TrainingError: another training holds it.
    """
    with first_only(lambda: _claimed(run, resume=resume)):
        yield


@contextmanager
def _claimed(run: Run, *, resume: bool) -> Iterator[None]:
    with locked(run.folder):
        if resume:
            yield
            return
        require_free(run.folder)
        for left in run.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        with kept_if_begun(run):
            write_text(run.folder / STARTING, "A training is starting here.\n")
            try:
                yield
            finally:
                (run.folder / STARTING).unlink(missing_ok=True)


def folder_to_resume(configuration: Configuration, *, named: bool) -> Path:
    """Return the folder of the run to resume.

    This is the one given, the last of runs/NAME, runs/NAME-2, ... of a recipe that was `named`, or
    else the run in runs/ that was trained last.
    """
    if configuration.settings.out is not None:
        return Path(configuration.settings.out)
    first = RUNS / configuration.recipe.name
    if named:
        numbered = takewhile(Path.exists, _numbered(configuration))
        return next((each for each in reversed(list(numbered)) if Run(each).exists()), first)
    runs = [Run(folder) for folder in sorted(RUNS.glob("*"))]
    return max((run for run in runs if run.exists()), key=Run.trained, default=Run(first)).folder


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
    yield RUNS / name
    for number in count(2):
        yield RUNS / f"{name}-{number}"
