"""The report of a training that `fit` did, left in its folder by a callback."""

from collections.abc import Sequence
from pathlib import Path

from pyro_vae._arguments import Seed, checked
from pyro_vae.analysis.pages import report
from pyro_vae.analysis.subject import Subject
from pyro_vae.analysis.suite import draw
from pyro_vae.data import Dataset
from pyro_vae.errors import StateError
from pyro_vae.evaluation import evaluate
from pyro_vae.training import Record, Run
from pyro_vae.vae import VAE


class ReportAfterTraining:
    """Leaves the evaluation, the pictures and the report in a training's folder, at its end.

    Attributes:
        dataset: the training images, and the test images that the report is about.
        seed: seed of all randomness.
        progress: show progress bars.
    """

    needs_folder = True
    """Whether `fit` must be given a folder."""

    def __init__(self, dataset: Dataset, seed: int = 0, progress: bool = True) -> None:
        self.dataset, self.seed, self.progress = dataset, seed, progress

    def __call__(self, vae: VAE, record: Record) -> None:
        """Do nothing after an epoch."""

    def after_training(self, vae: VAE, history: Sequence[Record], folder: Path | None) -> None:
        """Evaluate the model on the test images, draw the pictures, and write the report.

        Args:
            vae: the trained model.
            history: the record of each epoch.
            folder: the run folder.

        Raises:
            StateError: there is no folder.
        """
        if folder is None:
            raise StateError("report_after_training: fit was given no folder to write to.")
        run, test = Run(folder), self.dataset.test
        found = evaluate(vae, test, seed=self.seed, progress=self.progress)
        run.keep_numbers(found.as_dict())
        subject = Subject(
            vae,
            self.dataset,
            history=history,
            training_steps=run.logged_steps(),
            seed=self.seed,
            progress=self.progress,
        )
        draw(subject, folder, progress=self.progress)
        report.write(subject, run, progress=self.progress)


@checked
def report_after_training(
    dataset: Dataset, *, seed: Seed = 0, progress: bool = True
) -> ReportAfterTraining:
    """Return a callback with which `fit(folder=...)` leaves the report, too.

    At the end of the training the test images are evaluated, every picture is drawn, and
    `report.html` and `explorer.html` are written into the folder.

    Args:
        dataset: the training images, and the test images that the report is about.
        seed: seed of all randomness.
        progress: show progress bars.

    Example:
        >>> from pyro_vae import data
        >>> callback = report_after_training(data.load("digits"))
        >>> # fit(vae, digits.train, folder="runs/mine", callbacks=[callback])
    """
    return ReportAfterTraining(dataset, seed, progress)
