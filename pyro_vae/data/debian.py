"""Files out of a Debian package, without installing it: for everyone with apt, root or not."""

import shutil
import subprocess
from pathlib import Path

from pyro_vae.data.messages import DataError, NotThere, say

_PATIENCE = (
    "-oAcquire::http::Timeout=15",  # seconds
    "-oAcquire::https::Timeout=15",
    "-oAcquire::Retries=0",
)
_TIME_LIMIT = 1800.0  # seconds for one command, a download over a slow line included


def unpack(package: str, folder: Path) -> Path:
    """Download `package` and unpack it below `folder`; returns the root of the unpacked tree.

    Raises:
        NotThere: this machine has no apt.
        DataError: a command failed; says which, and what it printed.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotThere(f"{program} is not on this machine")
    say(f"downloading Debian's package {package}, not installing it")
    _download(package, folder)
    root = folder / "unpacked"
    _run(folder, "dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(root))
    return root


def _download(package: str, folder: Path) -> None:
    try:
        _run(folder, "apt-get", *_PATIENCE, "download", package)
    except DataError:
        say("apt's package lists do not serve: fetching lists of our own (some 10 MB)")
        private = _private_apt(folder)
        _run(folder, "apt-get", *private, "update")
        _run(folder, "apt-get", *private, "download", package)


def _private_apt(folder: Path) -> tuple[str, ...]:
    """Options that keep apt's lists and cache in `folder`, where an ordinary user may write."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    return (
        *_PATIENCE,
        f"-oDir::State::Lists={lists}",
        f"-oDir::Cache={cache}",
        "-oAcquire::Languages=none",  # no translations of package descriptions
        "-oAPT::Sandbox::User=root",  # root's apt else downloads as a user who cannot write here
    )


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIME_LIMIT,
    )
    if done.returncode:
        action = " ".join(word for word in command if not word.startswith("-o"))
        raise DataError(f"`{action}` failed: {' '.join(done.stderr.split()[-60:])}")
