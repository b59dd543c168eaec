"""Draw every picture of a trained run, and write its report and its latent explorer.

    python scripts/analyze.py runs/fashion_conv
    python scripts/analyze.py runs/fashion_conv --only interpolation --pair 3 8 --steps 10
    python scripts/analyze.py runs/first runs/second --out runs/compared    # side by side

Of one run: pictures, report.html and explorer.html, into its folder. Of several: each picture of
all of them in one figure, and their numbers in one table, into --out.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from tqdm import tqdm

from pyro_vae.analysis import comparison, explorer, gallery, report
from pyro_vae.analysis.animation import frame_beside, save_gif
from pyro_vae.analysis.gallery import PICTURES, Choices, PictureError, Subject
from pyro_vae.configuration import ConfigurationError, Formatter
from pyro_vae.console import plain_errors
from pyro_vae.evaluation_table import ROWS
from pyro_vae.experiments import Experiment
from pyro_vae.memory import keep_freed_memory
from pyro_vae.parsing import Parser
from pyro_vae.runs import write_text
from pyro_vae.training import choose_device

#: What is compared of several runs unless --only says otherwise.
COMPARED = (
    "reconstruct_after_train",
    "embedding_visualize",
    "linearly_sampled_reconstructions",
    "normally_sampled_reconstructions",
    "aggregate_posterior",
    "rate_per_dimension",
    "training_curves",
)


def main(arguments: list[str]) -> None:
    """Draw, as the command line says."""
    keep_freed_memory()
    settings = parser().parse_args(arguments)
    experiments = [Experiment.open(run) for run in settings.run]
    subjects = [subject(experiment, settings) for experiment in experiments]
    check(settings, subjects)
    if len(experiments) == 1:
        paths = analyze(experiments[0], subjects[0], settings)
    else:
        paths = compare(experiments, subjects, settings)
    print("\n".join(str(path) for path in paths))


def parser() -> Parser:
    """The options."""
    result = Parser(description=__doc__, formatter_class=Formatter)
    result.add_argument("run", type=str, nargs="+", help="the folder of a trained run, or several")
    result.add_argument(
        "--only", type=str, nargs="+", help=f"which pictures: {', '.join(PICTURES)}"
    )
    result.add_argument(
        "--pair", type=NonNegativeInt, nargs=2, help="the test images to interpolate, from 0"
    )
    result.add_argument(
        "--steps", type=PositiveInt | None, help="images of an interpolation, the ends included"
    )
    result.add_argument(
        "--dimensions", type=PositiveInt, nargs=2, help="of grids and the explorer, z1 is 1"
    )
    result.add_argument(
        "--tiles", type=PositiveInt | None, help="images along each coordinate of grids"
    )
    result.add_argument(
        "--range", type=float, nargs=2, help="of both coordinates of the even grid: LOW HIGH"
    )
    result.add_argument(
        "--axes",
        type=explorer.Axes,
        default="dimensions",
        help="of the explorer: two dimensions, or the codes' principal components",
    )
    result.add_argument("--seed", type=int, default=0, help="of the draws")
    result.add_argument(
        "--device", type=str | None, help="cuda, mps or cpu (default: the first there is)"
    )
    result.add_argument(
        "--out", type=str | None, help="where several runs go (default: runs/compared)"
    )
    return result


def subject(experiment: Experiment, settings: Namespace) -> Subject:
    """What the pictures show."""
    plane = settings.dimensions and tuple(dimension - 1 for dimension in settings.dimensions)
    choices = Choices(settings.pair, settings.steps, plane, settings.range, settings.tiles)
    return Subject.of_run(experiment, device=settings.device, seed=settings.seed, choices=choices)


def check(settings: Namespace, subjects: Sequence[Subject]) -> None:
    """Refuse options that fit no picture, or not these runs.

    Raises:
        PictureError: no picture is called so.
        ConfigurationError: another option does not fit.
    """
    gallery.chosen(subjects[0], settings.only)
    if len(subjects) == 1 and settings.out:
        raise ConfigurationError("--out is for several runs: the pictures of one go to its folder.")
    if len(subjects) > 1 and settings.axes != "dimensions":
        raise ConfigurationError("--axes is for one run: several are compared without explorer.")
    smallest, fewest = min(s.vae.latent_size for s in subjects), min(len(s.test) for s in subjects)
    if settings.dimensions and not valid_plane(settings.dimensions, smallest):
        raise ConfigurationError(
            f"--dimensions takes two different dimensions from 1 to {smallest}, not "
            f"{settings.dimensions[0]} and {settings.dimensions[1]}."
        )
    if settings.pair and max(settings.pair) >= fewest:
        raise ConfigurationError(
            f"--pair takes two test images from 0 to {fewest - 1}, not {max(settings.pair)}."
        )
    if settings.steps == 1:
        raise ConfigurationError("--steps counts both ends: 2 or more.")
    if settings.tiles and not 2 <= settings.tiles <= 50:
        raise ConfigurationError(f"--tiles takes 2 to 50, not {settings.tiles}.")
    if settings.range and not settings.range[0] < settings.range[1]:
        raise ConfigurationError("--range takes a low end and a higher one.")


def valid_plane(dimensions: Sequence[int], size: int) -> bool:
    """Whether two dimensions, counted from 1, span a plane of a latent space of this size."""
    return max(dimensions) <= size and dimensions[0] != dimensions[1]


def analyze(experiment: Experiment, looked_at: Subject, settings: Namespace) -> list[Path]:
    """Pictures, report and explorer of one run."""
    folder = experiment.run.folder
    pictures = gallery.draw(looked_at, folder, settings.only)
    plane = looked_at.choices.plane
    pages = report.write(looked_at, experiment.run, dimensions=plane, axes=settings.axes)
    return pictures + pages


# Several runs


def compare(
    experiments: Sequence[Experiment], subjects: Sequence[Subject], settings: Namespace
) -> list[Path]:
    """Every picture of several runs in one figure, and their numbers in one table."""
    folder = Path(settings.out or "runs/compared")
    folder.mkdir(parents=True, exist_ok=True)
    names = settings.only or COMPARED
    runs = dict(zip(labels(experiments), subjects, strict=True))
    paths = []
    for name in (bar := tqdm(names, desc="pictures", unit="picture")):
        bar.set_postfix_str(name)
        paths += side_by_side(name, runs, folder)
    numbers = {
        label: numbers_of(experiment, settings.device)
        for label, experiment in zip(runs, experiments, strict=True)
    }
    paths += trade(numbers, folder)
    table = comparison_table(numbers)
    print(table)
    write_text(folder / "table.txt", table + "\n")
    return [*paths, folder / "table.txt"]


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """The runs' folders by name, or by path where names repeat."""
    names = [experiment.run.folder.resolve().name for experiment in experiments]
    paths = [str(experiment.run.folder) for experiment in experiments]
    return names if len(set(names)) == len(names) else paths


def side_by_side(name: str, runs: dict[str, Subject], folder: Path) -> list[Path]:
    """A picture of all runs that it applies to, in one figure or film."""
    picture = PICTURES[name]
    reasons = {label: gallery.missing(picture, s) for label, s in runs.items()}
    shown = {label: subject for label, subject in runs.items() if not reasons[label]}
    for label, reason in reasons.items():
        if reason:
            tqdm.write(f"{name} not drawn of {label}, as {reason}")
    if not shown:
        return []
    path = folder / picture.file
    made = {} if picture.together else {label: picture.make(s) for label, s in shown.items()}
    if picture.together:
        picture.together(shown).savefig(path)
    elif path.suffix == ".gif":
        frames = [frame_beside(each) for each in zip(*made.values(), strict=False)]
        save_gif(frames, path)
    else:
        comparison.beside(made, columns=len(made)).savefig(path)
    return [path]


def numbers_of(experiment: Experiment, device: str | None) -> dict[str, Any]:
    """The numbers that a run reached, evaluated now if they were not yet."""
    if experiment.run.evaluation.exists():
        return json.loads(experiment.run.evaluation.read_text())
    return experiment.evaluate(experiment.load().to(choose_device(device)))


def trade(numbers: dict[str, dict[str, Any]], folder: Path) -> list[Path]:
    """Distortion against rate of all runs that have both."""
    points = [
        (label, each["distortion"], each["rate"])
        for label, each in numbers.items()
        if each["rate"] is not None
    ]
    if not points:
        return []
    path = folder / "rate_distortion.png"
    comparison.rate_distortion(sorted(points, key=lambda point: point[2])).savefig(path)
    return [path]


def comparison_table(numbers: dict[str, dict[str, Any]]) -> str:
    """The runs' numbers, a column for each."""
    width = max(12, *(len(label) + 2 for label in numbers))
    lines = [" " * 30 + "".join(f"{label:>{width}}" for label in numbers)]
    for key, name, unit in ROWS:
        values = [each.get(key) for each in numbers.values()]
        if any(value is not None for value in values):
            cells = ("–" if value is None else f"{value:.2f}" for value in values)
            lines.append(f"  {name:<28}" + "".join(f"{c:>{width}}" for c in cells) + f"  {unit}")
    return "\n".join(lines)


if __name__ == "__main__":
    with plain_errors(PictureError):
        main(sys.argv[1:])
