"""How the programs are called, so that what they say to do next works where the user is."""

import os
import shlex
import shutil
import sys
from pathlib import Path

PROGRAM = "pyro-vae"
#: The scripts of a checkout, by command.
SCRIPTS = {
    "train": "train_svi.py",
    "evaluate": "evaluate.py",
    "analyze": "analyze.py",
    "results": "results.py",
    "encode": "encode.py",
    "score": "score.py",
    "reconstruct": "reconstruct.py",
    "sample": "sample.py",
    "export": "export.py",
}


def program(command: str) -> str:
    """Return how to call a command ("train", "evaluate", ...) from where this program was called.

    The same way as this program was called: the installed `pyro-vae`, a script of a checkout, or
    else the Python that is running.
    """
    called = Path(sys.argv[0])
    if called.name == PROGRAM:
        return f"{PROGRAM if _on_path(called) else shlex.quote(str(called))} {command}"
    if called.name in SCRIPTS.values():
        return f"{python()} {shlex.quote(str(called.with_name(SCRIPTS[command])))}"
    return f"{python()} -m pyro_vae {command}"


def command_line() -> str:
    """Return the command that started this program, as one types it again."""
    called, *arguments = sys.argv
    if Path(called).name == "__main__.py":
        return f"{python()} -m pyro_vae {shlex.join(arguments)}"
    return shlex.join([called, *arguments])


def repeated_with(option: str) -> str | None:
    """Return the command that started this program with an option added; None in other programs."""
    called = Path(sys.argv[0])
    as_module = (called.parent.name, called.name) == ("pyro_vae", "__main__.py")
    ours = as_module or called.name in (PROGRAM, *SCRIPTS.values())
    return f"{command_line()} {option}" if ours else None


def python() -> str:
    """Return how to call the Python that is running."""
    found = shutil.which("python")
    same = found is not None and os.path.realpath(found) == os.path.realpath(sys.executable)
    # A virtual environment's Python is a link: only its own path finds what is installed in it.
    if same and Path(found or "").parent == Path(sys.executable).parent:
        return "python"
    return shlex.quote(sys.executable)


def _on_path(called: Path) -> bool:
    found = shutil.which(PROGRAM)
    return found is not None and Path(found).resolve() == called.resolve()
