"""The state of a training: everything that it needs to continue where it stopped."""

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from pyro_vae import checkpoints
from pyro_vae._files import keep_previous, write_bytes, write_json
from pyro_vae._modes import random_state, set_random_state
from pyro_vae.checkpoints import weights_of
from pyro_vae.processes.group import by_first, do_first
from pyro_vae.schedules import Schedule
from pyro_vae.training.failures import Diverged, TrainingError
from pyro_vae.training.finiteness import Watch, check_record
from pyro_vae.training.run_folder import Run
from pyro_vae.training.settings import Keep
from pyro_vae.training.step_log import write_steps
from pyro_vae.training.totals import Record, Totals
from pyro_vae.vae import VAE

#: How often a training that diverged goes back to its last checkpoint.
MOST_ROLLBACKS = 5


@dataclass
class Epoch:
    """What is done of an epoch that is not finished.

    Attributes:
        random: the random state from which the order of its images is drawn.
        totals: the means of its steps.
        seconds: how long they took.
    """

    random: dict[str, Tensor]
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0


@dataclass
class State:
    """Everything that a training needs to continue where it stopped.

    Attributes:
        vae: the model that takes the steps.
        optimizer: its optimizer.
        schedule: the schedule of the learning rate.
        run: the folder that the state is kept in, if any.
        watch: what looks for numbers that are not finite.
        learning_rate: the learning rate that the schedule was given.
        parts: what else may have a state of its own: the objective and the annealing, by name.
        keep: which weights are kept.
        average: the moving average of the weights, if there is one.
        rolls_back: whether a training that diverges goes back to its last checkpoint.
        history: the record of each finished epoch.
        unfinished: what is done of the next epoch, if any of it is.
        best_loss: the loss of the weights that are kept.
        kept_weights: the weights to keep, so far.
        finished: whether the schedule has ended the training.
        rollbacks: how often it went back.
    """

    vae: VAE
    optimizer: Optimizer
    schedule: Schedule
    run: Run | None
    watch: Watch
    learning_rate: float
    parts: Mapping[str, Any] = field(default_factory=dict)
    keep: Keep = "best"
    average: AveragedModel | None = None
    rolls_back: bool = False
    history: list[Record] = field(default_factory=list)
    unfinished: Epoch | None = None
    best_loss: float = math.inf
    kept_weights: dict[str, Tensor] | None = None
    finished: bool = False
    rollbacks: int = 0
    _last_good: dict[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.history)

    @property
    def judged(self) -> VAE:
        """The model that is validated and kept: the averaged one, if the weights are averaged."""
        return self.vae if self.average is None else cast(VAE, self.average.module)

    def add(self, record: Record, bounds: Sequence[Tensor]) -> None:
        """Record a finished epoch: its history, its steps, and its weights if they are kept.

        Args:
            record: the epoch's means.
            bounds: loss, distortion and rate of each of its steps, (3,) each.

        Raises:
            Diverged: a number is not finite; nothing is kept.
        """
        where = f"epoch {int(record['epoch'])}"
        check_record(record, where)
        self._check_weights(where)
        loss = record.get("validation_loss", record["train_loss"])
        self.history.append(record)
        self.unfinished = None
        do_first(partial(self._write_steps, bounds))
        self.finished = not self.schedule.after_epoch(loss)
        if self.keep == "last" or loss < self.best_loss:
            self.best_loss = loss
            self.kept_weights = {k: v.clone() for k, v in self.judged.state_dict().items()}
            do_first(partial(self._save_kept, self.judged))

    def save(self) -> None:
        """Keep the state: in the run folder, if there is one, and in memory to go back to.

        What `load` reads is written last: if the training is stopped between two files, the epoch
        is trained once more.

        Raises:
            Diverged: the weights are not finite; nothing is written.
        """
        self._check_weights(f"after epoch {self.epoch}")
        self._remember()
        do_first(self._write)

    def _write(self) -> None:
        if self.run is None:
            return
        if self.epoch == 0 and self.unfinished is None:
            self._save_kept(self.vae)
        write_json(self.run.history, self.history, within=self.run.folder)
        keep_previous(self.run.last, within=self.run.folder)
        checkpoints.save(self.vae, self.run.last, within=self.run.folder, **self._contents())

    def load(self) -> None:
        """Take up the state that the run folder holds.

        Raises:
            TrainingError: there is none.
        """
        last, kept = by_first(self._read)
        self._restore(last)
        self.kept_weights = kept["weights"]
        # The weights before the best ones, taken where those are damaged, have a loss of their own.
        self.best_loss = kept.get("loss", self.best_loss)
        self._remember()

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the last state, and the weights that were kept."""
        if self.run is None or not self.run.exists():
            raise TrainingError(f"There is nothing to resume in {self.run and self.run.folder}.")
        self.run.tidy()
        return _taken_up(self.run.last, self.run), _taken_up(self.run.weights, self.run)

    def roll_back(self, reason: Diverged) -> None:
        """Go back to the last checkpoint, at half the learning rate.

        Raises:
            Diverged: the reason itself, where that was not asked for, or was done too often.
        """
        if self._last_good is None or self.rollbacks >= MOST_ROLLBACKS:
            raise reason
        rollbacks = self.rollbacks + 1
        self._restore(self._last_good)
        self.schedule.slow_down(0.5 ** (rollbacks - self.rollbacks))
        self.rollbacks = rollbacks
        warnings.warn(
            f"{reason} Back to epoch {self.epoch}, at {0.5**rollbacks:g} times the learning rate.",
            UserWarning,
            stacklevel=2,
        )

    def restore_kept(self) -> None:
        """Give the model the weights to keep, in evaluation mode."""
        if self.kept_weights is not None:
            self.vae.load_state_dict(self.kept_weights)
        self.vae.eval()

    def _write_steps(self, bounds: Sequence[Tensor]) -> None:
        if self.run:
            write_steps(self.run.steps(self.epoch), bounds, within=self.run.folder)

    def _remember(self) -> None:
        """Keep the state in memory, where a training that diverges goes back to it."""
        if self.rolls_back:
            self._last_good = _copied(self._contents()) | {"weights": weights_of(self.vae)}

    def _contents(self) -> dict[str, Any]:
        """Return the state in plain values and tensors, but for the model's weights."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": type(self.optimizer).__name__,
            "schedule": self.schedule.state_dict(),
            "parts": {n: p.state_dict() for n, p in self.parts.items() if _has_state(p)},
            "history": self.history,
            "unfinished": self.unfinished
            and {
                "random": self.unfinished.random,
                "totals": self.unfinished.totals.state_dict(),
                "seconds": self.unfinished.seconds,
            },
            "best_loss": self.best_loss,
            "finished": self.finished,
            "first_loss": self.watch.first_loss,
            "rollbacks": self.rollbacks,
            "random": random_state(self.vae.device),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what `_contents` returned; earlier versions saved less."""
        self._check_same_training(saved)
        checkpoints.give_weights(self.vae, saved["weights"], "The weights of the stopped training")
        self.optimizer.load_state_dict(saved["optimizer"])
        self.rollbacks = saved.get("rollbacks", 0)
        self.schedule.learning_rate = self.learning_rate * 0.5**self.rollbacks
        self.schedule.load_state_dict(saved["schedule"])
        for name, state in saved.get("parts", {}).items():
            self.parts[name].load_state_dict(state)
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.history, self.best_loss = list(saved["history"]), saved["best_loss"]
        self.finished = saved["finished"]
        self.watch.first_loss = saved.get("first_loss", math.nan)
        self.unfinished = self._begun(saved.get("unfinished"))
        set_random_state(saved["random"], self.vae.device)

    def _begun(self, saved: Mapping[str, Any] | None) -> Epoch | None:
        if saved is None:
            return None
        epoch = Epoch(saved["random"], seconds=saved["seconds"])
        epoch.totals.load_state_dict(saved["totals"], self.vae.device)
        return epoch

    def _save_kept(self, vae: VAE) -> None:
        if self.run is None:
            return
        keep_previous(self.run.weights, within=self.run.folder)
        checkpoints.save(
            vae, self.run.weights, within=self.run.folder, epoch=self.epoch, loss=self.best_loss
        )

    def _check_weights(self, where: str) -> None:
        self.watch.check_weights(self.vae.state_dict(), where)
        if self.average is not None:
            self.watch.check_weights(self.average.state_dict(), where)

    def _check_same_training(self, saved: Mapping[str, Any]) -> None:
        """Refuse to continue with another optimizer, or with weights averaged that were not."""
        name, averaging = type(self.optimizer).__name__, saved.get("average") is not None
        before = saved.get("optimizer_class", "Adam")  # Version 0.1 had no other.
        if name != before or averaging != (self.average is not None):
            raise TrainingError(
                "The stopped training had other settings: the optimizer "
                f"{before}{', averaged weights' * averaging}. Resume it with the same."
            )


def _taken_up(path: Path, run: Run) -> dict[str, Any]:
    """Return a checkpoint; where it is damaged, put it aside, and the one before in its place."""
    found, source = checkpoints.newest_contents(path, within=run.folder)
    if source != path:
        with suppress(FileNotFoundError):
            os.replace(path, path.with_name(f"{path.stem}.damaged{path.suffix}"))
        write_bytes(path, source.read_bytes(), within=run.folder)
    return found


def _has_state(part: Any) -> bool:
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def _copied(value: Any) -> Any:
    """Return plain values and tensors that no later step changes."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
