"""Broken and full disks: each write of a training fails in turn, and nothing is lost."""

import errno
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pyro_vae import _files
from pyro_vae.training import Run

from .kills import named
from .trainings import (
    SHORT,
    Reference,
    References,
    partial_files,
    position,
    require,
    start,
)

#: An error, and whether it lasts: a disk that is full or read-only stays so.
ERRORS = ((errno.ENOSPC, True), (errno.EIO, False), (errno.EROFS, True))
#: What fails of `_files`, by the letter under which it is counted.
KINDS = {"o": "open", "w": "write", "f": "flush", "s": "fsync", "l": "link", "r": "rename"}


class Disk:
    """A disk that fails.

    Args:
        at: the operation that fails, counted from 0.
        number: the error's.
        lasting: whether all later ones fail, too.
        count_in: a file to write a letter to for each operation.
        kill: whether the process is killed instead.
    """

    def __init__(
        self,
        at: int = -1,
        number: int = errno.EIO,
        *,
        lasting: bool = False,
        count_in: Path | None = None,
        kill: bool = False,
    ) -> None:
        self.at, self.number, self.lasting, self.kill = at, number, lasting, kill
        self.count_in = None if count_in is None else count_in.open("w")
        self.done = 0

    def install(self) -> None:
        """Put this disk under the library, in this process."""
        _files.os = _System(self)  # type: ignore[assignment]
        _files.open = self.opened  # type: ignore[attr-defined]

    def meet(self, kind: str) -> None:
        """Count an operation, and fail if it is its turn."""
        if self.count_in:
            self.count_in.write(kind)
            self.count_in.flush()
        here = self.done
        self.done += 1
        if here == self.at or (self.lasting and here > self.at >= 0):
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(self.number, os.strerror(self.number))

    def opened(self, descriptor: int, mode: str) -> Any:
        """Open a descriptor; what is written to it may fail."""
        file = open(descriptor, mode)  # noqa: SIM115
        return _File(file, self) if "w" in mode else file


class _File:
    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: Any) -> int:
        self._disk.meet("w")
        return int(self._file.write(content))

    def flush(self) -> None:
        self._disk.meet("f")
        self._file.flush()


class _System:
    """The module `os`, of which what writes may fail."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_WRONLY:
            self._disk.meet("o")
        return os.open(path, flags, mode)

    def fsync(self, descriptor: int) -> None:
        self._disk.meet("s")
        os.fsync(descriptor)

    def link(self, *paths: Path, **options: Any) -> None:
        self._disk.meet("l")
        os.link(*paths, **options)

    def replace(self, *paths: Path) -> None:
        self._disk.meet("r")
        os.replace(*paths)


def operations(reference: Reference, folder: Path) -> str:
    """Return the operations of a training, a letter of `KINDS` each.

    Raises:
        Violation: the training fails.
    """
    log, found = folder.with_suffix(".log"), folder.with_suffix(".operations")
    training = start(reference.new(folder), log, before=lambda: Disk(count_in=found).install())
    require(training.wait() == 0, training.text())
    shutil.rmtree(folder)
    return found.read_text()


def failures(references: References, share: float, rng: random.Random) -> Iterator[Counter]:
    """Let each operation of a training fail with each error, or a share of them.

    Raises:
        Violation: naming the operation and the error.
    """
    reference = references[SHORT]
    kinds = operations(reference, references.folder / "counted")
    trials = [(at, *error) for at in range(len(kinds)) for error in ERRORS]
    if share < 1:
        trials = rng.sample(trials, max(1, round(share * len(trials))))
    for at, number, lasting in trials:
        folder = references.folder / "broken"
        with named(f"{KINDS[kinds[at]]} {at}, {errno.errorcode[number]}"):
            fail(reference, folder, Disk(at, number, lasting=lasting))
        shutil.rmtree(folder)
        yield Counter({"trainings": 1, KINDS[kinds[at]]: 1})


def fail(reference: Reference, folder: Path, disk: Disk) -> None:
    """Train on a disk that fails, and then to the end on a sound one.

    Raises:
        Violation: something is lost, left over or said wrongly.
    """
    log = folder.with_suffix(".log")
    training = start(reference.new(folder), log, before=disk.install)
    training.wait()
    check_end(training.code, training.text(), os.strerror(disk.number))
    finish(reference, folder, made=training.made)


def check_end(code: int | None, text: str, reason: str) -> None:
    """Check that a program ended in one line.

    Raises:
        Violation: it did not.
    """
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    require(code == 1, f"exit code {code}:\n{text[-3000:]}")
    require(len(errors) == 1 and "Traceback" not in text, f"not one line:\n{text[-3000:]}")
    require(reason in errors[0], f"the reason, {reason}, is missing: {errors[0]}")


def finish(reference: Reference, folder: Path, *, made: int, interval: int = 3) -> None:
    """Continue a training that failed, on a sound disk, and compare what it reaches.

    Args:
        reference: the training, undisturbed.
        folder: where it failed.
        made: number of steps that it had made.
        interval: the most that may be lost of them: the checkpoint that failed.

    Raises:
        Violation: its last good state is lost, or it reaches something else.
    """
    left = partial_files(folder)
    require(not left, f"half-written files are left: {', '.join(left)}")
    run, log = Run(folder), folder.with_suffix(".log")
    if run.exists():
        lost = made - position(run)
        require(0 <= lost <= interval, f"{lost} steps are lost")
    else:
        require(made <= interval, f"{made} steps are lost, and there is no checkpoint")
        require(not folder.exists(), "a folder without a checkpoint is left")
    again = reference.resumed(folder) if run.exists() else reference.new(folder)
    training = start(again, log)
    require(training.wait() == 0, f"it cannot be continued:\n{training.text()[-3000:]}")
    reference.check(folder)


def full(references: References, count: int) -> Iterator[Counter]:
    """Train on real file systems in memory, of as many sizes, that are too small.

    Nothing is yielded where this process may not mount one.

    Raises:
        Violation: naming the size.
    """
    reference = references[SHORT]
    needed = sum(path.stat().st_blocks * 512 for path in references.folder_of(SHORT).rglob("*"))
    place = references.folder / "small"
    place.mkdir(exist_ok=True)
    for trial in range(count):
        size = 4096 * (2 + int((needed / 4096) * (trial + 0.5) / count))
        mount = partial(_mount, place)
        if not mount(f"size={size}"):
            return
        try:
            with named(f"a file system of {size} bytes"):
                _fill(reference, place / "run", references.folder / "full.log", mount)
        finally:
            subprocess.run(["umount", place], check=True)
        yield Counter(trainings=1)


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _fill(reference: Reference, folder: Path, log: Path, mount: Any) -> None:
    training = start(reference.new(folder), log)
    if training.wait() != 0:
        check_end(training.code, training.text(), os.strerror(errno.ENOSPC))
        require(mount("remount,size=64m"), "the file system does not grow")
        finish(reference, folder, made=training.made)
    reference.check(folder)
