"""`pyro-vae train`: train a model, evaluate it, and draw what it learned."""

import math
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from itertools import pairwise
from typing import Any

from pyro_vae._memory import keep_freed_memory
from pyro_vae._program import program
from pyro_vae.analysis import draw, embed, reconstructions, samples
from pyro_vae.analysis.pages import report
from pyro_vae.analysis.style import save_figure
from pyro_vae.commands.console import SIGNALED
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.evaluation import has_prior
from pyro_vae.evaluation.table import as_text
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.fitting import described
from pyro_vae.experiments.folders import claimed
from pyro_vae.experiments.parsing import first_look
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.outputs import encode, score
from pyro_vae.processes import alone, is_first, joined, leave
from pyro_vae.processes.group import by_first, do_first
from pyro_vae.recipes import AUTO, listing
from pyro_vae.slots import check_slots, check_support
from pyro_vae.training import Record, Stopped, stopping
from pyro_vae.training.failures import Diverged
from pyro_vae.vae import VAE

DESCRIPTION = """Train a variational autoencoder, and see what it learned.

    {program}                        # Fashion-MNIST, two latent dimensions
    {program} path/to/my/images      # your own images
    {program} --prior mine.MyPrior   # your own class, in mine.py of this folder
    {program} --resume               # continue after Ctrl-C

Writes a run folder: a report to open, the pictures, the weights, the history, the numbers, and
tables of the test images' codes and scores.
"""
# Test images that are shown before training, reconstructed after every epoch, and plotted by code.
SHOWN, FOLLOWED, PLOTTED = slice(0, 25), slice(0, 8), slice(0, 2000)
#: How long drawing after epochs may take, as a share of the time that the epochs take.
SHARE = 0.5


def main(arguments: list[str]) -> None:
    """Train, evaluate and draw what the command line asks for."""
    if asks_for_recipes(arguments):
        print(f"{listing()}\n{AUTO}: fits itself to the images; it is what images get by default")
        return
    keep_freed_memory()
    start = time.perf_counter()
    called = program("train")
    earlier = 0.0
    with stopping(at_once=True), joined(), silent_elsewhere():
        experiment = Experiment.start(
            with_images(arguments), DESCRIPTION.format(program=called), called
        )
        resume = experiment.configuration.settings.resume
        with saying_where(experiment), claimed(experiment.run, resume=resume):
            if resume:
                earlier = experiment.seconds_trained()
            numbers = learn(experiment)
        first = is_first()
    leave()
    if first:
        conclude(experiment, as_text(numbers), time.perf_counter() - start, earlier)


@contextmanager
def silent_elsewhere() -> Iterator[None]:
    """Let the first of several processes alone print within a block."""
    if is_first():
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def asks_for_recipes(arguments: list[str]) -> bool:
    """Return whether the arguments hold `--recipe help`."""
    return "--recipe=help" in arguments or ("--recipe", "help") in pairwise(arguments)


def with_images(arguments: list[str]) -> list[str]:
    """Return the arguments with a path that stands first as `--data`.

    Raises:
        ConfigurationError: others are named there.
    """
    first, *rest = arguments or [""]
    if not first or first.startswith("-"):
        return arguments
    if (other := first_look(rest, ["data"]).data) is not None:
        raise ConfigurationError(f"Images are named twice: {first} and --data {other}.")
    return ["--data", first, *rest]


def learn(experiment: Experiment) -> dict[str, Any]:
    """Train, evaluate, draw what was learned, and return the numbers reached."""
    settings = experiment.configuration.settings
    vae = train(experiment)
    if settings.with_autoencoder:
        train(autoencoder_beside(experiment))
    numbers = experiment.evaluate(vae)
    if is_first():
        with alone():
            show(experiment, vae)
    return numbers


def show(experiment: Experiment, vae: VAE) -> None:
    """Write tables of the test images, and draw what was learned."""
    settings = experiment.configuration.settings
    tabulate_test(experiment, vae)
    if not settings.skip_pictures:
        subject = subject_of_run(experiment, device=settings.device, seed=settings.seed)
        draw(subject, experiment.run.folder)
        report.write(subject, experiment.run)


def tabulate_test(experiment: Experiment, vae: VAE) -> None:
    """Write the codes and the scores of the test images into the run folder."""
    run, parts = experiment.run, {"test": experiment.dataset.test}
    encode(vae, parts).save(run.code_table, overwrite=True, within=run.folder)
    score(vae, parts).save(run.score_table, overwrite=True, within=run.folder)


def train(experiment: Experiment) -> VAE:
    """Train one model, with pictures of the same test images before and during the training."""
    recipe, test = experiment.recipe, experiment.dataset.test
    counts = f"{experiment.held_out:,} to validate, {len(test):,} to test"
    print(
        f"{recipe.summary}\n"
        f"{len(experiment.parts[0]):,} training images from {test.source} ({counts})"
    )
    if recipe.name == AUTO:
        print(described(recipe, experiment.configuration.part_names))
    if experiment.epochs > recipe.epochs:
        print(
            f"There are few images: {experiment.epochs} epochs instead of {recipe.epochs} "
            "(choose another number with --epochs)."
        )
    if not experiment.held_out:
        roles = ", ".join(experiment.roles_of_test) or "are inspected after every epoch"
        print(f"No validation images are held out: the test images {roles}, and judge the result.")
    vae = experiment.build()
    if not experiment.configuration.settings.resume:
        images = experiment.parts[0]
        with warnings.catch_warnings(action="ignore"):  # What `fit` says, it says later.
            check_support(vae, images)
            check_slots(vae, images.as_float(slice(0, 4)))
        do_first(lambda: show_untrained(experiment, vae))
    snapshots = Snapshots(experiment)
    experiment.train(vae, callbacks=[snapshots])
    if snapshots.left_out:
        print(
            f"{snapshots.left_out} epochs have no pictures: drawing them would have taken more "
            f"than {SHARE:.0%} of the time that the training took."
        )
    return vae


def show_untrained(experiment: Experiment, vae: VAE) -> None:
    """Draw the first test images before the training, and keep their codes."""
    folder, test = experiment.run.folder, experiment.dataset.test.select(SHOWN)
    save_figure(
        reconstructions.originals(test),
        folder / "real_test_images_before_train.png",
        within=folder,
    )
    save_figure(
        reconstructions.reconstructed(vae, test),
        folder / "reconstruct_before_train.png",
        within=folder,
    )
    experiment.keep_codes(0, embed(vae, experiment.dataset.test.select(PLOTTED)))


class Snapshots:
    """Keeps reconstructions and codes of the same test images, and new images, after every epoch.

    Of more than 100 epochs, after every second one, third one, and so on. An epoch is left out
    where drawing has taken more than `SHARE` of the time of all epochs so far; the last never is.

    Attributes:
        left_out: the number of epochs that were left out for lack of time.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.every = math.ceil(experiment.epochs / 100)
        self.left_out = 0
        self._training, self._drawing = 0.0, 0.0

    def __call__(self, vae: VAE, record: Record) -> None:
        epoch = int(record["epoch"])
        self._training += record["seconds"]
        is_last = epoch == self.experiment.epochs
        if epoch % self.every and not is_last:
            return
        if self._drawing > SHARE * self._training and not is_last:
            self.left_out += 1
            return
        start = time.perf_counter()
        self._draw(vae, epoch)
        self._drawing += time.perf_counter() - start

    def _draw(self, vae: VAE, epoch: int) -> None:
        test = self.experiment.dataset.test
        figure = reconstructions.side_by_side(
            vae, test.select(FOLLOWED), title=f"After epoch {epoch}"
        )
        run = self.experiment.run
        folder = run.snapshots
        save_figure(figure, folder / f"epoch_{epoch:03d}.png", within=run.folder)
        if has_prior(vae):
            made = samples.from_prior(vae, 8)
            save_figure(made, folder / f"samples_{epoch:03d}.png", within=run.folder)
        self.experiment.keep_codes(epoch, embed(vae, test.select(PLOTTED)))


def autoencoder_beside(experiment: Experiment) -> Experiment:
    """Return the plain autoencoder of the same shape and settings, in a folder of the run's."""
    run, settings = experiment.run.autoencoder, experiment.configuration.settings
    begun = by_first(run.exists)
    if not begun:  # What is left of a start that was killed.
        do_first(lambda: shutil.rmtree(run.folder, ignore_errors=True))
    options = {"out": run.folder, "epochs": settings.epochs}
    options |= {"device": settings.device, "data-dir": settings.data_dir}
    if not begun:
        options |= {"config": experiment.run.configuration, "start-from": "null", "beta": 1}
        options |= {"prior": "Flat", "posterior": "Delta"}
        options |= {"objective": "ELBO", "annealing": "Constant"}
    given = [part for name, v in options.items() if v is not None for part in (f"--{name}", str(v))]
    given += ["--trust"] * experiment.trusted  # The user has named these parts already.
    return Experiment.start([*given, "--resume" if begun else "--autoencoder"])


@contextmanager
def saying_where(experiment: Experiment) -> Iterator[None]:
    """Say where a training that ends early has left what it reached, and how to continue it."""
    run = experiment.run
    try:
        yield
    except Stopped as stop:
        if not run.exists() or not is_first():
            raise
        with suppress(OSError):  # Whoever read it may have been stopped, too.
            print(stopped(experiment), file=sys.stderr, flush=True)
        sys.exit(SIGNALED + stop.number)
    except Diverged as error:
        if not run.exists() or not is_first():
            raise
        raise Diverged(f"{error} The best weights before that are in {run.weights}.") from error


def stopped(experiment: Experiment) -> str:
    """Return what is said after a stop."""
    folder = shlex.quote(str(experiment.run.folder))
    beside = " --with-autoencoder" * experiment.configuration.settings.with_autoencoder
    trust = experiment.trust_flag
    return (
        f"\nStopped. Every step is kept in {folder}; continue with\n"
        f"  {program('train')} --resume --out {folder}{beside}{trust}\n"
        "or look at it as it is:\n"
        f"  {program('evaluate')} {folder}{trust}\n"
        f"  {program('analyze')} {folder}{trust}"
    )


def kept_weights(experiment: Experiment) -> str:
    """Return a sentence that says which weights were kept, and whether they were long surpassed."""
    history = experiment.history()
    losses = [record.get("validation_loss", math.nan) for record in history]
    if experiment.recipe.keep == "last" or not losses or math.isnan(losses[0]):
        return f"  Weights of the last epoch, {len(history)}.\n"
    best = losses.index(min(losses)) + 1
    late = ""
    if best < len(losses) / 2:
        late = (
            " Later ones fit the training images only: fewer epochs, more images or a smaller "
            "model may do better."
        )
    images = "validation" if experiment.held_out else "test"
    return f"  Weights of epoch {best} of {len(losses)}, the best on the {images} images.{late}\n"


def conclude(experiment: Experiment, numbers: str, seconds: float, earlier: float = 0.0) -> None:
    """Print the numbers reached, and where everything is.

    Args:
        experiment: the run.
        numbers: those reached.
        seconds: how long this start of the program took.
        earlier: how long the training took before that, if this start continued it.
    """
    run = experiment.run
    where = {
        "report": f"{run.folder / report.REPORT}   (open it in a browser)",
        "latent explorer": run.folder / report.EXPLORER,
        "pictures": f"{run.folder}/*.png",
    }
    if experiment.configuration.settings.skip_pictures:
        folder = shlex.quote(str(run.folder))
        command = f"{program('analyze')} {folder}{experiment.trust_flag}"
        drawn = (run.folder / report.REPORT).exists()
        where = {"pictures": f"{'of before' if drawn else 'none yet'}: `{command}` draws them"}
    where |= {
        "trained model": run.weights,
        "history": run.history,
        "configuration": run.configuration,
        "numbers": run.evaluation,
        "codes of the test images": run.code_table,
        "strangest test images": run.score_table,
    }
    lines = [f"  {name:<26}{path}" for name, path in where.items()]
    print(
        f"\n{numbers}\n{kept_weights(experiment)}\n"
        f"{_minutes(seconds, earlier)} Everything is in {run.folder}:\n" + "\n".join(lines)
    )


def _minutes(seconds: float, earlier: float) -> str:
    before = f", {earlier / 60:.1f} of them before it was continued" if earlier else ""
    return f"{(seconds + earlier) / 60:.1f} minutes in all{before}."
