"""A run folder: the files that a training leaves behind, and their names."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae._files import previous, remove_partial, write_json
from pyro_vae.checkpoints import BEST
from pyro_vae.training.records import (
    read_codes,
    read_numbers,
    read_or,
    read_records,
    read_settings,
    read_starts,
    warn_once,
)
from pyro_vae.training.step_log import StepLogError, read_steps


@dataclass(frozen=True)
class Run:
    """The files of one training run.

    Attributes:
        folder: where they are.
    """

    folder: Path

    @property
    def weights(self) -> Path:
        """The trained model: of the best epoch by validation loss, or of the last one."""
        return self.folder / BEST

    @property
    def last(self) -> Path:
        """The last finished epoch: weights, optimizer, schedule and random state."""
        return self.folder / "model_weights" / "last.pt"

    @property
    def configuration(self) -> Path:
        """Every setting of the run, as the training program reads it back."""
        return self.folder / "config.yaml"

    @property
    def provenance(self) -> Path:
        """The versions, the machine and the command of each start of the training."""
        return self.folder / "provenance.json"

    @property
    def data(self) -> Path:
        """Where the data of the training were, what they were, and how they were read."""
        return self.folder / "data.json"

    @property
    def history(self) -> Path:
        """A list of records, one for each epoch."""
        return self.folder / "history.json"

    @property
    def evaluation(self) -> Path:
        """The numbers reached on the test images."""
        return self.folder / "evaluation.json"

    @property
    def code_table(self) -> Path:
        """The codes of the test images."""
        return self.folder / "codes.csv"

    @property
    def score_table(self) -> Path:
        """The ELBO of each test image, the strangest first."""
        return self.folder / "scores.csv"

    @property
    def snapshots(self) -> Path:
        """What was kept after every epoch: pictures, codes of the first test images, steps."""
        return self.folder / "training_progress"

    def steps(self, epoch: int) -> Path:
        """Return the file of an epoch's steps: loss, ELBO, distortion and rate of each, as CSV."""
        return self.snapshots / f"steps_{epoch:03d}.csv"

    def codes(self, epoch: int) -> Path:
        """Return the file of the codes of the first test images after an epoch."""
        return self.snapshots / f"codes_{epoch:03d}.pt"

    @property
    def autoencoder(self) -> "Run":
        """The run of the plain autoencoder trained beside this one, if one was."""
        return Run(self.folder / "autoencoder")

    def starts(self) -> list[dict[str, Any]]:
        """Return what is recorded of each start; nothing if the file is missing or damaged."""
        remedy = "The starts recorded in it are left out; the next training begins a new record."
        return read_or(read_starts, self.provenance, [], remedy)

    def records(self) -> list[dict[str, float]]:
        """Return the record of each epoch; nothing, with a warning, if the file is damaged."""
        remedy = "The history is left out; a training that is resumed (--resume) writes it anew."
        if not self.history.exists():
            warn_once(f"{self.history} is missing. {remedy}")
        return read_or(read_records, self.history, [], remedy)

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the evaluation; nothing if the file is missing or damaged."""
        remedy = "Its numbers are left out; evaluate the run again."
        return read_or(read_numbers, self.evaluation, {}, remedy)

    def keep_numbers(self, numbers: Mapping[str, Any], *, within: Path | None = None) -> None:
        """Write the numbers of an evaluation into the folder.

        Args:
            numbers: those of `Evaluation.as_dict`, and others.
            within: a folder that the file must lie in, links followed; by default, the run's.
        """
        write_json(self.evaluation, numbers, within=within or self.folder)

    def settings(self) -> dict[str, Any]:
        """Return the settings as they are saved; nothing if the file is missing or damaged."""
        remedy = "The configuration is left out."
        return read_or(read_settings, self.configuration, {}, remedy)

    def logged_steps(self) -> np.ndarray:
        """Return loss, ELBO, distortion and rate of every step, (steps, 4).

        There are none if a file is missing or damaged.
        """
        files = [self.steps(int(record["epoch"])) for record in self.records()]
        try:
            return read_steps(files)
        except (StepLogError, OSError) as error:
            warn_once(f"{error} The steps are left out.")
        return read_steps([])

    def stages(self) -> list[tuple[int, Tensor]]:
        """Return (epoch, codes) of the epochs whose codes were kept; epoch 0 is before training.

        Codes are left out, with a warning, if their file is damaged or holds others than the first.
        """
        found: list[tuple[int, Tensor]] = []
        for epoch in range(len(self.records()) + 1):
            path = self.codes(epoch)
            remedy = f"The codes of epoch {epoch} are left out."
            codes = read_or(read_codes, path, None, remedy)
            if codes is None:
                continue
            if found and codes.shape != found[0][1].shape:
                warn_once(f"{path} holds codes of another shape than those before. {remedy}")
                continue
            found.append((epoch, codes))
        return found

    def exists(self) -> bool:
        """Return whether there is a training to resume or to look at."""
        return self.last.exists() or previous(self.last).exists()

    def trained(self) -> float:
        """Return when its last checkpoint was written, in seconds since the epoch."""
        kept = [each for each in (self.last, previous(self.last)) if each.exists()]
        return max((each.stat().st_mtime for each in kept), default=0.0)

    def forget_results(self) -> None:
        """Remove what was computed of weights that are no longer those that are kept."""
        for result in (self.evaluation, self.code_table, self.score_table):
            result.unlink(missing_ok=True)

    def begun(self) -> bool:
        """Return whether a checkpoint holds a step; the first one, before training, holds none."""
        return self.steps(1).exists() or previous(self.last).exists()

    def tidy(self) -> None:
        """Remove what a training that was killed left half-written."""
        for folder in (self.folder, self.last.parent, self.snapshots):
            remove_partial(folder)


@contextmanager
def kept_if_begun(run: Run) -> Iterator[None]:
    """Remove a folder that was free before, where a start fails before any step is kept.

    A stop by a signal is no failure: what it left to be resumed is kept.
    """
    try:
        yield
    except BaseException as error:
        resumable = isinstance(error, KeyboardInterrupt) and run.exists()
        if not (run.begun() or resumable):
            shutil.rmtree(run.folder, ignore_errors=True)
        raise
