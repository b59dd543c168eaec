"""The state of a training: all that it needs to go on where it stopped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor
from torch.optim import Optimizer

from pyro_vae import checkpoints
from pyro_vae.modes import random_state, set_random_state
from pyro_vae.runs import Run, write_json
from pyro_vae.schedules import Schedule
from pyro_vae.training_steps import write_steps
from pyro_vae.vae import VAE

Record = dict[str, float]
Keep = Literal["best", "last"]


class TrainingError(RuntimeError):
    """Training cannot go on."""


@dataclass
class State:
    """All that a training needs to go on where it stopped."""

    vae: VAE
    optimizer: Optimizer
    schedule: Schedule
    run: Run | None
    keep: Keep = "best"
    history: list[Record] = field(default_factory=list)
    best_loss: float = math.inf
    kept_weights: dict[str, Tensor] | None = None
    finished: bool = False

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    def add(self, record: Record, bounds: Sequence[Tensor]) -> None:
        """Take in a finished epoch: the schedule, the history, the weights to keep so far.

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
            self.kept_weights = {k: v.clone() for k, v in self.vae.state_dict().items()}
            if self.run:
                checkpoints.save(self.vae, self.run.weights, epoch=self.epoch)

    def save(self) -> None:
        """Write the run folder's state, if there is one.

        What `load` reads comes last: stopped between two files, an epoch is trained once more.
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
            schedule=self.schedule.state_dict(),
            history=self.history,
            best_loss=self.best_loss,
            finished=self.finished,
            random=random_state(self.vae.device),
        )

    def load(self) -> None:
        """Go on from the run folder's state."""
        if self.run is None or not self.run.exists():
            raise TrainingError(f"There is nothing to resume in {self.run and self.run.folder}.")
        saved = checkpoints.read(self.run.last)
        self.vae.load_state_dict(saved["weights"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.history, self.best_loss = saved["history"], saved["best_loss"]
        self.finished = saved["finished"]
        self.kept_weights = checkpoints.read(self.run.weights)["weights"]
        set_random_state(saved["random"], self.vae.device)

    def restore_kept(self) -> None:
        """Give the model the weights to keep, in evaluation mode."""
        if self.kept_weights is not None:
            self.vae.load_state_dict(self.kept_weights)
        self.vae.eval()
