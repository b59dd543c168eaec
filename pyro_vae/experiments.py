"""An experiment: a configuration, its images and its run folder, brought together."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from pyro_vae import checkpoints
from pyro_vae.configuration import PASSING, Configuration, ConfigurationError, parse, read
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation import Evaluation, evaluate
from pyro_vae.recipes import Recipe
from pyro_vae.runs import Run, write_json, write_text
from pyro_vae.schedules import Plateau
from pyro_vae.training import Record, fit
from pyro_vae.training_steps import read_steps
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Experiment:
    """One run: what it is, on which images, and where its files are.

    Attributes:
        configuration: every setting.
        run: its folder.
    """

    configuration: Configuration
    run: Run

    @classmethod
    def start(cls, arguments: Sequence[str], description: str = "") -> "Experiment":
        """An experiment from command-line arguments; with `--resume`, a stopped one.

        Raises:
            ConfigurationError: a setting does not fit, or the run folder does not.
        """
        configuration = parse(arguments, description)
        if configuration.settings.resume:
            folder = _latest(configuration)
            return cls(resumed(folder, arguments), Run(folder))
        return cls(configuration, Run(_free(configuration)))

    @classmethod
    def open(cls, folder: str | Path) -> "Experiment":
        """The experiment of a run folder.

        Raises:
            ConfigurationError: the folder holds no run.
        """
        run = Run(Path(folder))
        _require(run)
        return cls(read(run.configuration), run)

    @property
    def recipe(self) -> Recipe:
        """The system, with every override applied."""
        return self.configuration.recipe

    @cached_property
    def dataset(self) -> Dataset:
        """The images, as the model takes them."""
        return self.configuration.dataset()

    @cached_property
    def parts(self) -> tuple[ImageData, ImageData]:
        """The images to train on, and those that choose the weights."""
        limit = slice(0, self.configuration.settings.limit)
        if self.held_out == 0:
            return self.dataset.train.select(limit), self.dataset.test
        train, validation = self.dataset.split(self.held_out)
        return train.select(limit), validation

    @property
    def epochs(self) -> int:
        """How often every training image is seen."""
        return self.recipe.epochs_for(len(self.parts[0]))

    @property
    def held_out(self) -> int:
        """How many training images are held out; where there are none, the test images serve."""
        return min(self.recipe.validation, len(self.dataset.train) // 10)

    @property
    def role_of_test(self) -> str:
        """What the test images do besides judging, in words; none where images are held out."""
        if self.held_out:
            return ""
        plateau = isinstance(self.recipe.schedule(), Plateau)
        roles = ["drive the learning rate"] * plateau
        roles += ["choose the weights"] * (self.recipe.keep == "best")
        return ", ".join(roles) or "are looked at after every epoch"

    def build(self) -> VAE:
        """The model before this training: its weights follow the seed, or an earlier run.

        Raises:
            ConfigurationError: a part refuses its settings, or the earlier run's weights.
        """
        settings = self.configuration.settings
        vae = self._built()
        if settings.start_from is not None and not settings.resume:
            start_from(vae, Run(Path(settings.start_from)))
        return vae

    def _built(self) -> VAE:
        pyro.set_rng_seed(self.configuration.settings.seed)
        shape = self.dataset.image_shape
        try:
            # These three are not needed yet, but refuse their settings before anything is written.
            self.recipe.objective(), self.recipe.annealing(), self.recipe.schedule()
            return self.recipe.build(shape)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"The model cannot be built: {error}") from error

    def load(self) -> VAE:
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: there is none that can be read.
        """
        try:
            return checkpoints.load(self.run.weights)
        except checkpoints.ForeignPartError:
            vae = self._built()  # The configuration knows the class of your own.
        vae.load_state_dict(checkpoints.read(self.run.weights)["weights"])
        return vae.eval()

    def fit(
        self,
        vae: VAE,
        callbacks: Sequence[Callable[[VAE, Record], None]] = (),
        progress: bool = True,
    ) -> None:
        """Train a model as the recipe says; the run folder is complete after every epoch."""
        write_text(self.run.configuration, self.configuration.text_with(epochs=self.epochs))
        self.run.evaluation.unlink(missing_ok=True)  # It is of other weights, from now on.
        train, validation = self.parts
        fit(
            vae,
            train,
            validation=validation,
            objective=self.recipe.objective(),
            beta=self.recipe.beta,
            annealing=self.recipe.annealing(),
            epochs=self.epochs,
            batch_size=self.recipe.batch_size,
            learning_rate=self.recipe.learning_rate,
            epsilon=self.recipe.epsilon,
            schedule=self.recipe.schedule(),
            keep=self.recipe.keep,
            new_draws=self.recipe.new_draws,
            device=self.configuration.settings.device,
            folder=self.run.folder,
            resume=self.configuration.settings.resume,
            callbacks=callbacks,
            published_loss=self.published_loss,
            progress=progress,
        )

    def evaluate(self, vae: VAE, samples: int = 0, images: int | None = None) -> dict[str, Any]:
        """Evaluate on the test images.

        The numbers of all images are kept in the run folder, and stay there until as many samples
        are taken again.

        Args:
            vae: the trained model.
            samples: importance samples per image for the log-likelihood; 0: none.
            images: evaluate the first so many; None: all.
        """
        test = self.dataset.test.select(slice(images))
        numbers = self.numbers(evaluate(vae, test, samples=samples, progress=True))
        if len(test) == len(self.dataset.test) and samples >= self._samples_kept():
            write_json(self.run.evaluation, numbers)
        return numbers

    def _samples_kept(self) -> int:
        if not self.run.evaluation.exists():
            return 0
        return json.loads(self.run.evaluation.read_text())["samples"]

    def history(self) -> list[Record]:
        """The records of all finished epochs."""
        return json.loads(self.run.history.read_text())

    def steps(self) -> np.ndarray:
        """Loss, ELBO, distortion and rate at every step, (steps, 4); none if some are missing."""
        files = [self.run.steps(int(record["epoch"])) for record in self.history()]
        return read_steps(files)

    def keep_codes(self, epoch: int, codes: Tensor) -> None:
        """Keep the codes (N, D) of the first N test images after an epoch."""
        self.run.progress.mkdir(parents=True, exist_ok=True)
        torch.save(codes, self._codes(epoch))

    def stages(self) -> list[tuple[int, Tensor]]:
        """(epoch, codes) of all finished epochs whose codes were kept; 0 is before training."""
        kept = ((epoch, self._codes(epoch)) for epoch in range(len(self.history()) + 1))
        return [
            (epoch, torch.load(path, weights_only=True)) for epoch, path in kept if path.exists()
        ]

    def _codes(self, epoch: int) -> Path:
        return self.run.progress / f"codes_{epoch:03d}.pt"

    def numbers(self, found: Evaluation) -> dict[str, Any]:
        """An evaluation's numbers, with the loss on the source's scale."""
        numbers = found.as_dict()
        if self.published_loss and found.rate is not None:
            numbers["published_loss"] = self.published_loss(found.distortion, found.rate)
        return numbers

    @property
    def published_loss(self) -> Callable[[float, float], float] | None:
        """The loss on the source's scale, from distortion and rate in nats per image."""
        if self.recipe.published_loss is None:
            return None
        channels, height, width = self.dataset.image_shape
        return lambda distortion, rate: self.recipe.published_loss(
            distortion, rate, channels * height * width
        )


def start_from(vae: VAE, earlier: Run) -> None:
    """Give a model the weights of an earlier run.

    Raises:
        ConfigurationError: the folder holds no run, or one of another model.
    """
    _require(earlier)
    try:
        vae.load_state_dict(checkpoints.read(earlier.weights)["weights"])
    except RuntimeError as error:
        raise ConfigurationError(
            f"The model of {earlier.folder} is another one, which this cannot start from: {error}"
        ) from None


def resumed(folder: Path, arguments: Sequence[str]) -> Configuration:
    """A stopped run's own configuration; only the number of epochs and the device may change.

    Raises:
        ConfigurationError: another setting was given, or the folder holds no run.
    """
    run = Run(folder)
    _require(run)
    saved = read(run.configuration)
    configuration = read(run.configuration, *arguments)
    changed = [
        name
        for name, value in vars(configuration.settings).items()
        if name not in PASSING and value != saved.settings[name]
    ]
    if set(changed) - {"epochs", "data_dir"}:
        raise ConfigurationError(
            f"--resume goes on with the settings in {run.configuration}; "
            f"these cannot change: {', '.join(changed)}. Start a new run for that."
        )
    return configuration


def _require(run: Run) -> None:
    if not run.exists() or not run.configuration.exists():
        raise ConfigurationError(
            f"{run.folder} holds no run: train one there with "
            f"`python scripts/train_svi.py --out {run.folder}`."
        )


def _free(configuration: Configuration) -> Path:
    """The folder of a new run: the one given, or the first free of runs/NAME, runs/NAME-2, ..."""
    out = configuration.settings.out
    if out is None:
        return next(folder for folder in _folders(configuration) if _claimed(folder))
    if Run(Path(out)).exists():
        raise ConfigurationError(
            f"{out} already holds a run: go on with it (--resume), or choose another --out."
        )
    return Path(out)


def _claimed(folder: Path) -> bool:
    """Whether a folder was free, and is taken from now on: a training started meanwhile sees it."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _latest(configuration: Configuration) -> Path:
    """The folder of the run to resume: the one given, or the last of runs/NAME, ..."""
    if configuration.settings.out is not None:
        return Path(configuration.settings.out)
    latest = None
    for folder in _folders(configuration):
        if not folder.exists():
            return latest or folder
        if Run(folder).exists():
            latest = folder


def _folders(configuration: Configuration):
    name = configuration.recipe.name
    yield Path("runs") / name
    number = 2
    while True:
        yield Path("runs") / f"{name}-{number}"
        number += 1
