"""Put the numbers of many runs into one table, in Markdown.

python scripts/results.py runs/*
python scripts/results.py runs/* --out table.md

Runs that differ in their seed alone share a row. They must be evaluated (`train_svi.py` does, and
`evaluate.py` with `--samples`).
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jsonargparse import ArgumentParser
from tqdm import tqdm

from pyro_vae.console import plain_errors
from pyro_vae.results import collect, markdown
from pyro_vae.runs import Run, write_text


def main(arguments: Sequence[str]) -> None:
    """Collect, print and keep, as the command line says."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="folders of trained runs")
    parser.add_argument("--out", help="a file to write the table to")
    settings = parser.parse_args(list(arguments))
    folders = [folder for folder in settings.runs if Run(Path(folder)).exists()]
    for folder in settings.runs:
        if folder not in folders:
            print(f"{folder} is left out: it holds no run", file=sys.stderr)
    rows = collect(tqdm(folders, "runs", leave=False))
    text = f"{datetime.now(UTC):%Y-%m-%d}\n\n{markdown(rows)}\n"
    print(text)
    if settings.out:
        write_text(Path(settings.out), text)


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
