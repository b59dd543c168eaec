"""Run faults: `make faults`, or parts of it, such as `make faults ARGS="--only kills --count 0.1"`.

Writes `docs/results/faults.md`; parts that are not run keep their rows. The exit code is 1 if
anything is not as it must be.
"""

import argparse
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from . import trainings
from .disks import failures, full
from .flips import flips
from .fuzz import fuzz
from .kills import kills
from .scenarios import SCENARIOS, run_all
from .trainings import References, Violation

TABLE = Path(__file__).parents[2] / "docs" / "results" / "faults.md"
TITLES = ("fault", "tried", "violations", "minutes", "date", "machine", "command")


@dataclass(frozen=True)
class Part:
    """A part of the suite.

    Attributes:
        what: the fault, for the table.
        count: how many are tried.
        counted: what of the counters is the number tried.
        run: tries them.
    """

    what: str
    count: int
    counted: tuple[str, ...]
    run: Callable[[References, int, int], Iterator[Counter]]


def _kills(number: int, references: References, count: int, seed: int) -> Iterator[Counter]:
    return kills(references, number, count, random.Random(seed))


PARTS = {
    "scenarios": Part(
        "one chosen moment each: two trainings at once, a kill between two renames, ...",
        len(SCENARIOS),
        ("scenarios",),
        lambda references, count, seed: run_all(references, count),
    ),
    "kills": Part(
        "`kill -9` at a random moment",
        200,
        ("signals",),
        partial(_kills, signal.SIGKILL),
    ),
    "terms": Part(
        "SIGTERM at a random moment",
        50,
        ("signals",),
        partial(_kills, signal.SIGTERM),
    ),
    "disk": Part(
        "an open, write, flush, fsync, link or rename that fails: ENOSPC, EIO, EROFS",
        1000,
        ("trainings",),
        lambda references, count, seed: failures(references, count / 1000, random.Random(seed)),
    ),
    "full": Part(
        "a file system in memory that is too small",
        20,
        ("trainings",),
        lambda references, count, seed: full(references, count),
    ),
    "flips": Part(
        "a flipped bit in a checkpoint",
        10_000,
        ("refused", "of no consequence"),
        lambda references, count, seed: flips(references, count, random.Random(seed)),
    ),
    "fuzz": Part(
        "a damaged input, over every reader",
        100_000,
        ("inputs",),
        lambda references, count, seed: fuzz(count, seed),
    ),
}


def main() -> int:
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts")
    parser.add_argument(
        "--count",
        type=float,
        nargs="+",
        default=[1.0],
        help="factor of how many are tried, for all parts or for each in --only",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--table", type=Path, default=TABLE, help="file to write the table to")
    chosen = parser.parse_args()
    factors = chosen.count * (len(chosen.only) if len(chosen.count) == 1 else 1)
    if len(factors) != len(chosen.only):
        parser.error("--count takes one factor, or one for each part")
    trainings.prepare()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        references = References(Path(folder))
        for name, factor in zip(chosen.only, factors, strict=True):
            seen, seconds, violation = _run(PARTS[name], references, factor, chosen.seed)
            print(f"{name}: {_counts(seen)}; {violation or 'no violation'}", flush=True)
            bad += violation is not None
            tried = sum(seen[each] for each in PARTS[name].counted)
            if tried or violation:
                row = (_counts(seen), "1" if violation else "0", f"{seconds / 60:.0f}")
                command = _command(name, factor, chosen.seed)
                write_row(chosen.table, (PARTS[name].what, *row, *_where(), command))
    return int(bad > 0)


def _run(
    part: Part, references: References, factor: float, seed: int
) -> tuple[Counter, float, Violation | None]:
    """Run a part, up to its first violation."""
    count, seen, began = max(1, round(part.count * factor)), Counter[str](), time.monotonic()
    violation = None
    with tqdm(desc=part.what[:40], total=count, smoothing=0) as bar:
        try:
            for each in part.run(references, count, seed):
                seen.update(each)
                bar.update(sum(seen[name] for name in part.counted) - bar.n)
        except Violation as found:
            violation = found
        finally:
            trainings.end_all()
    return seen, time.monotonic() - began, violation


def _counts(seen: Counter) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in seen.items()) or "none"


def _command(name: str, factor: float, seed: int) -> str:
    """Return the command that runs a part alone."""
    arguments = f"--only {name}{f' --count {factor:g}' * (factor != 1)} --seed {seed}"
    return f'`make faults ARGS="{arguments}"`'


def _where() -> tuple[str, str]:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    return datetime.now(UTC).strftime("%Y-%m-%d"), machine


def write_row(path: Path, row: tuple[str, ...]) -> None:
    """Write a row of the table, in the place of the one of the same fault, if there is one."""
    lines = path.read_text().splitlines()[2:] if path.exists() else []
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    rows[row[0]] = f"| {' | '.join(row)} |"
    order = [part.what for part in PARTS.values()]
    head = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    body = sorted(rows.values(), key=lambda line: _at(order, line))
    path.write_text("\n".join([*head, *body]) + "\n")


def _at(order: list[str], line: str) -> int:
    what = line.split(" | ")[0].removeprefix("| ")
    return order.index(what) if what in order else len(order)


if __name__ == "__main__":
    sys.exit(main())
