"""Files out of a Debian package that is downloaded but not installed, with or without root."""

import shutil
import subprocess
from pathlib import Path

from pyro_vae.data.messages import DataError, NotFound, say

_TIMEOUTS = (
    "-oAcquire::http::Timeout=15",  # seconds
    "-oAcquire::https::Timeout=15",
    "-oAcquire::Retries=0",
)
_TIME_LIMIT = 1800.0  # seconds for one command, including a download over a slow connection


def unpack(package: str, folder: Path) -> Path:
    """Download `package` and unpack it in `folder`; return the root of the unpacked tree.

    Raises:
        NotFound: this machine has no apt.
        DataError: a command failed; the message names it and quotes what it printed.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotFound(f"{program} is not on this machine")
    say(f"downloading Debian's package {package}, without installing it")
    _download(package, folder)
    root = folder / "unpacked"
    archive = next(folder.glob("*.deb"), None)
    if archive is None:
        raise DataError(f"apt-get downloaded no package {package}")
    _run(folder, "dpkg-deb", "-x", str(archive), str(root))
    return root


def _download(package: str, folder: Path) -> None:
    try:
        _run(folder, "apt-get", *_TIMEOUTS, "download", package)
    except DataError:
        say("apt's package lists do not offer it: fetching separate lists (about 10 MB)")
        private = _private_apt(folder)
        _run(folder, "apt-get", *private, "update")
        _run(folder, "apt-get", *private, "download", package)


def _private_apt(folder: Path) -> tuple[str, ...]:
    """Return options that keep apt's lists and cache in `folder`, where any user may write."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    return (
        *_TIMEOUTS,
        f"-oDir::State::Lists={lists}",
        f"-oDir::Cache={cache}",
        "-oAcquire::Languages=none",  # no translations of package descriptions
        "-oAPT::Sandbox::User=root",  # root's apt would download as a user who cannot write here
    )


def _run(folder: Path, *command: str) -> None:
    action = " ".join(word for word in command if not word.startswith("-o"))
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"`{action}` took more than {_TIME_LIMIT:.0f} s") from error
    if done.returncode:
        raise DataError(f"`{action}` failed: {' '.join(done.stderr.split()[-60:])}")
