"""What each command prints for `--help`, from the parsers of the programs themselves."""

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from pyro_vae._program import PROGRAM
from pyro_vae.commands import COMMANDS, usage

#: Characters in a line.
WIDTH = 88


@contextmanager
def called_as(name: str) -> Iterator[None]:
    """Have programs say that they were called by a name, and print lines of `WIDTH`."""
    arguments, columns = sys.argv, os.environ.get("COLUMNS")
    sys.argv, os.environ["COLUMNS"] = [name], str(WIDTH)
    try:
        yield
    finally:
        sys.argv = arguments
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns


def help_of(command: str) -> str:
    """Return what a command prints for `--help`."""
    program = importlib.import_module(f"pyro_vae.commands.{command}")
    with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
        program.main(["--help"])
    return out.getvalue().rstrip()


def page() -> str:
    """Return the list of all commands and a section for each, in Markdown."""
    with called_as(PROGRAM):
        sections = [f"```text\n{usage()}\n```"]
        for command in COMMANDS:
            title = f"## `{PROGRAM} {command}`"
            sections.append(f"{title}\n\n```text\n{help_of(command)}\n```")
    return "\n\n".join(sections) + "\n"
