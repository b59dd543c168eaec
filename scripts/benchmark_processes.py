"""Measure how much faster several processes train than one, each on one thread.

    python scripts/benchmark.py processes                # 1 and 2 processes, recipe fashion_conv
    python scripts/benchmark.py processes --recipe mnist_mlp --processes 4

One process and several take turns, so that both meet the same machine, and medians are compared:
images per second by the clock, and the processor time of all processes for each image. Where there
are as many idle cores as processes, the first ratio is at most the number of processes divided by
the second. The images are random, and every process is forked from this one.
"""

import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmark_speed import keep, machine
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt

from pyro_vae import fit
from pyro_vae._memory import keep_freed_memory
from pyro_vae.data import ImageData
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser
from pyro_vae.recipes import RECIPES

_FORK = multiprocessing.get_context("fork")


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(
        prog="benchmark.py processes", description=__doc__, formatter_class=Formatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = result.add_argument
    add("--recipe", choices=list(RECIPES), default="fashion_conv", help="recipe that is trained")
    add("--processes", type=PositiveInt, default=2, help="number of processes")
    add("--images", type=PositiveInt, default=6400, help="number of images in an epoch")
    add("--batch-size", type=PositiveInt | None, help="number in a step (default: the recipe's)")
    add("--rounds", type=PositiveInt, default=5, help="number of turns")
    add("--out", default="runs/processes", help="folder of the table and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Compare the medians of one process and of several."""
    given = parser().parse_args(list(arguments))
    keep_freed_memory()
    sizes = list(dict.fromkeys((1, given.processes)))
    rounds = [{size: measured(size, given) for size in sizes} for _ in range(given.rounds)]
    speed, cost = (
        {size: statistics.median(each[size][place] for each in rounds) for size in sizes}
        for place in range(2)
    )
    lines = ["| processes | images/s | times one | processor time, µs an image | times one |"]
    lines.append("|--:|--:|--:|--:|--:|")
    for size in sizes:
        lines.append(
            f"| {size} | {speed[size]:,.0f} | {speed[size] / speed[1]:.2f} "
            f"| {1e6 * cost[size]:,.0f} | {cost[size] / cost[1]:.2f} |"
        )
    head = f"{given.recipe}, {given.images:,} images; {machine(1)} for each process"
    text = "\n".join([f"{head}; medians of {given.rounds}", "", *lines, ""])
    keep(given.out, "processes", text, {"machine": head, "images/s, seconds": rounds})


def measured(size: int, given: Namespace) -> tuple[float, float]:
    """Return images per second, and processor seconds per image, of `size` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _FORK.Process(target=train, args=(rank, size, port, Path(folder), given))
            for rank in range(size)
        ]
        for each in processes:
            each.start()
        for each in processes:
            each.join()
        found = [json.loads((Path(folder) / str(rank)).read_text()) for rank in range(size)]
    seconds = max(each["wall"] for each in found)
    images = sum(each["images"] for each in found) / size
    return given.images / seconds, sum(each["processor"] for each in found) / images


def train(rank: int, size: int, port: str, folder: Path, given: Namespace) -> None:
    """Train an epoch in one of `size` processes, and write down how long it took."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    os.environ |= {name: str(number) for name, number in numbers.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = RECIPES[given.recipe]
    images = ImageData(torch.randint(256, (given.images, *recipe.image_shape), dtype=torch.uint8))
    vae, size = recipe.build(recipe.image_shape), given.batch_size or recipe.batch_size
    settings = recipe.training | {"epochs": 1, "batch_size": size}
    few, times = images.select(slice(4 * size)), []
    for part in (few, few, images):  # The first is slower; what begins a training is subtracted.
        before = time.process_time()
        (record,) = fit(vae, part, device="cpu", progress=False, **settings)
        times.append(time.process_time() - before)
    found = {"wall": record["train_seconds"], "processor": times[2] - times[1]}
    found |= {"images": len(images) - len(few)}
    (folder / str(rank)).write_text(json.dumps(found))
