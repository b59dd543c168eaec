"""Where the bytes of a data set may be: places to look into, one after the other, and downloads.

The data folder is the caller's `data_dir`, else the environment's `PYRO_VAE_DATA`, else `data/`.
It is written to only if it is ours: it is `data/` itself, or new, or empty, or has the mark that we
leave in a folder when we first use it. Into any other folder nothing is ever written; downloads
then go to `data/`. Files that are already there are never changed or deleted.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from pyro_vae.data.messages import DataError, NotThere, one_line, say, warn

T = TypeVar("T")

DEFAULT_FOLDER = Path("data")
MARK = ".pyro_vae"
MARK_TEXT = "pyro_vae keeps its downloads in this folder; see pyro_vae/data/sources.py\n"
SILENCE = 15.0  # seconds without a byte after which a download is given up


@dataclass(frozen=True)
class Place(Generic[T]):
    """Somewhere the data may come from. `read` raises what speaks against it."""

    name: str
    read: Callable[[], T]


def first_that_works(dataset: str, places: Iterable[Place[T]], remedy: str) -> T:
    """What the first working place yields. Damage is warned about, and the next place tried.

    Raises:
        DataError: none works: lists every place with its reason, then the remedy.
    """
    tried = []
    for place in places:
        try:
            return place.read()
        except NotThere as error:
            reason = one_line(error)
        except DataError as error:
            reason = one_line(error)
            warn(f"{dataset}: passing over {place.name}: {reason}")
        except Exception as error:  # whatever a downloader or a disk raises, the next is tried
            reason = one_line(error)
            say(f"{dataset}: {place.name} failed: {reason}")
        tried.append(f"  - {place.name}: {reason}")
    raise DataError(
        f"{dataset} could not be loaded. Tried, in this order:\n"
        + "\n".join(tried)
        + f"\nWhat to do: {remedy}"
    )


def data_folder(data_dir: str | Path | None) -> Path:
    """The folder to look into first; it need not exist.

    Raises:
        DataError: it is a file, or may not be read.
    """
    folder = Path(data_dir or os.environ.get("PYRO_VAE_DATA") or DEFAULT_FOLDER).expanduser()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the data folder {folder} is a file: give a folder as data_dir")
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"the data folder {folder} may not be read by this user: give another")
    return folder


def download_folder(folder: Path) -> Path:
    """The folder that downloads go to: the data folder if it is ours, else `data/`."""
    return folder if _is_ours(folder) else DEFAULT_FOLDER


def search_folders(folder: Path) -> list[Path]:
    """The data folder, and where its downloads go if that is elsewhere."""
    return list(dict.fromkeys([folder, download_folder(folder)]))


def _is_ours(folder: Path) -> bool:
    if not folder.exists() or folder.absolute() == DEFAULT_FOLDER.absolute():
        return True
    marked = (folder / MARK).exists() or not any(folder.iterdir())
    return marked and os.access(folder, os.W_OK)


def fetch(asked: Path, name: str, fill: Callable[[Path], Path], read: Callable[[Path], T]) -> T:
    """Download a folder, check it by reading it, then give it its final name in one step.

    That is `name` in the data folder `asked`, or in `data/` if `asked` is not ours. `fill`
    downloads into the temporary folder it is given, which lies beside that, and returns the folder
    to keep. Whatever interrupts this, nothing half-written is left under the final name.
    """
    final = download_folder(asked) / name
    if final.parent != asked:
        say(f"{asked} is not ours to write to (it has no {MARK}): downloads go to {final.parent}")
    _make_ours(final.parent)
    with TemporaryDirectory(prefix=".fetching-", dir=final.parent) as temporary:
        fetched = fill(Path(temporary).resolve())  # for programs that run in other folders
        content = read(fetched)
        if final.exists():
            with suppress(DataError):
                return read(final)  # another process was faster
            _set_aside(final, fetched)
        os.replace(fetched, final)
    say(f"kept in {final}")
    return content


def _make_ours(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        (folder / MARK).write_text(MARK_TEXT)


def _set_aside(damaged: Path, fetched: Path) -> None:
    """Rename a damaged copy, if it is no more than that, so that a good one can take its name."""
    expected = {path.name.removesuffix(".gz") for path in fetched.iterdir()}
    for path in damaged.iterdir():
        if path.name.removesuffix(".gz") not in expected:
            raise DataError(
                f"{damaged} holds other files too, such as {path.name}, so the download is not "
                "put there: rename that folder, or give another data_dir"
            )
    number = 1
    while (aside := damaged.with_name(f"{damaged.name}.damaged-{number}")).exists():
        number += 1
    damaged.rename(aside)
    say(f"the damaged copy is now {aside}")


@contextmanager
def socket_timeout(seconds: float = SILENCE) -> Iterator[None]:
    """Let no connection of a library that sets no time limit of its own hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
