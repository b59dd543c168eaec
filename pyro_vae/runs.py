"""A run folder: what a training leaves behind, and under which names."""

import json
import os
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
        """The trained model: those of its best epoch by validation loss, or else of the last."""
        return self.folder / "model_weights" / "best_vae.pt"

    @property
    def last(self) -> Path:
        """The last finished epoch: weights, optimiser, schedule and random state."""
        return self.folder / "model_weights" / "last.pt"

    @property
    def configuration(self) -> Path:
        """Every setting of the run, as the training script reads it back."""
        return self.folder / "config.yaml"

    @property
    def history(self) -> Path:
        """A list of records, one for each epoch."""
        return self.folder / "history.json"

    @property
    def evaluation(self) -> Path:
        """The numbers reached on the test images."""
        return self.folder / "evaluation.json"

    @property
    def progress(self) -> Path:
        """What was kept after every epoch: pictures, codes of the first test images, steps."""
        return self.folder / "training_progress"

    def steps(self, epoch: int) -> Path:
        """The loss, ELBO, distortion and rate at every step of an epoch, as CSV."""
        return self.progress / f"steps_{epoch:03d}.csv"

    @property
    def autoencoder(self) -> "Run":
        """The run of the plain autoencoder trained beside this one, if one was."""
        return Run(self.folder / "autoencoder")

    def exists(self) -> bool:
        """Whether there is a training to resume or to look at."""
        return self.last.exists()


@contextmanager
def kept_if_used(folder: Path) -> Iterator[None]:
    """Remove a folder afterwards if nothing was written into it."""
    try:
        yield
    finally:
        with suppress(OSError):  # It is not empty, or was never made.
            folder.rmdir()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that is never seen half-written: it gets its name at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    with whole_file(path) as partial:
        partial.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON; never seen half-written."""
    write_text(path, json.dumps(value, indent=1) + "\n")
