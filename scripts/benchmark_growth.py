"""Measure how time and memory grow with the images and the model, and fit the exponents.

    python scripts/benchmark.py growth
    python scripts/benchmark.py growth --axes side batch --rounds 5

Each point is measured in a process of its own, with one thread, in the time of the processor, which
other work on the machine disturbs least; the points take turns. A time is that of a step of the
training, of a pass over the images, or of the importance weights of an image. Time and memory are
fitted as a + b size^c by the slope between the two largest sizes on logarithmic scales, once what
the smallest takes is subtracted; where the largest takes less than twice the smallest, nothing is
fitted.
"""

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context

import torch
from benchmark_speed import confine, keep, machine
from jsonargparse.typing import PositiveInt
from tqdm import tqdm

from pyro_vae import VAE, fit, likelihoods, networks, posteriors, priors
from pyro_vae.data import ImageData
from pyro_vae.evaluation import log_likelihood
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser

STEPS = 8


def model(side: int = 32, latent_size: int = 16, channels: int = 1) -> VAE:
    """Return a model with system 1's networks."""
    shape = (channels, side, side)
    return VAE(
        priors.StandardNormal(latent_size),
        likelihoods.Bernoulli(networks.ConvDecoder(latent_size, shape), gray_levels=True),
        posteriors.DiagonalNormal(networks.ConvEncoder(shape), latent_size),
    )


def images(count: int, side: int = 32) -> ImageData:
    """Return random images: what they show makes no difference to time or memory."""
    return ImageData(torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8))


def a_pass(vae: VAE, data: ImageData, batch_size: int = 64) -> float:
    """Return the seconds of the second of two passes over the images."""
    ends: list[float] = []
    fit(
        vae, data, epochs=2, batch_size=batch_size, keep="last", progress=False,
        callbacks=[lambda *_: ends.append(time.process_time())],
    )  # fmt: skip
    return ends[1] - ends[0]


def weights_of_an_image(samples: int) -> float:
    """Return the seconds of the importance weights of an image."""
    vae, few = model().eval(), images(8)
    log_likelihood(vae, few, samples=8)
    start = time.process_time()
    log_likelihood(vae, few, samples=samples)
    return (time.process_time() - start) / len(few)


#: What grows: its sizes, what is timed, and how.
AXES: dict[str, tuple[Sequence[int], str, Callable[[int], float]]] = {
    "images": ((500, 2000, 8000, 32000), "pass", lambda n: a_pass(model(), images(n))),
    "side": (
        (16, 32, 64, 128),
        "step",
        lambda n: a_pass(model(side=n), images(64 * STEPS, n)) / STEPS,
    ),
    "latent_size": (
        (2, 32, 512, 8192),
        "step",
        lambda n: a_pass(model(latent_size=n), images(64 * STEPS)) / STEPS,
    ),
    "batch": (
        (16, 64, 256, 1024),
        "step",
        lambda n: a_pass(model(), images(n * STEPS), n) / STEPS,
    ),
    "samples": ((8, 64, 512, 4096), "image", weights_of_an_image),
}


@dataclass(frozen=True)
class Point:
    """What one size took.

    Attributes:
        axis: what grows.
        size: its size.
        seconds: the median.
        memory: the largest resident memory in MiB, beyond that of the libraries alone.
    """

    axis: str
    size: int
    seconds: float
    memory: float


def measured(axis: str, size: int) -> tuple[float, float]:
    """Return the seconds and MiB of a point, in a process of its own."""
    confine(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = AXES[axis][2](size)
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measure(axes: Sequence[str], rounds: int) -> list[Point]:
    """Measure all points in turn, several times."""
    plan = [(axis, size) for axis in axes for size in AXES[axis][0]]
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {each: [] for each in plan}
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for each in tqdm(plan * rounds, "points"):
            taken[each].append(pool.apply(measured, each))
    return [
        Point(*each, statistics.median(s for s, _ in found), statistics.median(m for _, m in found))
        for each, found in taken.items()
    ]


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float | None:
    """Return c of a + b size^c, or None where the values hardly grow."""
    if values[-1] < 2 * values[0]:
        return None
    grown = math.log((values[-1] - values[0]) / (values[-2] - values[0]))
    return grown / math.log(sizes[-1] / sizes[-2])


def table(points: Sequence[Point]) -> str:
    """Return a Markdown table: a row for each axis."""
    lines = [
        "| | sizes | time, ms | of a | time grows as | memory, MiB | memory grows as |",
        "|---|---|---|---|---|---|---|",
    ]
    for axis in dict.fromkeys(point.axis for point in points):
        same = [point for point in points if point.axis == axis]
        sizes = [point.size for point in same]
        seconds, memory = [p.seconds for p in same], [p.memory for p in same]
        cells = [
            axis.replace("_", " "),
            ", ".join(f"{size:,}" for size in sizes),
            ", ".join(f"{1000 * each:,.3g}" for each in seconds),
            AXES[axis][1],
            _growth(exponent(sizes, seconds)),
            ", ".join(f"{each:,.0f}" for each in memory),
            _growth(exponent(sizes, memory)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _growth(found: float | None) -> str:
    return "hardly" if found is None else f"size^{found:.2f}"


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(
        prog="benchmark.py growth", description=__doc__, formatter_class=Formatter,
        allow_abbrev=False,
    )  # fmt: skip
    result.add_argument(
        "--axes", nargs="+", choices=list(AXES), default=list(AXES), help="what grows"
    )
    result.add_argument("--rounds", type=PositiveInt, default=3, help="measurements of each point")
    result.add_argument("--out", default="runs/growth", help="folder of the table and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure growth."""
    chosen = parser().parse_args(list(arguments))
    points = measure(chosen.axes, chosen.rounds)
    text = f"{machine(1)}; medians of {chosen.rounds}\n\n{table(points)}\n"
    keep(chosen.out, "growth", text, {"machine": machine(1), "points": [asdict(p) for p in points]})
