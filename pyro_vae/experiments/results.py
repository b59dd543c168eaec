"""The numbers of many runs as one table, from their folders.

Runs that differ in their seed alone share a row: mean and standard deviation over seeds.
"""

import shlex
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from pyro_vae._program import program
from pyro_vae._text import escaped
from pyro_vae.errors import PyroVAEError
from pyro_vae.evaluation.table import MEASURES, NOT_COMPARABLE
from pyro_vae.experiments.experiment import Experiment
from pyro_vae.experiments.trust import ConfigurationError

#: The key of each number, the heading of its column, and its digits after the point.
COLUMNS = (
    ("published_loss", "loss as published", 2),
    ("negative_elbo", "−ELBO", 2),
    ("distortion", "distortion", 2),
    ("rate", "rate", 2),
    ("active_units", "active units", 0),
    ("negative_log_likelihood", "−log p(x)", 2),
    ("bits_per_dimension", "bits/dim of −ELBO", 3),
    ("log_likelihood_bits", "bits/dim of −log p(x)", 3),
    ("epochs", "epochs", 0),
    ("train_seconds", "s/epoch", 1),
    ("parameters", "parameters", 0),
)
UNITS = (
    "In nats per image, on the test images; s/epoch is training alone; ± is the standard deviation "
    "over seeds."
)
SAMPLED = " −log p(x) by importance sampling."
#: The parts of a model, each a column where the runs differ in it.
MODEL_PARTS = ("prior", "likelihood", "posterior", "encoder", "decoder")
#: Settings that do not make a run another experiment.
IRRELEVANT = ("seed", "data_dir")


@dataclass(frozen=True)
class ResultRow:
    """One configuration.

    Attributes:
        name: the recipe, and the settings that were changed.
        numbers: the numbers of each of its runs, by the keys in `COLUMNS`, where there are any.
        parts: the class of each part of the model, and its arguments, by the part's name.
    """

    name: str
    numbers: Sequence[dict[str, Any]]
    parts: Mapping[str, tuple[str, dict[str, Any]]]

    @property
    def measure(self) -> str:
        """What its nats measure: a density, a probability mass, or what is not normalized."""
        return MEASURES[self.numbers[0]["measure"]]

    def cell(self, key: str, digits: int) -> str:
        """Return a number of this row, averaged over the runs that have it, or a dash."""
        values = [each[key] for each in self.numbers if each.get(key) is not None]
        return mean_and_spread(values, digits) if values else "–"


def collect(
    folders: Iterable[str | Path],
    *,
    trust: bool = False,
    left_out: Callable[[Path, Exception], None] | None = None,
) -> list[ResultRow]:
    """Return the rows of some run folders, in the order in which their configurations appear.

    Args:
        folders: the run folders.
        trust: import the user's own parts that their configurations name, and run their code.
        left_out: called with each folder that cannot be read, and the reason, in place of an
            error.

    Raises:
        PyroVAEError: a folder holds no run, or one that was not evaluated or cannot be read.
        OSError: a file cannot be opened.
    """
    rows: dict[str, ResultRow] = {}
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        try:
            experiment = Experiment.open(folder, trust=trust)
            key, found = _configuration(experiment), numbers_of(experiment)
        except (PyroVAEError, OSError) as error:
            if left_out is None:
                raise
            left_out(folder, error)
            continue
        name = f"{_in_one_line(folder.name)}: {_name(experiment)}"
        before = rows.get(key, ResultRow(name, [], _parts(experiment)))
        rows[key] = replace(before, numbers=[*before.numbers, found])
    return list(rows.values())


def numbers_of(experiment: Experiment) -> dict[str, Any]:
    """Return the evaluation of a run, with its epochs, seconds per epoch, and parameters.

    Raises:
        ConfigurationError: the run was not evaluated, or its evaluation is damaged.
    """
    run = experiment.run
    found, history = run.numbers(), experiment.history()
    if not found:
        command = f"{program('evaluate')} {shlex.quote(str(run.folder))}{experiment.trust_flag}"
        raise ConfigurationError(f"{run.folder} has no readable evaluation: run `{command}`.")
    seconds = [r.get("train_seconds", r["seconds"]) for r in history]
    vae = experiment.load()
    return found | {
        "measure": found.get("measure", getattr(vae.likelihood, "measure", None)),
        "negative_elbo": None if found.get("elbo") is None else -found["elbo"],
        "epochs": len(history) or None,
        "train_seconds": statistics.median(seconds) if seconds else None,
        "parameters": sum(p.numel() for p in vae.parameters()),
        "seed": experiment.configuration.settings.seed,
    }


def markdown(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a table in Markdown.

    Columns without any number are left out, and so are the parts of the model and the measure where
    all rows have the same.
    """
    used = [column for column in COLUMNS if any(r.cell(column[0], 0) != "–" for r in rows)]
    parts = [
        part for part in MODEL_PARTS if any(r.parts[part] != rows[0].parts[part] for r in rows)
    ]
    mixed = any(row.measure != rows[0].measure for row in rows)
    cells = [
        [row.name, len({each["seed"] for each in row.numbers})]
        + [_part_cell(row, part, rows) for part in parts]
        + [row.measure] * mixed
        + [row.cell(key, digits) for key, _, digits in used]
        for row in rows
    ]
    headings = ["run", "seeds", *parts, *["measure"] * mixed, *(title for _, title, _ in used)]
    table = tabulate(cells, headings, "github", disable_numparse=True)
    sampled = any(key == "negative_log_likelihood" for key, _, _ in used)
    return "\n".join([table, "", UNITS + SAMPLED * sampled + f" {NOT_COMPARABLE}" * mixed])


def _part_cell(row: ResultRow, part: str, rows: Sequence[ResultRow]) -> str:
    """Return the class of a part, and those arguments in which rows of the same class differ."""
    name, arguments = row.parts[part]
    same_class = [other.parts[part][1] for other in rows if other.parts[part][0] == name]
    differing = [
        f"{argument} {_as_argument(value)}"
        for argument, value in arguments.items()
        if any(other.get(argument) != value for other in same_class)
    ]
    return f"{name} ({', '.join(differing)})" if differing else name


def mean_and_spread(values: Sequence[float], digits: int) -> str:
    """Return the mean, and the standard deviation where several values differ."""
    text = f"{statistics.mean(values):,.{digits}f}"
    if len(values) < 2 or max(values) == min(values):
        return text
    return f"{text} ± {statistics.stdev(values):,.{digits}f}"


def _configuration(experiment: Experiment) -> str:
    settings: dict[str, Any] = yaml.safe_load(experiment.configuration.text)
    settings["start_from"] = settings.get("start_from") is not None
    return yaml.safe_dump({k: v for k, v in settings.items() if k not in IRRELEVANT})


def _parts(experiment: Experiment) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the class of each part of the model, and its arguments."""
    names = experiment.configuration.part_names
    settings = yaml.safe_load(experiment.configuration.text)
    described = {part: settings[part] for part in MODEL_PARTS}
    return {
        part: (names[part], dict(each.get("init_args") or {}) if isinstance(each, dict) else {})
        for part, each in described.items()
    }


def _as_argument(value: Any) -> str:
    return _in_one_line(f"{value:.3g}" if isinstance(value, float) else str(value))


def _name(experiment: Experiment) -> str:
    settings, changed = experiment.configuration.settings, experiment.configuration.changed
    name = f"`{experiment.recipe.name}`"
    name += ", as published" * settings.as_published + ", autoencoder" * settings.autoencoder
    values = yaml.safe_load(experiment.configuration.text)
    changes = [f"{each.replace('_', ' ')} {_short(values.get(each))}" for each in changed]
    return f"{name}; {', '.join(changes)}" if changes else name


def _short(value: Any) -> str:
    """Return a setting in a word: the class of a part, the last name of a path."""
    if isinstance(value, dict):
        value = value["class_path"].rpartition(".")[2]
    return _in_one_line(Path(str(value)).name)


def _in_one_line(text: str) -> str:
    """Return text for a cell of the table."""
    return " ".join(escaped(text, keep="\n\t").replace("|", "\\|").split())
