"""Measure what an image costs on its way into a step: from memory, array files and image files.

    python scripts/benchmark.py data
    python scripts/benchmark.py data --side 64 --channels 3

For each place in which images can be kept, the script measures the time of the processor that
reading, gathering and converting an image takes in one process, the bytes that it takes there, and
the part of a training's time in which a step waits for its images, while worker processes read
ahead of it. The step is that of system 1's networks.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from benchmark_growth import model
from benchmark_speed import keep, machine
from jsonargparse.typing import PositiveInt
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pyro_vae.data import ImageData, load
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser
from pyro_vae.objectives import ELBO
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Place:
    """What images cost where they are kept.

    Attributes:
        name: of the place.
        bytes: those of an image there.
        read: the time of the processor in which an image becomes part of a batch, in microseconds.
        step: the time of a step with images that are there already, per image, in microseconds.
        waited: the part of a training's time in which the step waits.
    """

    name: str
    bytes: float
    read: float
    step: float
    waited: float


def smooth_images(count: int, side: int, channels: int) -> np.ndarray:
    """Return random images (N, H, W, C), which a PNG file shortens as it does photographs."""
    coarse = torch.rand(count, channels, 8, 8)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (255 * smooth).byte().permute(0, 2, 3, 1).contiguous().numpy()


def kept(folder: Path, levels: np.ndarray) -> Iterator[tuple[str, ImageData, float]]:
    """Keep the images (N, H, W, C) in each place; yield its name, the images, and their bytes."""
    array, files = folder / "images.npy", folder / "png"
    np.save(array, levels)
    files.mkdir()
    for number, each in enumerate(tqdm(levels, "writing PNG files", leave=False)):
        Image.fromarray(each.squeeze()).save(files / f"{number:07}.png")
    size = sum(path.stat().st_size for path in files.iterdir()) / len(levels)
    raw = levels[0].size
    yield "memory", load(array, divide=False, stream=False).test, raw
    yield ".npy file", load(array, divide=False, stream=True).test, raw
    yield "folder of PNG files", load(files, divide=False, stream=True).test, size


def read_alone(images: ImageData, batch_size: int, device: str = "cpu") -> float:
    """Return the seconds of the processor in which an image becomes part of a batch."""
    order = torch.randperm(len(images), device="cpu").split(batch_size)
    start = time.process_time()
    for indices in order:
        images.as_float(indices)
    return (time.process_time() - start) / len(images)


def take_step(vae: VAE, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    """Take a step on images (B, C, H, W)."""
    loss = ELBO()(vae, x).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def trained(vae: VAE, images: ImageData, batch_size: int) -> tuple[float, float]:
    """Return the seconds of a pass over the images, and those in which its steps waited."""
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    batches = images.batches(batch_size, torch.randperm(len(images), device="cpu"))
    take_step(vae, optimizer, next(batches))  # Starts the workers.
    waited, start = 0.0, time.perf_counter()
    before = start
    for x in batches:
        waited += time.perf_counter() - before
        take_step(vae, optimizer, x)
        before = time.perf_counter()
    return time.perf_counter() - start, waited


def measure(levels: np.ndarray, batch_size: int, rounds: int) -> list[Place]:
    """Measure every place, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        places = list(kept(Path(folder), levels))
        vae = model(levels.shape[1], channels=levels.shape[3])
        reads: dict[str, list[float]] = {name: [] for name, _, _ in places}
        passes: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in places}
        for _ in tqdm(range(rounds), "rounds"):
            for name, images, _ in places:
                reads[name].append(read_alone(images, batch_size))
                passes[name].append(trained(vae, images, batch_size))
        step = statistics.median(seconds - waited for seconds, waited in passes["memory"])
        return [
            Place(
                name,
                size,
                1e6 * statistics.median(reads[name]),
                1e6 * step / len(levels),
                statistics.median(waited / seconds for seconds, waited in passes[name]),
            )
            for name, _, size in places
        ]


def table(places: Sequence[Place]) -> str:
    """Return a Markdown table: a row for each place."""
    lines = [
        "| images in | bytes an image | reading, µs an image | step, µs an image | reading/step "
        "| the step waits |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for each in places:
        lines.append(
            f"| {each.name} | {each.bytes:,.0f} | {each.read:,.1f} | {each.step:,.0f} "
            f"| {100 * each.read / each.step:.1f}% | {100 * each.waited:.1f}% |"
        )
    return "\n".join(lines)


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(
        prog="benchmark.py data", description=__doc__, formatter_class=Formatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = result.add_argument
    add("--images", type=PositiveInt, default=6400, help="number of images")
    add("--side", type=PositiveInt, default=32, help="pixels of a side")
    add("--channels", type=int, choices=(1, 3), default=1, help="channels")
    add("--batch-size", type=PositiveInt, default=64, help="number of images in a step")
    add("--rounds", type=PositiveInt, default=3, help="measurements of each place")
    add("--out", default="runs/data", help="folder of the table and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure what an image costs."""
    chosen = parser().parse_args(list(arguments))
    levels = smooth_images(chosen.images, chosen.side, chosen.channels)
    shape = levels.shape
    places = measure(levels, chosen.batch_size, chosen.rounds)
    threads = torch.get_num_threads()
    head = f"{shape[0]:,} images of {shape[2]}×{shape[1]}×{shape[3]}; {machine(threads)}"
    text = f"{head}; medians of {chosen.rounds}\n\n{table(places)}\n"
    keep(chosen.out, "data", text, {"machine": head, "places": [asdict(each) for each in places]})
