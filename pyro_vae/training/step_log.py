"""The log of training steps: a CSV file for each epoch, in nats per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae._files import read_text, write_text
from pyro_vae.errors import PyroVAEError

COLUMNS = ("loss", "elbo", "distortion", "rate")
#: The most that is read of a run's steps, in bytes, and the largest value of a step.
_LARGEST, _LARGEST_VALUE = 256 << 20, 1e38


class StepLogError(PyroVAEError, ValueError):
    """A file of steps is damaged."""


def write_steps(path: Path, bounds: Sequence[Tensor], *, within: Path | None = None) -> None:
    """Write the steps of an epoch, from loss, distortion and rate of each, (3,)."""
    lines = [",".join(("step", *COLUMNS))]
    for step, (loss, distortion, rate) in enumerate(torch.stack(list(bounds)).tolist(), start=1):
        values = (loss, -distortion - rate, distortion, rate)
        lines.append(",".join([str(step), *(f"{value:.7g}" for value in values)]))
    write_text(path, "\n".join(lines) + "\n", within=within)


def read_steps(paths: Sequence[Path]) -> np.ndarray:
    """Return the steps of several epochs, (steps, 4) as `COLUMNS`; none if a file is missing.

    Raises:
        StepLogError: a file is not what `write_steps` writes; it names the file.
        OSError: a file cannot be read.
    """
    if not paths or not all(path.exists() for path in paths):
        return np.empty((0, len(COLUMNS)))
    left, parts = _LARGEST, []
    for path in paths:
        text = read_text(path, largest=left)
        left -= len(text)
        parts.append(_steps_in(text, path))
    return np.concatenate(parts)


def _steps_in(text: str, path: Path) -> np.ndarray:
    title, _, rows = text.partition("\n")
    if title.rstrip("\r").split(",") != ["step", *COLUMNS]:
        raise StepLogError(f"{path} is damaged: its columns must be step, {', '.join(COLUMNS)}.")
    if not rows.strip():
        raise StepLogError(f"{path} is damaged: it holds no step.")
    try:
        values = np.loadtxt(rows.splitlines(), delimiter=",", comments=None, ndmin=2)
    except ValueError:
        raise StepLogError(f"{path} is damaged: each line must hold a number per column.") from None
    if values.shape[1:] != (1 + len(COLUMNS),):
        raise StepLogError(f"{path} is damaged: it must hold {1 + len(COLUMNS)} columns of steps.")
    if not (np.abs(values) <= _LARGEST_VALUE).all():
        raise StepLogError(f"{path} is damaged: a value is not finite.")
    return values[:, 1:]
