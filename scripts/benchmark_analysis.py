"""Measure what follows a training: the pictures with report and explorer, and importance sampling.

    python scripts/benchmark.py analysis
    python scripts/benchmark.py analysis --recipe cifar_resnet --rounds 1

A model is trained on a few random images, which does not matter to the time, and `pyro-vae analyze`
draws everything of it, as often as there are rounds. Its operations are counted: at the speed of a
large matrix product they would take the time that is given as the floor. What is decoded in
importance sampling is counted in images.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from benchmark_data import smooth_images
from benchmark_speed import keep, machine, median_seconds
from jsonargparse.typing import PositiveInt
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from pyro_vae import data
from pyro_vae.commands import main as program
from pyro_vae.evaluation import log_likelihood
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser
from pyro_vae.recipes import RECIPES

CLASSES = 10


@dataclass(frozen=True)
class Measured:
    """What was measured of a recipe.

    Attributes:
        recipe: its name.
        seconds: those of `pyro-vae analyze` from start to end, of each round.
        processor: those of the processor.
        operations: the floating-point operations of its networks.
        floor: the seconds in which matrix products would do as many.
        decodes: images decoded in a second of importance sampling, of each round.
    """

    recipe: str
    seconds: list[float]
    processor: list[float]
    operations: int
    floor: float
    decodes: list[float]


def trained(folder: Path, recipe: str, train: int, test: int) -> Path:
    """Train a recipe for an epoch on random images, and return its run folder."""
    channels, side = RECIPES[recipe].image_shape[0], RECIPES[recipe].image_shape[-1]
    levels = smooth_images(train + test, side, channels)
    labels = np.arange(train + test) % CLASSES
    np.savez(
        folder / "images.npz",
        train_images=levels[:train],
        train_labels=labels[:train],
        test_images=levels[train:],
        test_labels=labels[train:],
    )
    run = folder / "run"
    given = ["--recipe", recipe, "--epochs", "1", "--size", str(side), "--skip-pictures"]
    with redirect_stdout(StringIO()):
        program(["train", str(folder / "images.npz"), *given, "--out", str(run)])
    return run


def drawn(run: Path, threads: int) -> tuple[float, float]:
    """Return the seconds of `pyro-vae analyze`, and those of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pyro_vae", "analyze", str(run)],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def operations_of(run: Path) -> int:
    """Return the number of floating-point operations of `pyro-vae analyze`."""
    with FlopCounterMode(display=False) as counter, redirect_stdout(StringIO()):
        program(["analyze", str(run)])
    return counter.get_total_flops()


def measure(recipe: str, train: int, test: int, samples: int, rounds: int) -> Measured:
    """Measure a recipe."""
    threads = torch.get_num_threads()
    side = torch.randn(1536, 1536)
    a_second = 2 * 1536**3 / median_seconds(lambda: side @ side)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder), recipe, train, test)
        operations = operations_of(run)
        vae, few = Experiment.open(run).load(), data.load(Path(folder) / "images.npz").test
        few = few.select(slice(20))
        times, decodes = [], []
        for _ in tqdm(range(rounds), recipe):
            times.append(drawn(run, threads))
            start = time.perf_counter()
            log_likelihood(vae, few, samples=samples)
            decodes.append(len(few) * samples / (time.perf_counter() - start))
    seconds, processor = map(list, zip(*times, strict=True))
    return Measured(recipe, seconds, processor, operations, operations / a_second, decodes)


def table(found: Sequence[Measured]) -> str:
    """Return a Markdown table: a row for each recipe."""
    lines = [
        "| recipe | all pictures, s | of the processor, s | operations | their floor, s "
        "| decodes/s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        seconds, processor = map(statistics.median, (each.seconds, each.processor))
        lines.append(
            f"| {each.recipe} | {seconds:.1f} | {processor:.1f} | {each.operations:.3g} "
            f"| {each.floor:.1f} | {statistics.median(each.decodes):,.0f} |"
        )
    return "\n".join(lines)


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(
        prog="benchmark.py analysis", description=__doc__, formatter_class=Formatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = result.add_argument
    add("--recipe", nargs="+", choices=list(RECIPES), default=["fashion_conv"], help="what to draw")
    add("--train-images", type=PositiveInt, default=5000, help="number of training images")
    add("--test-images", type=PositiveInt, default=2000, help="number of test images")
    add("--samples", type=PositiveInt, default=400, help="importance samples for each of 20 images")
    add("--rounds", type=PositiveInt, default=3, help="number of measurements")
    add("--out", default="runs/analysis", help="folder of the table and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure what follows a training."""
    chosen = parser().parse_args(list(arguments))
    found = [
        measure(each, chosen.train_images, chosen.test_images, chosen.samples, chosen.rounds)
        for each in chosen.recipe
    ]
    head = (
        f"{chosen.train_images:,} training images and {chosen.test_images:,} test images, "
        f"{machine(torch.get_num_threads())}"
    )
    text = f"{head}; medians of {chosen.rounds}\n\n{table(found)}\n"
    keep(chosen.out, "analysis", text, {"machine": head, "recipes": [asdict(x) for x in found]})
