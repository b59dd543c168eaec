"""Train a variational autoencoder by stochastic variational inference, and see what it learned.

    python scripts/train_svi.py                           # Fashion-MNIST, two latent dimensions
    python scripts/train_svi.py --data path/to/my/images  # your own images
    python scripts/train_svi.py --resume                  # go on after Ctrl-C

Writes a run folder: a report to open, the pictures, the weights, the history and numbers.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pyro_vae.analysis import gallery, reconstructions, report, samples
from pyro_vae.analysis.embeddings import embed
from pyro_vae.console import plain_errors
from pyro_vae.evaluation import has_prior
from pyro_vae.evaluation_table import table
from pyro_vae.experiments import Experiment
from pyro_vae.memory import keep_freed_memory
from pyro_vae.runs import kept_if_used
from pyro_vae.training import Record
from pyro_vae.vae import VAE

# Test images: shown before training, reconstructed after every epoch, plotted by their codes.
SHOWN, FOLLOWED, PLOTTED = slice(0, 25), slice(0, 8), slice(0, 2000)


def main(arguments: list[str]) -> None:
    """Train, evaluate and draw, as the command line says."""
    keep_freed_memory()
    start = time.perf_counter()
    experiment = Experiment.start(arguments, __doc__)
    with kept_if_used(experiment.run.folder):
        numbers = learn(experiment)
    conclude(experiment, table(numbers), time.perf_counter() - start)


def learn(experiment: Experiment) -> dict[str, Any]:
    """Train, evaluate, and draw what was learned; returns the numbers reached."""
    settings = experiment.configuration.settings
    try:
        vae = train(experiment)
        if settings.with_autoencoder:
            train(beside(experiment))
    except KeyboardInterrupt:
        sys.exit(stopped(experiment))
    numbers = experiment.evaluate(vae)
    subject = gallery.Subject.of_run(experiment, device=settings.device, seed=settings.seed)
    gallery.draw(subject, experiment.run.folder)
    report.write(subject, experiment.run)
    return numbers


def train(experiment: Experiment) -> VAE:
    """Train one model, with pictures of the same test images before, during and after."""
    recipe, test = experiment.recipe, experiment.dataset.test.select(SHOWN)
    print(f"{recipe.summary}\n{len(experiment.parts[0])} training images from {test.source}")
    if experiment.epochs > recipe.epochs:
        print(f"Few images: {experiment.epochs} epochs, not {recipe.epochs} (--epochs N for N).")
    if role := experiment.role_of_test:
        print(f"No validation images are held out: the test images {role}, and then judge.")
    vae = experiment.build()
    folder = experiment.run.folder
    if not experiment.configuration.settings.resume:
        save(reconstructions.originals(test), folder / "real_test_images_before_train.png")
        save(reconstructions.reconstructed(vae, test), folder / "reconstruct_before_train.png")
        experiment.keep_codes(0, embed(vae, experiment.dataset.test.select(PLOTTED)))
    experiment.fit(vae, callbacks=[Progress(experiment)])
    return vae


class Progress:
    """How the same test images are reconstructed and where their codes lie, and new images.

    After every epoch; of more than 100 after every second, third, ...
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.every = math.ceil(experiment.epochs / 100)

    def __call__(self, vae: VAE, record: Record) -> None:
        epoch, test = int(record["epoch"]), self.experiment.dataset.test
        if epoch % self.every:
            return
        figure = reconstructions.side_by_side(
            vae, test.select(FOLLOWED), title=f"After epoch {epoch}"
        )
        folder = self.experiment.run.progress
        save(figure, folder / f"epoch_{epoch:03d}.png")
        if has_prior(vae):
            save(samples.from_prior(vae, 8), folder / f"samples_{epoch:03d}.png")
        self.experiment.keep_codes(epoch, embed(vae, test.select(PLOTTED)))


def beside(experiment: Experiment) -> Experiment:
    """The plain autoencoder of the same shape and settings, in a folder within the run's."""
    run, settings = experiment.run.autoencoder, experiment.configuration.settings
    options = {"out": run.folder, "epochs": settings.epochs}
    options |= {"device": settings.device, "data-dir": settings.data_dir}
    if not run.exists():
        options |= {"config": experiment.run.configuration, "start-from": "null", "beta": 1}
        options |= {"prior": "Flat", "posterior": "Delta"}
        options |= {"objective": "ELBO", "annealing": "Constant"}
    given = [part for name, v in options.items() if v is not None for part in (f"--{name}", str(v))]
    return Experiment.start([*given, "--resume" if run.exists() else "--autoencoder"])


def stopped(experiment: Experiment) -> str:
    """What is said after Ctrl-C."""
    folder = experiment.run.folder
    going_on = f"--resume --out {folder}"
    if experiment.configuration.settings.with_autoencoder:
        going_on += " --with-autoencoder"
    return (
        f"\nStopped. Every finished epoch is in {folder}; go on with\n"
        f"  {sys.executable} scripts/train_svi.py {going_on}\n"
        f"or look at it as it is: scripts/evaluate.py {folder}, scripts/analyze.py {folder}"
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def conclude(experiment: Experiment, numbers: str, seconds: float) -> None:
    """Say where everything is, and the numbers reached."""
    folder = experiment.run.folder
    print(
        f"\n{numbers}\n\n"
        f"{seconds / 60:.1f} minutes in all. Everything is in {folder}:\n"
        f"  report            {folder / report.REPORT}   (open it in a browser)\n"
        f"  latent explorer   {folder / report.EXPLORER}\n"
        f"  pictures          {folder}/*.png\n"
        f"  trained model     {experiment.run.weights}\n"
        f"  history           {experiment.run.history}\n"
        f"  configuration     {experiment.run.configuration}\n"
        f"  numbers           {experiment.run.evaluation}"
    )


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
