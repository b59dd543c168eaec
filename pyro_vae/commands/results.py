"""`pyro-vae results`: the numbers of many runs in one table, in Markdown."""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jsonargparse import ArgumentParser

from pyro_vae._files import write_text
from pyro_vae._program import program
from pyro_vae._progress import hidden, tqdm
from pyro_vae._text import escaped
from pyro_vae.experiments.options import OPTIONS
from pyro_vae.experiments.results import collect, markdown
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.training.run_folder import Run

DESCRIPTION = """Put the numbers of many runs into one table, in Markdown.

    {program} runs/*
    {program} runs/* --out table.md

Runs that differ in their seed alone share a row. They must be evaluated (`train` does so, and
`evaluate` with `--samples`). A run that cannot be read is left out, and said so.
"""


def main(arguments: Sequence[str]) -> None:
    """Collect the numbers of the runs that the command line names, and print them."""
    called = program("results")
    parser = ArgumentParser(
        prog=called,
        usage="%(prog)s RUN [RUN ...] [options]",
        description=DESCRIPTION.format(program=called),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", help="folders of trained runs")
    parser.add_argument("--out", help="file to write the table to")
    parser.add_argument("--trust", action="store_true", help=OPTIONS["trust"].help)
    settings = parser.parse_args(list(arguments))
    folders = [folder for folder in settings.runs if Run(Path(folder)).exists()]
    for folder in settings.runs:
        if folder not in folders:
            say_left_out(folder, "it holds no run.")
    bar = tqdm(folders, "runs", leave=False, disable=hidden(True))
    rows = collect(bar, trust=settings.trust, left_out=say_left_out)
    if not rows:
        raise ConfigurationError("There is no table: none of these folders holds numbers of a run.")
    text = f"{datetime.now(UTC):%Y-%m-%d}\n\n{markdown(rows)}\n"
    print(text)
    if settings.out:
        write_text(Path(settings.out), text)


def say_left_out(folder: str | Path, reason: object) -> None:
    """Say on stderr, in one line, why a run is not in the table."""
    line = " ".join(f"{folder} is left out: {reason}".split())
    tqdm.write(escaped(line, keep="\n\t"), file=sys.stderr)
