"""Several runs side by side: each picture of all of them in one figure, their numbers in one table.

`pyro-vae analyze` does this where it is given more than one run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tabulate import tabulate

from pyro_vae._files import write_text
from pyro_vae._progress import hidden, tqdm
from pyro_vae.analysis import PICTURES, Subject, comparison
from pyro_vae.analysis.animation import frame_beside, save_gif
from pyro_vae.analysis.style import save_figure
from pyro_vae.analysis.suite import missing
from pyro_vae.evaluation.table import MEASURES, NOT_COMPARABLE, ROWS
from pyro_vae.experiments import Experiment
from pyro_vae.training import choose_device

#: The pictures that are compared unless others are named.
COMPARED = (
    "reconstruct_after_train",
    "embedding_visualize",
    "linearly_sampled_reconstructions",
    "normally_sampled_reconstructions",
    "aggregate_posterior",
    "rate_per_dimension",
    "training_curves",
)


def compare(
    experiments: Sequence[Experiment],
    subjects: Sequence[Subject],
    folder: Path,
    names: Sequence[str] | None = None,
    device: str | None = None,
) -> list[Path]:
    """Write the comparison of several runs into a folder, and return its files.

    Args:
        experiments: the runs.
        subjects: what their pictures show, in the same order.
        folder: made if need be.
        names: of the pictures; by default `COMPARED`.
        device: where runs that were not evaluated yet are evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = dict(zip(labels(experiments), subjects, strict=True))
    paths = []
    chosen = names or COMPARED
    for name in (bar := tqdm(chosen, "pictures", unit="picture", disable=hidden(True))):
        bar.set_postfix_str(name)
        paths += compare_pictures(name, runs, folder)
    numbers = {
        label: evaluated(experiment, device)
        for label, experiment in zip(runs, experiments, strict=True)
    }
    paths += trade_off(numbers, folder)
    table = comparison_table(numbers)
    print(table)
    write_text(folder / "table.txt", table + "\n")
    return [*paths, folder / "table.txt"]


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """Return the names of the runs' folders, or their paths where names repeat."""
    names = [experiment.run.folder.resolve().name for experiment in experiments]
    paths = [str(experiment.run.folder) for experiment in experiments]
    return names if len(set(names)) == len(names) else paths


def compare_pictures(name: str, runs: Mapping[str, Subject], folder: Path) -> list[Path]:
    """Draw a picture of all runs that it applies to, in one figure or film."""
    picture = PICTURES[name]
    reasons = {label: missing(picture, subject) for label, subject in runs.items()}
    shown = {label: subject for label, subject in runs.items() if not reasons[label]}
    for label, reason in reasons.items():
        if reason:
            tqdm.write(f"{name} is not drawn for {label}: {reason}")
    if not shown:
        return []
    path = folder / picture.file
    if picture.together:
        save_figure(picture.together(shown), path, within=folder)
        return [path]
    made = {label: picture.make(subject) for label, subject in shown.items()}
    films = [frames for frames in made.values() if isinstance(frames, list)]
    if films:
        frames = [frame_beside(each) for each in zip(*films, strict=False)]
        save_gif(frames, path, within=folder)
    else:
        figures = {label: each for label, each in made.items() if isinstance(each, Figure)}
        save_figure(comparison.beside(figures, columns=len(figures)), path, within=folder)
    return [path]


def evaluated(experiment: Experiment, device: str | None) -> dict[str, Any]:
    """Return the numbers that a run reached; it is evaluated now if it was not yet."""
    own = {} if experiment.on_other_data else experiment.run.numbers()
    return own or experiment.evaluate(experiment.load().to(choose_device(device)))


def trade_off(numbers: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw distortion against rate of all runs that have both, if on one scale."""
    points = [
        (label, each["distortion"], each["rate"])
        for label, each in numbers.items()
        if each.get("distortion") is not None and each.get("rate") is not None
    ]
    if not points:
        return []
    if len({numbers[label].get("measure") for label, *_ in points}) > 1:
        tqdm.write("rate_distortion is not drawn: these distortions are on different scales")
        return []
    path = folder / "rate_distortion.png"
    points.sort(key=lambda point: point[2])
    save_figure(comparison.rate_distortion(points), path, within=folder)
    return [path]


def comparison_table(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the runs' numbers as text, a column for each run."""
    rows = []
    for row in ROWS:
        key, name, unit = row[:3]
        values = [each.get(key) for each in numbers.values()]
        if any(value is not None for value in values):
            cells = ["–" if value is None else f"{value:.2f}" for value in values]
            rows.append([name, *cells, unit])
    measures = [MEASURES[each.get("measure")] for each in numbers.values()]
    mixed = len(set(measures)) > 1
    if mixed:
        rows.insert(0, ["measure", *measures, ""])
    alignment = ("left", *["right"] * len(numbers), "left")
    table = tabulate(
        rows, ["", *numbers, ""], tablefmt="plain", colalign=alignment, disable_numparse=True
    )
    return f"{table}\n\n{NOT_COMPARABLE}" if mixed else table
