"""The programs: `pyro-vae train`, `evaluate`, `analyze`, `encode` and all others.

They alone bring experiments and pictures together. `main` is what `pyro-vae` and
`python -m pyro_vae` run; the scripts of a checkout call `run`.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from pyro_vae._program import program
from pyro_vae._spelling import suggestion
from pyro_vae.commands.console import fail, plain_errors, show_messages

COMMANDS = {
    "train": "train a model on images, evaluate it and draw what it learned",
    "evaluate": "print a run's ELBO, distortion and rate, and log p(x)",
    "analyze": "draw a run's pictures, its report and its explorer, or compare runs",
    "results": "put the numbers of many runs into one table",
    "encode": "write a table of the codes of a run's images, or of other images",
    "score": "write a table of how well each image is explained, the strangest first",
    "reconstruct": "write the reconstruction of each image as a PNG file",
    "sample": "write new images as PNG files",
    "export": "write encoder and decoder as programs that need no Pyro, and as ONNX",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that is named first; without one, list them all."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        from pyro_vae import __version__

        print(__version__)
    elif name not in COMMANDS:
        fail(f"There is no command {name!r}. {suggestion(name, COMMANDS)}", 2)
    else:
        run(name, rest)


def run(name: str, arguments: Sequence[str]) -> None:
    """Run a command; where the cause of an error is known, end with a sentence."""
    show_messages()
    # Where a user's own parts are found: --prior mine.MyPrior.
    if (name == "train" or "--trust" in arguments) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    with plain_errors():
        importlib.import_module(f"pyro_vae.commands.{name}").main(list(arguments))


def usage() -> str:
    """Return the commands, a line each."""
    called = program("COMMAND")
    lines = [f"  {name:<13}{what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {called} [options]",
            "",
            "Variational autoencoders, written as Pyro programs.",
            "",
            *lines,
            "",
            f"`{called} --help` lists the options of a command.",
        ]
    )
