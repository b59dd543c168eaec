"""The places where a data set may be: folders that are searched in turn, then downloads.

The data folder is the caller's `data_dir`, else the environment's `PYRO_VAE_DATA`, else `data/`.
Downloads are kept in it only if it belongs to pyro_vae: if it is `data/` itself, is new or empty,
or has the mark that pyro_vae leaves in a folder when it first uses it. Nothing is ever written to
any other folder; downloads then go to `data/`. Existing files are never changed or deleted.
"""

# Pooch is not used: torchvision and apt already download their own files and verify them.

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from pyro_vae._files import write_text
from pyro_vae.data.messages import DataError, NotFound, one_line, reason, say, warn

T = TypeVar("T")

DEFAULT_FOLDER = Path("data")
MARK = ".pyro_vae"
MARK_TEXT = "pyro_vae keeps its downloads in this folder; see pyro_vae/data/downloads/places.py\n"
_PARTIAL = ".fetching-"
_ABANDONED = 86_400.0  # seconds after which a partial download belongs to a program that has ended
TIMEOUT = 15.0  # seconds without a byte after which a download is given up


@dataclass(frozen=True)
class Place(Generic[T]):
    """A place where a data set may be; `read` returns its content, or raises the reason."""

    name: str
    read: Callable[[], T]


def first_that_works(dataset: str, places: Iterable[Place[T]], remedy: str) -> T:
    """Return the content of the first place that can be read; warn of damage in those before it.

    Raises:
        DataError: no place can be read; the message lists each with its reason, then the remedy.
    """
    tried = []
    for place in places:
        try:
            return place.read()
        except NotFound as error:
            reason = one_line(error)
        except DataError as error:
            reason = one_line(error)
            warn(f"{dataset}: skipping {place.name}: {reason}")
        except Exception as error:  # whatever a download or a disk raises, the next place is tried
            reason = one_line(error)
            say(f"{dataset}: {place.name} failed: {reason}")
        tried.append(f"  - {place.name}: {reason}")
    raise DataError(
        f"{dataset} could not be loaded. Tried, in this order:\n"
        + "\n".join(tried)
        + f"\nWhat to do: {remedy}"
    )


def data_folder(data_dir: str | Path | None) -> Path:
    """Return the folder to search first; it need not exist.

    Raises:
        DataError: it is a file, or this user may not read it.
    """
    asked = data_dir or os.environ.get("PYRO_VAE_DATA") or DEFAULT_FOLDER
    try:
        folder = Path(asked).expanduser()
        there = folder.exists()
    except OSError as error:
        raise DataError(f"the data folder {asked} cannot be read: {reason(error)}") from error
    except RuntimeError as error:
        raise DataError(
            f"the data folder {asked}: nobody of that name has a home folder here"
        ) from error
    if there and not folder.is_dir():
        raise DataError(f"the data folder {folder} is a file: give a folder as data_dir")
    if there and not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(
            f"this user may not read the data folder {folder}: give another folder as data_dir"
        )
    return folder


def download_folder(folder: Path) -> Path:
    """Return the folder for downloads: the data folder if it belongs to pyro_vae, else `data/`."""
    return folder if _is_ours(folder) else DEFAULT_FOLDER


def search_folders(folder: Path) -> list[Path]:
    """Return the folders to search: the data folder, and the one for downloads if it differs."""
    return list(dict.fromkeys([folder, download_folder(folder)]))


def _is_ours(folder: Path) -> bool:
    if not folder.exists() or folder.absolute() == DEFAULT_FOLDER.absolute():
        return True
    marked = (folder / MARK).exists() or not any(folder.iterdir())
    return marked and os.access(folder, os.W_OK)


def fetch(asked: Path, name: str, fill: Callable[[Path], Path], read: Callable[[Path], T]) -> T:
    """Download a folder, check it by reading it, then give it its final name in one step.

    Nothing half-written is left under the final name, whatever interrupts this.

    Args:
        asked: the data folder; if it does not belong to pyro_vae, downloads go to `data/`.
        name: final name of the folder.
        fill: downloads into the temporary folder it is given, and returns the folder to keep.
        read: reads and verifies a downloaded folder.
    """
    final = download_folder(asked) / name
    if final.parent != asked:
        say(
            f"{asked} does not belong to pyro_vae (it has no {MARK}), so nothing is written to it: "
            f"downloads go to {final.parent}"
        )
    _make_ours(final.parent)
    _remove_abandoned(final.parent)
    with TemporaryDirectory(prefix=_PARTIAL, dir=final.parent) as temporary:
        fetched = fill(Path(temporary).resolve())  # absolute, for programs that run elsewhere
        content = read(fetched)
        if final.exists():
            with suppress(DataError):
                return read(final)  # another process was faster
            _set_aside(final, fetched)
        _sync(fetched)
        os.replace(fetched, final)
    _sync_entries(final.parent)
    say(f"kept in {final}")
    return content


def _make_ours(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        write_text(folder / MARK, MARK_TEXT)


def _remove_abandoned(folder: Path) -> None:
    """Remove partial downloads of programs that were killed."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                shutil.rmtree(partial, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Write the files of a folder to the disk, before they take the place of others."""
    for path in folder.rglob("*"):
        if path.is_file():
            _sync_entries(path)
    _sync_entries(folder)


def _sync_entries(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Some file systems cannot.
            raise
    finally:
        os.close(descriptor)


def _set_aside(damaged: Path, fetched: Path) -> None:
    """Rename a damaged copy, if it holds nothing else, so that a good one can take its name."""
    expected = {path.name.removesuffix(".gz") for path in fetched.iterdir()}
    for path in damaged.iterdir():
        if path.name.removesuffix(".gz") not in expected:
            raise DataError(
                f"{damaged} also holds other files, such as {path.name}, so the download is not "
                "put there: rename that folder, or give another data_dir"
            )
    number = 1
    while (aside := damaged.with_name(f"{damaged.name}.damaged-{number}")).exists():
        number += 1
    damaged.rename(aside)
    say(f"the damaged copy is now {aside}")


@contextmanager
def socket_timeout(seconds: float = TIMEOUT) -> Iterator[None]:
    """Keep connections of a library that sets no time limit from hanging forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
