"""Files are written whole or not at all, and nothing but a file is read or replaced."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyro_vae import _files
from pyro_vae._files import FileError, open_regular, read_text, write_text


class Failing:
    """A file whose named method fails like a full or broken disk."""

    def __init__(self, file, method: str, number: int) -> None:
        self.file, self.method, self.number = file, method, number

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        if name == self.method:
            return lambda *_: fail(self.number)
        return getattr(self.file, name)


def fail(number: int):
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "flush", "fsync", "replace"])
def test_whatever_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call, number):
    path = tmp_path / "kept.txt"
    write_text(path, "before")
    if call in ("write", "flush"):

        def opened(descriptor, mode):
            return Failing(os.fdopen(descriptor, mode), call, number)

        monkeypatch.setattr(_files, "open", opened, raising=False)
    else:
        monkeypatch.setattr(os, call, lambda *_, **__: fail(number))
    with pytest.raises(OSError) as raised:
        write_text(path, "after")
    monkeypatch.undo()
    assert raised.value.errno == number
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    text = "q(z|x), \u2212ELBO, \u03b2"
    code = "from pathlib import Path; from pyro_vae._files import *; "
    code += f"write_text(Path({str(tmp_path / 'x')!r}), {ascii(text)})"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert read_text(tmp_path / "x") == text


def test_a_link_that_is_named_is_followed_and_permissions_are_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    write_text(target, "before")
    target.chmod(0o600)
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink() and target.read_text() == "after"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_out_of_a_folder_is_refused(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "run"
    folder.mkdir()
    outside.write_text("mine")
    (folder / "history.json").symlink_to(outside)
    (folder / "parts").symlink_to(tmp_path)
    for path in (folder / "history.json", folder / "parts" / "outside"):
        with pytest.raises(FileError, match="leads out of"):
            write_text(path, "theirs", within=folder)
        with pytest.raises(FileError, match="leads out of"):
            read_text(path, within=folder)
    assert outside.read_text() == "mine"


def special(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    return {"pipe": folder / "pipe", "device": Path("/dev/null"), "folder": folder}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_not_a_file_is_neither_read_nor_replaced(tmp_path, kind):
    """Saving onto /dev/null once replaced it, and a pipe made reading wait forever."""
    path = special(tmp_path)[kind]
    before = path.lstat()
    with pytest.raises(OSError, match="regular file|directory"):
        write_text(path, "text")
    with pytest.raises(OSError, match="regular file|directory"), open_regular(path):
        pass
    assert path.lstat().st_ino == before.st_ino and path.lstat().st_mode == before.st_mode


def test_text_is_bounded_and_utf_8(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="not text in UTF-8"):
        read_text(tmp_path / "x")
    with pytest.raises(FileError, match="larger than"):
        read_text(tmp_path / "x", largest=1)


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError):
        _files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
