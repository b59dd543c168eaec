"""What the commands that write results share: their options, the run, and its images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt

from pyro_vae._memory import keep_freed_memory
from pyro_vae._program import program
from pyro_vae.commands.runs import experiment_of
from pyro_vae.data import ImageData
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.options import OPTIONS
from pyro_vae.experiments.parsing import Parser
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.outputs import Codes, Scores, require_empty, require_table
from pyro_vae.outputs.files import first_rows
from pyro_vae.training import choose_device
from pyro_vae.vae import VAE

#: The help of `--out` where it is a folder, and where it is a table.
FOLDER = "folder to write into, new or empty"
TABLE = "table to write: a .csv or an .npz file (default: none; the first rows are shown)"
PARTS = ("train", "validation", "test")


def parser_of(command: str, description: str, out: str, usage: str = "RUN --out OUT") -> Parser:
    """Return a parser of the options that all of these commands have.

    Args:
        command: its name.
        description: its help; "{program}" stands for how it is called.
        out: the help of `--out`.
        usage: the arguments that it needs.
    """
    called = program(command)
    result = Parser(
        prog=called,
        usage=f"%(prog)s {usage} [options]",
        description=description.format(program=called),
        formatter_class=Formatter,
    )
    result.add_argument("run", type=str, help="folder of a trained run")
    result.add_argument("--out", type=str | None, help=out)
    result.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files of the same names; all others in a folder stay",
    )
    result.add_argument("--trust", action="store_true", help=OPTIONS["trust"].help)
    return result


def add_computation(result: Parser) -> None:
    """Add the options of a long computation."""
    result.add_argument("--device", type=str | None, help=OPTIONS["device"].help)
    result.add_argument("--seed", type=int, default=0, help="seed of the draws")
    result.add_argument(
        "--batch-size", type=PositiveInt, default=500, help="largest number of images at once"
    )


def add_images(result: Parser, default: str | None = None) -> None:
    """Add the options that choose images.

    Args:
        result: the parser.
        default: the part of the run's own images that is taken unless another is chosen; None: all.
    """
    result.add_argument(
        "--data",
        type=str | None,
        help="other images, read, sized and padded as the run's were, or where the run's are now: "
        "a data set's name, a folder, an array file or one image (default: the run's, where they "
        "were)",
    )
    result.add_argument("--skip-corrupt", action="store_true", help=OPTIONS["skip_corrupt"].help)
    result.add_argument(
        "--part",
        type=str | None,
        help=f"the part of the images: {', '.join(PARTS)} "
        f"(default: {f'{default}; of other images, all' if default else 'all'})",
    )


def folder_of(parser: Parser, settings: Namespace) -> Path:
    """Return the folder to write files into; the program ends where none is named.

    Raises:
        OutputError: it cannot be written into.
    """
    if settings.out is None:
        parser.error(f"--out is missing: name the {FOLDER}.")
    return require_empty(settings.out, overwrite=settings.overwrite)


def opened(settings: Namespace) -> tuple[Experiment, VAE]:
    """Return the run that the command line names, and its model where it is to compute."""
    keep_freed_memory()
    experiment = experiment_of(settings.run, settings)
    return experiment, experiment.load().to(choose_device(settings.get("device")))


def write_table(settings: Namespace, make: Callable[..., Codes | Scores], **options: Any) -> None:
    """Write the table that a function of a model and parts of images returns, or show its start.

    Args:
        settings: those of the command line.
        make: the function.
        options: its arguments that it alone has.
    """
    path = settings.out and require_table(settings.out, overwrite=settings.overwrite)
    experiment, vae = opened(settings)
    parts, shared = chosen_parts(experiment, settings), computation(settings)
    table = make(vae, parts, **shared, **options)
    if path is None:
        print(first_rows(table.columns()))
        print(f"{table}. Write the whole table with --out FILE.csv or FILE.npz.")
    else:
        table.save(path, overwrite=settings.overwrite)
        print(f"{path}: {table}")


def computation(settings: Namespace) -> dict[str, Any]:
    """Return what `add_computation` asked for, as the functions take it."""
    return {"batch_size": settings.batch_size, "seed": settings.seed, "progress": True}


def chosen_parts(
    experiment: Experiment, settings: Namespace, default: str | None = None
) -> dict[str, ImageData]:
    """Return the images that the command line asks for, by the names of their parts.

    Those of other data are named "other/test" and so on: the run was not trained on them. All of
    them are test images unless the data have parts of their own.

    Raises:
        ConfigurationError: there is no such part.
        DataError: the images cannot be had.
    """
    own = not experiment.on_other_data
    parts = parts_of_run(experiment) if own else other_parts(experiment)
    wanted = settings.part or (default if own else None)
    if wanted is None:
        return parts
    found = {name: part for name, part in parts.items() if name.split("/")[-1] == wanted}
    if not found:
        raise ConfigurationError(
            f"--part takes one of {', '.join(name.split('/')[-1] for name in parts)} here, "
            f"not {wanted!r}."
        )
    return found


def parts_of_run(experiment: Experiment) -> dict[str, ImageData]:
    """Return a run's images: train, validation where images were held out for it, and test."""
    (train, validation), test = experiment.parts, experiment.dataset.test
    parts = {"train": train, "validation": validation, "test": test}
    return {name: part for name, part in parts.items() if name == "test" or part is not test}


def other_parts(experiment: Experiment) -> dict[str, ImageData]:
    """Return images that the run was not trained on, treated as its own were."""
    return {f"other/{name}": part for name, part in experiment.dataset.parts.items()}
