"""Compare our training with a plain PyTorch loop, on the same systems as published, in pairs.

    python scripts/benchmark.py mnist_mlp --seeds 3
    python scripts/benchmark.py fashion_conv cartoon --epochs 2 --limit 5000 --size 64 --jobs 2

    python scripts/benchmark.py speed --help      # this library's step beside those of others
    python scripts/benchmark.py growth --help     # time and memory as images and model grow
    python scripts/benchmark.py data --help       # what an image costs, wherever it is kept
    python scripts/benchmark.py processes --help  # what several processes gain
    python scripts/benchmark.py analysis --help   # pictures, and importance sampling

`mnist_mlp_corrected` is system 4 with the divergence that its source's text names.

Each training has its own process. Ours and the peer's alternate (with `--jobs 2` they run side by
side), so that a slow hour of the machine affects both. Both keep freed memory
(`pyro_vae._memory`), so that the loop is all that differs. The script prints a table in Markdown,
writes the numbers of every training next to it, and keeps our runs, evaluated, for
`pyro-vae results` and `pyro-vae analyze`. When it is called again, it continues with the trainings
that are still missing.
"""

import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import benchmark_analysis
import benchmark_data
import benchmark_growth
import benchmark_processes
import benchmark_speed
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from peers import plain_pytorch
from tqdm import tqdm

from pyro_vae._files import write_json, write_text
from pyro_vae._memory import keep_freed_memory
from pyro_vae.commands.console import plain_errors, show_messages
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser
from pyro_vae.experiments.results import mean_and_spread
from pyro_vae.training.run_folder import Run


@dataclass(frozen=True)
class Trained:
    """The numbers of one training.

    Attributes:
        system: the name of its recipe.
        trainer: which loop trained it, a key of `TRAINERS`.
        seed: the seed of the weights, the order of the images and the draws.
        loss: the loss on the source's scale, over the test images, with the weights that the
            source keeps.
        seconds: the median time of training per epoch.
        epochs: the number of epochs trained.
        parameters: the number of parameters learned.
    """

    system: str
    trainer: str
    seed: int
    loss: float
    seconds: float
    epochs: int
    parameters: int


@dataclass(frozen=True)
class Settings:
    """The settings that both trainers are given."""

    data: str | None
    epochs: int | None
    limit: int | None
    size: int | None
    data_dir: str | None
    device: str | None


#: Our `mnist_mlp`, which has the divergence that the source's text names, trained like the source.
CORRECTED = (
    *("--recipe", "mnist_mlp", "--learning-rate", "1e-3", "--schedule", "Constant"),
    *("--objective", "ELBO", "--objective.analytic_kl", "true", "--new-draws", "true"),
    *("--keep", "last", "--validation", "0"),
)


def arguments_of(system: str) -> tuple[str, ...]:
    """Return the arguments that make `pyro-vae train` train a system."""
    if system == "mnist_mlp_corrected":
        return CORRECTED
    return ("--recipe", system, "--as-published")


def ours(system: str, seed: int, settings: Settings, out: Path) -> Trained:
    """Train the system by our loop, and keep the run in `out`."""
    given = {f"--{name.replace('_', '-')}": v for name, v in asdict(settings).items() if v}
    options = [str(part) for option in given.items() for part in option]
    folder = out / f"{system}_seed_{seed}"
    options += ["--out", str(folder)] + ["--resume"] * Run(folder).exists()
    experiment = Experiment.start([*arguments_of(system), "--seed", str(seed), *options])
    vae = experiment.build()
    experiment.train(vae, progress=False)
    experiment.evaluate(vae)
    history = experiment.history()
    losses = [record["validation_published_loss"] for record in history]
    return Trained(
        system,
        "pyro_vae",
        seed,
        loss=min(losses) if experiment.recipe.keep == "best" else losses[-1],
        seconds=statistics.median(record["train_seconds"] for record in history),
        epochs=len(history),
        parameters=sum(p.numel() for p in vae.parameters()),
    )


def plain(system: str, seed: int, settings: Settings, out: Path) -> Trained:
    """Train the same system by the plain loop, which keeps nothing in `out`."""
    epochs = list(plain_pytorch.train(system, seed=seed, **asdict(settings)))
    losses = [epoch.loss for epoch in epochs]
    return Trained(
        system,
        "plain PyTorch",
        seed,
        loss=min(losses) if plain_pytorch.SYSTEMS[system].keep == "best" else losses[-1],
        seconds=statistics.median(epoch.train_seconds for epoch in epochs),
        epochs=len(epochs),
        parameters=epochs[0].parameters,
    )


def table(found: Sequence[Trained]) -> str:
    """Return a Markdown table: a row for each system and trainer, with means over the seeds."""
    lines = [
        "| system | trainer | seeds | epochs | loss as published | s/epoch | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for system, trainer in dict.fromkeys((each.system, each.trainer) for each in found):
        same = [each for each in found if (each.system, each.trainer) == (system, trainer)]
        epochs = sorted({each.epochs for each in same})
        lines.append(
            f"| {system} | {trainer} | {len(same)} | {'-'.join(map(str, epochs))} | "
            f"{mean_and_spread([each.loss for each in same], 2)} | "
            f"{mean_and_spread([each.seconds for each in same], 1)} | {same[0].parameters:,} |"
        )
    return "\n".join(lines)


TRAINERS: dict[str, Callable[[str, int, Settings, Path], Trained]] = {
    "pyro_vae": ours,
    "plain PyTorch": plain,
}


#: The other benchmarks, by name.
OTHERS: dict[str, Callable[[Sequence[str]], None]] = {
    "speed": benchmark_speed.main,
    "growth": benchmark_growth.main,
    "data": benchmark_data.main,
    "processes": benchmark_processes.main,
    "analysis": benchmark_analysis.main,
}


def train_all(
    plan: Sequence[tuple[str, int, str]], jobs: int, settings: Settings, out: Path
) -> Iterator[Trained]:
    """Train each (system, seed, trainer) in its own process, and yield the results as they end."""
    waiting = list(plan)
    running: set[Future[Trained]] = set()
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=prepare,
        initargs=(threads_each(jobs),),
        max_tasks_per_child=1,
    ) as executor:
        while waiting or running:
            # Trainings queued in the pool would still run after a failure or Ctrl-C.
            while waiting and len(running) < jobs:
                system, seed, trainer = waiting.pop(0)
                running.add(executor.submit(TRAINERS[trainer], system, seed, settings, out))
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)


def prepare(threads: int) -> None:
    """Set up the process of a training."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def threads_each(jobs: int) -> int:
    """Return the number of threads for each of the trainings that run at once."""
    return max(1, torch.get_num_threads() // jobs)


def place(trained: Trained) -> tuple[str, int, int]:
    """Return the key by which trainings are sorted, whichever ended first."""
    return trained.system, list(TRAINERS).index(trained.trainer), trained.seed


def earlier(path: Path, conditions: dict[str, Any]) -> list[Trained]:
    """Return what an earlier call trained.

    Raises:
        ConfigurationError: it had other settings, or the file is not a benchmark's.
    """
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text())
        same = kept["settings"] == conditions
        found = [Trained(**each) for each in kept["trainings"]]
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError(
            f"{path} cannot be read as the trainings of a benchmark: choose another --out."
        ) from None
    if not same:
        raise ConfigurationError(
            f"{path} holds trainings with other settings: choose another --out."
        )
    return found


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(description=__doc__, formatter_class=Formatter, allow_abbrev=False)
    add = result.add_argument
    add("systems", nargs="+", choices=list(plain_pytorch.SYSTEMS), help="systems to train")
    add("--data", type=str | None, help="data set, or its path (default: each system's own)")
    add("--seeds", type=PositiveInt, default=3, help="number of trainings of each system")
    add("--first-seed", type=NonNegativeInt, default=0, help="seed of the first training")
    add("--jobs", type=PositiveInt, default=1, help="number of trainings at once")
    add("--epochs", type=PositiveInt | None, help="number of epochs (default: the source's)")
    add("--limit", type=PositiveInt | None, help="train on the first LIMIT images only")
    add("--size", type=PositiveInt | None, help="pixels of a side of the images")
    add("--data-dir", type=str | None, help="folder where data sets are kept")
    add("--device", type=str | None, help="device (default: CUDA if available, else the CPU)")
    add("--out", default="runs/benchmark", help="folder of the table and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Train systems as published, by our loop and the plain one in turn, and compare them."""
    chosen = parser().parse_args(list(arguments))
    settings = Settings(*(chosen[field.name] for field in fields(Settings)))
    systems, jobs, out = chosen.systems, chosen.jobs, Path(chosen.out)
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    kept, conditions = out / "trainings.json", {**asdict(settings), "jobs": jobs}
    found = earlier(kept, conditions)
    done = {(each.system, each.seed, each.trainer) for each in found}
    plan = [each for each in product(systems, seeds, TRAINERS) if each not in done]
    for trained in tqdm(train_all(plan, jobs, settings, out), "trainings", len(plan)):
        found = sorted([*found, trained], key=place)
        trainings = [asdict(each) for each in found]
        write_json(kept, {"settings": conditions, "trainings": trainings})
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    machine = f"{platform.machine()}, torch {torch.__version__}"
    threads = threads_each(jobs)
    each = f"{jobs} at once, {threads} thread{'s' * (threads > 1)} each"
    text = f"{datetime.now(UTC):%Y-%m-%d}, {device}, {machine}; {each}\n\n{table(found)}\n"
    write_text(out / "table.md", text)
    print(f"\n{text}\nAll numbers are in {out}.")


if __name__ == "__main__":
    show_messages()
    with plain_errors():
        called = sys.argv[1] if len(sys.argv) > 1 else ""
        if called in OTHERS:
            OTHERS[called](sys.argv[2:])
        else:
            main(sys.argv[1:])
