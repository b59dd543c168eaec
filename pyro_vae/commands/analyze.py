"""`pyro-vae analyze`: every picture of a trained run, its report and its latent explorer."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from pyro_vae._memory import keep_freed_memory
from pyro_vae._program import program
from pyro_vae.analysis import PICTURES, Choices, Subject, draw
from pyro_vae.analysis.pages import explorer, report
from pyro_vae.analysis.suite import chosen
from pyro_vae.commands.compare import compare
from pyro_vae.commands.evaluate import DATA
from pyro_vae.commands.runs import experiment_of
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.options import OPTIONS
from pyro_vae.experiments.parsing import Parser
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.training import Run

DESCRIPTION = """Draw every picture of a trained run, and write its report and its latent explorer.

    {program} runs/fashion_conv
    {program} runs/fashion_conv --only interpolation --pair 3 8 --steps 10
    {program} runs/first runs/second --out runs/compared    # side by side

Of one run: pictures, report.html and explorer.html, into its folder; on other images (--data), with
their evaluation, into a folder of their own. Of several: each picture of all of them in one figure,
and their numbers in one table, into --out.
"""

#: The most letters of the name of other images that the folder of their pictures is named after.
LONGEST_NAME = 50


def main(arguments: list[str]) -> None:
    """Draw what the command line asks for."""
    keep_freed_memory()
    settings = options().read(arguments)
    experiments = [experiment_of(run, settings) for run in dict.fromkeys(settings.run)]
    subjects = [subject(experiment, settings) for experiment in experiments]
    check(settings, subjects, other=experiments[0].on_other_data)
    if len(experiments) == 1:
        paths = analyze(experiments[0], subjects[0], settings)
    else:
        folder = Path(settings.out or "runs/compared")
        paths = compare(experiments, subjects, folder, settings.only, settings.device)
    print("\n".join(str(path) for path in paths))


def options() -> Parser:
    """Return the parser of the options."""
    called = program("analyze")
    result = Parser(
        prog=called,
        usage="%(prog)s RUN [RUN ...] [options]",
        description=DESCRIPTION.format(program=called),
        formatter_class=Formatter,
    )
    result.add_argument("run", type=str, nargs="+", help="folder of a trained run, or of several")
    result.add_argument(
        "--only", type=str, nargs="+", help=f"pictures to draw: {', '.join(PICTURES)}"
    )
    result.add_argument(
        "--pair",
        type=NonNegativeInt,
        nargs=2,
        help="two test images to interpolate between, counted from 0",
    )
    result.add_argument(
        "--steps",
        type=PositiveInt | None,
        help="number of images of an interpolation, the ends included",
    )
    result.add_argument(
        "--dimensions",
        type=PositiveInt,
        nargs=2,
        help="two dimensions of grids and of the explorer, counted from 1",
    )
    result.add_argument(
        "--tiles", type=PositiveInt | None, help="number of images along each side of a grid"
    )
    result.add_argument(
        "--range",
        type=float,
        nargs=2,
        help="LOW and HIGH of both coordinates of the evenly spaced grid",
    )
    result.add_argument(
        "--axes",
        type=explorer.Axes,
        default="dimensions",
        help="axes of the explorer: two dimensions, or the codes' principal components",
    )
    result.add_argument("--seed", type=int, default=0, help="seed of the draws")
    result.add_argument("--device", type=str | None, help=OPTIONS["device"].help)
    result.add_argument(
        "--out",
        type=str | None,
        help="folder for a comparison of several runs (default: runs/compared), or for one run on "
        "other images (default: RUN/analysis_of_NAME)",
    )
    result.add_argument("--data", type=str | None, help=DATA)
    result.add_argument("--skip-corrupt", action="store_true", help=OPTIONS["skip_corrupt"].help)
    result.add_argument("--trust", action="store_true", help=OPTIONS["trust"].help)
    return result


def subject(experiment: Experiment, settings: Namespace) -> Subject:
    """Return what the pictures of a run show."""
    plane = settings.dimensions and tuple(dimension - 1 for dimension in settings.dimensions)
    choices = Choices(settings.pair, settings.steps, plane, settings.range, settings.tiles)
    return subject_of_run(experiment, device=settings.device, seed=settings.seed, choices=choices)


def check(settings: Namespace, subjects: Sequence[Subject], *, other: bool = False) -> None:
    """Refuse options that do not fit the pictures or the runs.

    Args:
        settings: those of the command line.
        subjects: what the pictures show.
        other: whether they show other images than those that the run was trained on.

    Raises:
        PictureError: there is no picture of that name.
        ConfigurationError: another option does not fit.
    """
    chosen(subjects[0], settings.only)
    if len(subjects) == 1 and settings.out and not other:
        raise ConfigurationError(
            "--out is for several runs, or for other images (--data): the pictures of one run go "
            "into its folder."
        )
    if len(subjects) > 1 and settings.axes != "dimensions":
        raise ConfigurationError("--axes is for one run: a comparison has no explorer.")
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
        raise ConfigurationError("--steps counts both ends: give 2 or more.")
    if settings.tiles and not 2 <= settings.tiles <= 50:
        raise ConfigurationError(f"--tiles takes a number from 2 to 50, not {settings.tiles}.")
    if settings.range and not settings.range[0] < settings.range[1]:
        raise ConfigurationError("--range takes two numbers, the second above the first.")


def valid_plane(dimensions: Sequence[int], size: int) -> bool:
    """Return whether two dimensions, counted from 1, span a plane of a latent space."""
    return max(dimensions) <= size and dimensions[0] != dimensions[1]


def analyze(experiment: Experiment, looked_at: Subject, settings: Namespace) -> list[Path]:
    """Draw the pictures of one run, its report and its explorer, and return the files.

    Those of other images than its own go into another folder, with their evaluation.
    """
    run = experiment.run
    if experiment.on_other_data:
        inside = run.folder / f"analysis_of_{looked_at.dataset.name[:LONGEST_NAME]}"
        run = Run(Path(settings.out or inside))
        within = run.folder if settings.out else experiment.run.folder
        run.keep_numbers(experiment.evaluate(looked_at.vae), within=within)
    pictures = draw(looked_at, run.folder, settings.only)
    plane = looked_at.choices.plane
    pages = report.write(looked_at, run, dimensions=plane, axes=settings.axes)
    return pictures + pages
