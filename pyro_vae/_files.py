"""Files that are never seen half-written, and that nothing but a file is taken for."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pyro_vae.errors import PyroVAEError

#: What file systems answer that cannot write a folder's entries on request.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
#: What file systems answer that give a file one name only.
_ONE_NAME = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class FileError(PyroVAEError, OSError):
    """A path cannot be read or written as a file; the message names it and the reason."""


@contextmanager
def open_regular(path: Path, *, within: Path | None = None) -> Iterator[BinaryIO]:
    """Open a regular file to read from: what could wait forever, such as a pipe, is refused.

    Args:
        path: the file.
        within: a folder that the file must lie in, links followed.

    Raises:
        FileNotFoundError: there is no such file.
        FileError: it is not a regular file, or lies outside the folder.
        OSError: it cannot be opened.
    """
    if within is not None:
        _require_within(path, within)
    # A pipe without a writer would wait in `open` itself.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileError(f"{path} is not a regular file.")
        yield file


def read_text(path: Path, *, largest: int = 64 << 20, within: Path | None = None) -> str:
    """Return the text of a UTF-8 file of at most `largest` bytes.

    Raises:
        FileNotFoundError: there is no such file.
        FileError: it is larger, not UTF-8, or not a regular file.
    """
    with open_regular(path, within=within) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise FileError(f"{path} is larger than {largest >> 10:,} KiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{path} is not text in UTF-8.") from None


@contextmanager
def whole_file(path: Path, *, within: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write bytes to; it takes its own name once it is complete and on the disk.

    A link is followed, and a file that is replaced passes its permissions on.

    Args:
        path: the file to write.
        within: a folder that the file must lie in, links followed.

    Raises:
        FileError: there is something else under that name, or it lies outside the folder.
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if within is not None:
        _require_within(path, within)
    path = Path(os.path.realpath(path))
    mode = _mode_of(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
        _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview, *, within: Path | None = None) -> None:
    """Write a file that is never seen half-written; see `whole_file`."""
    with whole_file(path, within=within) as file:
        file.write(content)


def write_text(path: Path, text: str, *, within: Path | None = None) -> None:
    """Write a text file, in UTF-8, that is never seen half-written; see `whole_file`."""
    write_bytes(path, text.encode(), within=within)


def write_json(path: Path, value: Any, *, within: Path | None = None) -> None:
    """Write plain values as JSON, never seen half-written.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n", within=within)


def keep_previous(path: Path, *, within: Path | None = None) -> None:
    """Keep a file, if there is one, under a second name, while a new one takes its place.

    Raises:
        FileError: it lies outside the folder `within`, links followed.
    """
    if within is not None:
        _require_within(path, within)
    aside = previous(path)
    partial = aside.with_name(f".{aside.name}.{os.getpid()}.partial")
    with suppress(FileNotFoundError):
        try:
            partial.unlink(missing_ok=True)
            os.link(path, partial, follow_symlinks=False)
            os.replace(partial, aside)
        except OSError as error:
            if error.errno not in _ONE_NAME:
                raise
            os.replace(path, aside)  # For a moment, nothing has the file's own name.
        finally:
            with suppress(OSError):  # Two names of one file stay two: `replace` then does nothing.
                partial.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Return the name under which the file before this one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def remove_partial(folder: Path) -> None:
    """Remove what programs that were killed left half-written in a folder, unless it is a link."""
    if folder.is_symlink():
        return
    for partial in folder.glob(".*.partial"):
        with suppress(OSError):
            partial.unlink()


def _mode_of(path: Path) -> int | None:
    """Return the permissions of a file that will be replaced; None where there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"{path} is not a regular file, and is not replaced by one.")
    return stat.S_IMODE(found.st_mode)


def _require_within(path: Path, folder: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise FileError(f"{path} is a link that leads out of {folder}.")


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk: without it, a new name may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
