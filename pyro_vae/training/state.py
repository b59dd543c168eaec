"""The state of a training: everything that it needs to continue where it stopped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from pyro_vae import checkpoints
from pyro_vae._files import write_json
from pyro_vae._modes import random_state, set_random_state
from pyro_vae.errors import PyroVAEError
from pyro_vae.schedules import Schedule
from pyro_vae.training.run_folder import Run
from pyro_vae.training.settings import Keep
from pyro_vae.training.step_log import write_steps
from pyro_vae.vae import VAE

Record = dict[str, float]
"""The numbers of one epoch, by name."""


class TrainingError(PyroVAEError, RuntimeError):
    """A training cannot start or continue."""


@dataclass
class State:
    """Everything that a training needs to continue where it stopped.

    Attributes:
        vae: the model that takes the steps.
        optimizer: its optimizer.
        schedule: the schedule of the learning rate.
        run: the folder that the state is kept in, if any.
        keep: which weights are kept.
        average: the moving average of the weights, if there is one.
        history: the record of each finished epoch.
        best_loss: the loss of the weights that are kept.
        kept_weights: the weights to keep, so far.
        finished: whether the schedule has ended the training.
    """

    vae: VAE
    optimizer: Optimizer
    schedule: Schedule
    run: Run | None
    keep: Keep = "best"
    average: AveragedModel | None = None
    history: list[Record] = field(default_factory=list)
    best_loss: float = math.inf
    kept_weights: dict[str, Tensor] | None = None
    finished: bool = False

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
        """
        loss = record.get("validation_loss", record["train_loss"])
        self.history.append(record)
        if self.run:
            write_steps(self.run.steps(self.epoch), bounds)
        self.finished = not self.schedule.after_epoch(loss)
        if self.keep == "last" or loss < self.best_loss:
            self.best_loss = loss
            self.kept_weights = {k: v.clone() for k, v in self.judged.state_dict().items()}
            if self.run:
                checkpoints.save(self.judged, self.run.weights, epoch=self.epoch)

    def save(self) -> None:
        """Write the state into the run folder, if there is one.

        What `load` reads is written last: if the training is stopped between two files, the epoch
        is trained once more.
        """
        if self.run is None:
            return
        if self.epoch == 0:
            checkpoints.save(self.vae, self.run.weights, epoch=0)
        write_json(self.run.history, self.history)
        checkpoints.save(
            self.vae,
            self.run.last,
            optimizer=self.optimizer.state_dict(),
            optimizer_class=type(self.optimizer).__name__,
            schedule=self.schedule.state_dict(),
            history=self.history,
            best_loss=self.best_loss,
            finished=self.finished,
            random=random_state(self.vae.device),
            average=None if self.average is None else self.average.state_dict(),
        )

    def load(self) -> None:
        """Take up the state that the run folder holds.

        Raises:
            TrainingError: there is none.
        """
        if self.run is None or not self.run.exists():
            raise TrainingError(f"There is nothing to resume in {self.run and self.run.folder}.")
        saved = checkpoints.contents(self.run.last)
        self._check_same_training(saved)
        self.vae.load_state_dict(saved["weights"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.history, self.best_loss = saved["history"], saved["best_loss"]
        self.finished = saved["finished"]
        self.kept_weights = checkpoints.contents(self.run.weights)["weights"]
        set_random_state(saved["random"], self.vae.device)

    def _check_same_training(self, saved: dict[str, Any]) -> None:
        """Refuse to continue with another optimizer, or with weights averaged that were not."""
        name, averaging = type(self.optimizer).__name__, saved.get("average") is not None
        before = saved.get("optimizer_class", "Adam")  # Version 0.1 had no other.
        if name != before or averaging != (self.average is not None):
            raise TrainingError(
                "The stopped training had other settings: the optimizer "
                f"{before}{', averaged weights' * averaging}. Resume it with the same."
            )

    def restore_kept(self) -> None:
        """Give the model the weights to keep, in evaluation mode."""
        if self.kept_weights is not None:
            self.vae.load_state_dict(self.kept_weights)
        self.vae.eval()
