"""A run folder: the files that a training leaves behind, and their names."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
        return self.folder / "model_weights" / "best_vae.pt"

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
    def history(self) -> Path:
        """A list of records, one for each epoch."""
        return self.folder / "history.json"

    @property
    def evaluation(self) -> Path:
        """The numbers reached on the test images."""
        return self.folder / "evaluation.json"

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
        try:
            known = json.loads(self.provenance.read_text())
        except (OSError, ValueError):
            return []
        return known if isinstance(known, list) else []

    def exists(self) -> bool:
        """Return whether there is a training to resume or to look at."""
        return self.last.exists()


@contextmanager
def kept_if_used(folder: Path) -> Iterator[None]:
    """Remove a folder on leaving if nothing was written into it."""
    try:
        yield
    finally:
        with suppress(OSError):  # It is not empty, or was never made.
            folder.rmdir()
