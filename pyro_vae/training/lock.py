"""One training at a time in a folder: a lock that the system releases if the process dies."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyro_vae.training.failures import TrainingError

#: The descriptors that hold the locks, by folder and thread.
_held: dict[tuple[str, int], int] = {}


def _let_go() -> None:
    """Close what a child process was given: it would hold the locks when this one has died."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder within a block; reading it is always allowed.

    The lock lies on the folder itself, so that nothing is left of it. A file system without locks
    is used without one.

    Raises:
        TrainingError: another training writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = os.path.realpath(folder), threading.get_ident()
    if name in _held:  # By a block around this one.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"Another training is writing into {folder}: wait for it, or choose another folder."
            ) from None
        except OSError:  # Some network file systems have no locks of folders.
            pass
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise TrainingError(
                f"{folder} was removed by a training whose start failed: start this one again."
            )
        _held[name] = descriptor
        try:
            yield
        finally:
            _held.pop(name, None)
    finally:
        with suppress(OSError):  # In a child, it is closed already.
            os.close(descriptor)
