"""An experiment: a configuration, its images and its run folder, brought together."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from pyro_vae import checkpoints
from pyro_vae._files import write_text
from pyro_vae._program import program
from pyro_vae._settings import made
from pyro_vae._spelling import warn_of
from pyro_vae._tensors import save_tensors
from pyro_vae.data import VERSION_0_2, Dataset, ImageData
from pyro_vae.evaluation import Evaluation, evaluate
from pyro_vae.experiments.configuration import Configuration, parse, read_configuration
from pyro_vae.experiments.data_record import (
    DataRecord,
    Part,
    keep_data,
    kept_data,
    located,
    summary,
    tell_later,
)
from pyro_vae.experiments.folders import folder_for, folder_to_resume
from pyro_vae.experiments.options import PASSING
from pyro_vae.experiments.parsing import MADE_WITH, first_look
from pyro_vae.experiments.provenance import record_start
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.processes.group import by_first, do_first
from pyro_vae.recipes import Recipe
from pyro_vae.schedules import Plateau
from pyro_vae.training import Record, Run, choose_device, fit
from pyro_vae.training.optimizers import make_optimizer
from pyro_vae.training.records import warn_once
from pyro_vae.vae import VAE

#: What may change where a stopped run is continued.
RESUMABLE = ("epochs", "data", "data_dir", "checkpoint_every", "on_nan")


@dataclass(frozen=True)
class Experiment:
    """One run: what it is, on which images, and where its files are.

    Attributes:
        configuration: every setting.
        run: its folder.
        record: what the folder says of the data that the run was trained on, if anything.
    """

    configuration: Configuration
    run: Run
    record: DataRecord | None = None

    def __repr__(self) -> str:
        recipe, numbers = self.recipe, self.run.numbers()
        lines = [f"Experiment in {self.run.folder}: {recipe.name} on {recipe.data}"]
        if self.run.history.exists():
            lines.append(f"  {len(self.history())} epochs trained")
        if numbers.get("elbo") is not None:
            lines.append(f"  ELBO {numbers['elbo']:.2f} nats per image")
        return "\n".join([*lines, *(f"  {numbers[name]}" for name in ["verdict"] if numbers)])

    @classmethod
    def start(
        cls, arguments: Sequence[str], description: str = "", called: str | None = None
    ) -> "Experiment":
        """Return the experiment of command-line arguments; with `--resume`, a stopped one.

        Args:
            arguments: those after the program's name.
            description: of the program, for its help.
            called: how the program was called, for its help and errors.

        Raises:
            ConfigurationError: a setting does not fit, or the run folder does not.
        """
        configuration = parse(arguments, description, called)
        if configuration.settings.resume:
            named = first_look(arguments, ["recipe"]).recipe is not None
            run = Run(by_first(partial(folder_to_resume, configuration, named=named)))
            record = kept_data(run)
            return cls(_as_before(resumed(run.folder, arguments), record), run, record)
        source = configuration.settings.start_from
        if source is not None and (record := kept_data(Run(Path(source)))) is not None:
            configuration = replace(configuration, decisions=record.decisions, seen=None)
        return cls(configuration, Run(by_first(partial(folder_for, configuration))))

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        trust: bool = False,
        data: str | None = None,
        skip_corrupt: bool = False,
    ) -> "Experiment":
        """Open the experiment in a run folder, which may come from anybody.

        Args:
            folder: the run folder.
            trust: import the user's own parts that its configuration names, and run their code.
            data: where its data are now, or other data, which are sized and read like its own, and
                are all test images unless they have parts of their own.
            skip_corrupt: leave out image files that cannot be read, with a warning.

        Raises:
            ConfigurationError: the folder holds no run, or one that needs to be trusted.
        """
        run = Run(Path(folder))
        _require(run)
        configuration = read_configuration(run.configuration, trust=trust)
        settings = configuration.settings
        if settings.data_dir is not None and not Path(settings.data_dir).is_dir():
            settings.data_dir = None  # No folder is made where the file says.
        settings.skip_corrupt |= skip_corrupt
        record = kept_data(run)
        configuration = _as_before(configuration, record)
        if data is not None:
            configuration = _on(configuration, data, record)
        return cls(configuration, run, record)

    @property
    def recipe(self) -> Recipe:
        """The system, with every override applied."""
        return self.configuration.recipe

    @property
    def trusted(self) -> bool:
        """Whether the user's own parts may be run: they were named by the user, or trusted."""
        return self.configuration.settings.trust or bool(self.configuration.own)

    @property
    def trust_flag(self) -> str:
        """What commands that open this run must be given: " --trust", or nothing."""
        return " --trust" if self.trusted else ""

    @cached_property
    def dataset(self) -> Dataset:
        """The images, as the model takes them.

        Raises:
            ConfigurationError: they are not where they were; it says where it looked.
            DataError: they cannot be had, or are not as they should be.
        """
        if self.configuration.later:
            tell_later(self.run, self._loaded, self.record, own=not self.on_other_data)
        elif self.record and (changes := self.record.changes(self._summary)):
            told = f"The data are not those that {self.run.folder} was trained on"
            told = f"{told}: {'; '.join(changes)}."
            if self.configuration.settings.resume and self._are_others(self.record):
                raise ConfigurationError(
                    f"{told} --resume continues with the same images: train on these in another "
                    f"folder (--out), from its weights if you like (--start-from "
                    f"{self.run.folder})."
                )
            warn_once(told)
        return self._loaded

    def _are_others(self, record: DataRecord) -> bool:
        """Whether changed data are other ones, and not the same that have grown, say."""
        named = self.recipe.data != record.data
        return named or tuple(self._loaded.image_shape) != tuple(record.shape)

    @cached_property
    def _summary(self) -> dict[str, Part]:
        """The checksums of the images, which are read for it once."""
        return summary(self._loaded)

    @cached_property
    def _loaded(self) -> Dataset:
        configuration = self.configuration
        if self.run.configuration.exists():
            place = located(self.recipe.data, self.run, self.record)
            recipe = configuration.recipe.with_settings(data=place)
            configuration = replace(configuration, recipe=recipe)
        found = configuration.dataset()
        if found.divided or self.record is None or len(found.test) != self.record.images:
            return found
        # They may be the run's own, which were divided.
        divided = replace(configuration, later=False).dataset()
        return found if self.record.changes(summary(divided)) else divided

    @property
    def data_changes(self) -> list[str]:
        """How the data differ from those that the run was trained on, a clause for each part."""
        record = kept_data(self.run)  # A training that was continued has written it anew.
        return record.changes(self._summary) if record else []

    @property
    def on_other_data(self) -> bool:
        """Whether the data are given to the run, and are not those that it was trained on."""
        return self.configuration.later and (self.record is None or bool(self.data_changes))

    @cached_property
    def parts(self) -> tuple[ImageData, ImageData]:
        """The images to train on, and those that choose the weights.

        The latter are the data's own validation images, or else held out of the training images.
        """
        limit = slice(0, self.configuration.settings.limit)
        if self.dataset.validation is not None:
            return self.dataset.train.select(limit), self.dataset.validation
        if self.held_out == 0:
            return self.dataset.train.select(limit), self.dataset.test
        train, validation = self.dataset.split(self.held_out)
        return train.select(limit), validation

    @property
    def epochs(self) -> int:
        """The number of passes over the training images."""
        return self.recipe.epochs_for(len(self.parts[0]))

    @property
    def held_out(self) -> int:
        """The number of validation images; if 0, the test images take their place."""
        if self.dataset.validation is not None:
            return len(self.dataset.validation)
        return min(self.recipe.validation, len(self.dataset.train) // 10)

    @property
    def roles_of_test(self) -> tuple[str, ...]:
        """How the test images influence the training, as verb phrases.

        Nothing where images are held out.
        """
        plateau = isinstance(made(self.recipe.schedule), Plateau)
        roles = {
            "drive the learning rate": plateau,
            "choose the weights": self.recipe.keep == "best",
        }
        return tuple(role for role, played in roles.items() if played and not self.held_out)

    def build(self) -> VAE:
        """Build the model to train: its weights follow the seed, or are those of an earlier run.

        Raises:
            ConfigurationError: a part refuses its settings, or the earlier run's weights.
        """
        settings = self.configuration.settings
        vae = self._built()
        if settings.start_from is not None and not settings.resume:
            take_weights(vae, Run(Path(settings.start_from)))
        return vae

    def _built(self) -> VAE:
        pyro.set_rng_seed(self.configuration.settings.seed)
        shape = self.dataset.image_shape
        try:
            # These are not needed yet, but refuse their settings before anything is written.
            self.recipe.parts()
            make_optimizer(self.recipe, [torch.nn.Parameter(torch.zeros(1, device="cpu"))])
            return self.recipe.build(shape)
        except TypeError as error:
            made = ", ".join(f"{part}({given})" for part, given in MADE_WITH.items())
            raise ConfigurationError(
                f"The model cannot be built: {error}. Its parts are made with {made}."
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"The model cannot be built: {error}") from error

    def load(self) -> VAE:
        """Load the trained model, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: there is no model that can be read.
        """
        saved, path = checkpoints.newest_contents(self.run.weights)
        try:
            return checkpoints.rebuilt(saved, path)
        except checkpoints.ForeignPartError:
            vae = self._built()  # The configuration names the user's own class.
        checkpoints.give_weights(vae, saved["weights"], f"The weights in {path}")
        return vae.eval()

    def train(
        self,
        vae: VAE,
        callbacks: Sequence[Callable[[VAE, Record], None]] = (),
        progress: bool = True,
    ) -> None:
        """Train a model as the recipe says; the run folder is complete after every epoch.

        Args:
            vae: the model, as `build` returns it.
            callbacks: called after every epoch with the model and the epoch's record.
            progress: show a progress bar for each epoch.
        """
        train, validation = self.parts
        device = choose_device(self.configuration.settings.device)
        do_first(partial(self._record, device))
        fit(
            vae,
            train,
            validation=validation,
            device=device,
            folder=self.run.folder,
            resume=self.configuration.settings.resume,
            callbacks=[lambda *_: self.run.forget_results(), *callbacks],
            published_loss=self.published_loss,
            progress=progress,
            **self.recipe.training | {"epochs": self.epochs},
        )

    def _record(self, device: torch.device) -> None:
        """Write down what is trained, on what, where and by which command."""
        text = self.configuration.text_with(epochs=self.epochs)
        write_text(self.run.configuration, text, within=self.run.folder)
        keep_data(self.run, self.recipe.data, self.dataset, self._summary)
        record_start(self.run, device)

    def fit(self, *arguments: Any, **named: Any) -> None:
        """Call `train` under its old name, with a warning."""
        warn_of("Experiment.fit", "train", stacklevel=3)
        self.train(*arguments, **named)

    def evaluate(self, vae: VAE, samples: int = 0, images: int | None = None) -> dict[str, Any]:
        """Evaluate a model on the test images and return the numbers.

        Those of all images are kept in the run folder, until an evaluation takes as many samples;
        not those of other data.

        Args:
            vae: the trained model.
            samples: number of importance samples per image for the log-likelihood; 0: none.
            images: number of images to evaluate, from the first; None: all.
        """
        test = self.dataset.test.select(slice(images))
        numbers = self.numbers(evaluate(vae, test, samples=samples, progress=True))
        do_first(partial(self._keep_numbers, numbers, samples, len(test)))
        return numbers

    def _keep_numbers(self, numbers: dict[str, Any], samples: int, images: int) -> None:
        whole = images == len(self.dataset.test) and not (self.data_changes or self.on_other_data)
        if whole and samples >= self._samples_kept():
            self.run.keep_numbers(numbers)

    def _samples_kept(self) -> int:
        return int(self.run.numbers().get("samples", 0))

    def history(self) -> list[Record]:
        """Return the records of all finished epochs, or none if they cannot be read."""
        return self.run.records()

    def steps(self) -> np.ndarray:
        """Return loss, ELBO, distortion and rate of every step, (steps, 4), if none is missing."""
        return self.run.logged_steps()

    def seconds_trained(self) -> float:
        """Return how long the training that the folder holds has taken, its started epoch included.

        Raises:
            CheckpointError: there is no training to continue.
        """
        saved, _ = checkpoints.newest_contents(self.run.last, within=self.run.folder)
        finished = sum(record["seconds"] for record in saved["history"])
        return finished + (saved.get("unfinished") or {"seconds": 0.0})["seconds"]

    def keep_codes(self, epoch: int, codes: Tensor) -> None:
        """Keep the codes (N, D) of the first N test images after an epoch."""
        save_tensors(self.run.codes(epoch), codes, within=self.run.folder)

    def stages(self) -> list[tuple[int, Tensor]]:
        """Return (epoch, codes) of the epochs whose codes were kept; epoch 0 is before training."""
        return self.run.stages()

    def numbers(self, found: Evaluation) -> dict[str, Any]:
        """Return the numbers of an evaluation, with the loss on the source's scale."""
        numbers = found.as_dict()
        if self.published_loss and found.rate is not None:
            numbers["published_loss"] = self.published_loss(found.distortion, found.rate)
        return numbers

    @property
    def published_loss(self) -> Callable[[float, float], float] | None:
        """The loss on the source's scale, from distortion and rate in nats per image."""
        loss, values = self.recipe.published_loss, math.prod(self.dataset.image_shape)
        if loss is None:
            return None
        return lambda distortion, rate: loss(distortion, rate, values)


def _as_before(configuration: Configuration, record: DataRecord | None) -> Configuration:
    """Return the configuration of a run with the decisions by which its data were read.

    Those of a run without a record, of earlier versions, are the rules of its day.
    """
    decisions = VERSION_0_2 if record is None else record.decisions
    return replace(configuration, decisions=decisions)


def _on(configuration: Configuration, data: str, record: DataRecord | None) -> Configuration:
    """Return a configuration on other data, brought to the size and the channels of the run's."""
    recipe = configuration.recipe.with_settings(data=data)
    later = record is not None or data != configuration.recipe.data
    if record is None:
        return replace(configuration, recipe=recipe, later=later)
    channels, height, width = record.shape
    if channels in (1, 3):  # Others are as the data have them.
        recipe = recipe.with_settings(channels=channels)
    margin = 2 * recipe.padding
    size = (height - margin, width - margin)
    return replace(configuration, recipe=recipe, size=size, later=later)


def take_weights(vae: VAE, earlier: Run) -> None:
    """Give a model the weights of an earlier run.

    Raises:
        ConfigurationError: the folder holds no run, or one of another model.
    """
    _require(earlier)
    try:
        saved, _ = checkpoints.newest_contents(earlier.weights)
        vae.load_state_dict(saved["weights"])
    except RuntimeError as error:
        raise ConfigurationError(
            f"--start-from: the model in {earlier.folder} is a different one: {error}"
        ) from None


def resumed(folder: Path, arguments: Sequence[str]) -> Configuration:
    """Return the configuration of a stopped run; only its epochs and its device may change.

    Raises:
        ConfigurationError: another setting was given, or the folder holds no run.
    """
    run = Run(folder)
    _require(run)
    saved = read_configuration(run.configuration, trust="--trust" in arguments)
    configuration = read_configuration(run.configuration, *arguments)
    changed = [
        name
        for name, value in vars(configuration.settings).items()
        if name not in PASSING and value != saved.settings[name]
    ]
    changed = [name for name in changed if name not in RESUMABLE]
    if changed:
        raise ConfigurationError(
            f"--resume continues with the settings in {run.configuration}; "
            f"these cannot change: {', '.join(changed)}. Start a new run for that."
        )
    return configuration


def _require(run: Run) -> None:
    folder = run.folder
    if run.exists() and run.configuration.exists():
        return
    if folder.is_file():
        raise ConfigurationError(f"{folder} is a file: name the folder of a run.")
    others = [each.parent for each in sorted(folder.glob(f"*/{run.configuration.name}"))]
    if runs := [str(each) for each in others if Run(each).exists()]:
        more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
        raise ConfigurationError(
            f"{folder} holds no run, but folders of runs: name one of {', '.join(runs[:5])}{more}."
        )
    raise ConfigurationError(
        f"{folder} holds no run: train one there with "
        f"`{program('train')} --out {shlex.quote(str(folder))}`."
    )
