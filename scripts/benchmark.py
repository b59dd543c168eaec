"""Compare our training with a plain PyTorch loop: the same systems, as published, in pairs.

    python scripts/benchmark.py mnist_mlp --seeds 3
    python scripts/benchmark.py fashion_conv cartoon --epochs 2 --limit 5000 --size 64 --jobs 2

`mnist_mlp_corrected` is system 4 with the divergence that its source's text names.

Every training has a process of its own, ours and the peer's by turns (with `--jobs 2` side by
side), so that a slow hour of the machine meets both. Both keep freed memory (`pyro_vae.memory`), so
that what differs is the loop. Prints a table in Markdown, writes every training's numbers beside
it, and keeps our runs, evaluated, for `scripts/results.py` and `scripts/analyze.py`. Called again,
it goes on with the trainings that are still missing.
"""

import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from peers import plain_pytorch
from tqdm import tqdm

from pyro_vae.configuration import ConfigurationError, Formatter
from pyro_vae.console import plain_errors
from pyro_vae.experiments import Experiment
from pyro_vae.memory import keep_freed_memory
from pyro_vae.parsing import Parser
from pyro_vae.results import mean_and_spread
from pyro_vae.runs import Run, write_json, write_text


@dataclass(frozen=True)
class Trained:
    """One training's numbers.

    Attributes:
        system: its recipe's name.
        trainer: who trained it.
        seed: of weights, order and draws.
        loss: on the source's scale, over the test images, with the weights that the source keeps.
        seconds: of training in an epoch, in the median.
        epochs: that were trained.
        parameters: that were learned.
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
    """What both trainers are given."""

    data: str | None
    epochs: int | None
    limit: int | None
    size: int | None
    data_dir: str | None
    device: str | None


#: Our `mnist_mlp`, which has the divergence that the source's text names, trained as the source is.
CORRECTED = (
    *("--recipe", "mnist_mlp", "--learning-rate", "1e-3", "--schedule", "Constant"),
    *("--objective", "ELBO", "--objective.analytic_kl", "true", "--new-draws", "true"),
    *("--keep", "last", "--validation", "0"),
)


def arguments_of(system: str) -> tuple[str, ...]:
    """What a system is to `train_svi.py`: a recipe as published, or system 4 corrected."""
    if system == "mnist_mlp_corrected":
        return CORRECTED
    return ("--recipe", system, "--as-published")


def ours(system: str, seed: int, settings: Settings, out: Path) -> Trained:
    """The system by our training loop; the run is kept in `out`."""
    given = {f"--{name.replace('_', '-')}": v for name, v in asdict(settings).items() if v}
    options = [str(part) for option in given.items() for part in option]
    folder = out / f"{system}_seed_{seed}"
    options += ["--out", str(folder)] + ["--resume"] * Run(folder).exists()
    experiment = Experiment.start([*arguments_of(system), "--seed", str(seed), *options])
    vae = experiment.build()
    experiment.fit(vae, progress=False)
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
    """The same system by the plain loop, which keeps nothing in `out`."""
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
    """The trainings in Markdown, a row for each system and trainer, means over seeds."""
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


def train_all(
    plan: Sequence[tuple[str, int, str]], jobs: int, settings: Settings, out: Path
) -> Iterator[Trained]:
    """Train every (system, seed, trainer) in a process of its own, so many at once, as they end."""
    waiting, running = list(plan), set()
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=prepare,
        initargs=(threads_each(jobs),),
        max_tasks_per_child=1,
    ) as executor:
        while waiting or running:
            # What waits in the pool would still be trained after a failure or Ctrl-C.
            while waiting and len(running) < jobs:
                system, seed, trainer = waiting.pop(0)
                running.add(executor.submit(TRAINERS[trainer], system, seed, settings, out))
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)


def prepare(threads: int) -> None:
    """Set up a training's process."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def threads_each(jobs: int) -> int:
    """The threads of each of so many trainings at once."""
    return max(1, torch.get_num_threads() // jobs)


def place(trained: Trained) -> tuple[str, int, int]:
    """Where a training stands among others, whichever ended first."""
    return trained.system, list(TRAINERS).index(trained.trainer), trained.seed


def earlier(path: Path, conditions: dict[str, Any]) -> list[Trained]:
    """What an earlier call trained.

    Raises:
        ConfigurationError: it had other settings, or the file is no benchmark's.
    """
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text())
        same = kept["settings"] == conditions
        found = [Trained(**each) for each in kept["trainings"]]
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError(
            f"{path} cannot be read as a benchmark's trainings: choose another --out."
        ) from None
    if not same:
        raise ConfigurationError(
            f"{path} holds trainings with other settings: choose another --out."
        )
    return found


def parser() -> Parser:
    """A parser of the options."""
    result = Parser(description=__doc__, formatter_class=Formatter, allow_abbrev=False)
    result.add_argument("systems", nargs="+", choices=list(plain_pytorch.SYSTEMS), help="by name")
    result.add_argument("--data", type=str | None, help="(default: each system's own)")
    result.add_argument("--seeds", type=PositiveInt, default=3, help="trainings of each")
    result.add_argument("--first-seed", type=NonNegativeInt, default=0, help="the others follow")
    result.add_argument("--jobs", type=PositiveInt, default=1, help="trainings at once")
    result.add_argument("--epochs", type=PositiveInt | None, help="(default: the source's)")
    result.add_argument("--limit", type=PositiveInt | None, help="train on the first LIMIT images")
    result.add_argument("--size", type=PositiveInt | None, help="pixels of a side of an image")
    result.add_argument("--data-dir", type=str | None, help="where data sets are kept")
    result.add_argument("--device", type=str | None, help="(default: CUDA if there, else the CPU)")
    result.add_argument("--out", default="runs/benchmark", help="where table and numbers go")
    return result


def main(arguments: Sequence[str]) -> None:
    """Train systems as published, ours and the plain loop by turns, and compare."""
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
    with plain_errors():
        main(sys.argv[1:])
