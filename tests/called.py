"""Programs called within the process of the tests, as from a shell: a new Python imports for long.

What concerns the process itself, as signals or a locale, is tested in processes of its own.
"""

import io
import runpy
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pyro_vae

PACKAGE = Path(pyro_vae.__file__).parent


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def called(folder: Path, *command: object) -> Done:
    """Call a program in a folder: `python -m pyro_vae ...`, `python SCRIPT ...` or `SCRIPT ...`."""
    first, *rest = map(str, command)
    given = rest if Path(first).name.startswith("python") else [first, *rest]
    as_module = given[:2] == ["-m", "pyro_vae"]
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with left_as_found(folder), chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            if as_module:
                sys.argv = [str(PACKAGE / "__main__.py"), *given[2:]]
                runpy.run_module("pyro_vae", run_name="__main__", alter_sys=False)
            else:
                sys.argv = given
                sys.path.insert(0, str(Path(given[0]).parent))
                runpy.run_path(given[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
    if isinstance(code, str):  # As the interpreter does.
        return Done(1, out.getvalue(), f"{err.getvalue()}{code}\n")
    return Done(code, out.getvalue(), err.getvalue())


@contextmanager
def left_as_found(folder: Path) -> Iterator[None]:
    """Forget what a program says of itself, where it looks for modules, and those of the folder."""
    argv, path = sys.argv, sys.path.copy()
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]
