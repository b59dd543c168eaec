"""The log of training steps: a CSV file for each epoch, in nats per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae._files import write_text

COLUMNS = ("loss", "elbo", "distortion", "rate")


def write_steps(path: Path, bounds: Sequence[Tensor]) -> None:
    """Write the steps of an epoch, from loss, distortion and rate of each, (3,)."""
    lines = [",".join(("step", *COLUMNS))]
    for step, (loss, distortion, rate) in enumerate(torch.stack(list(bounds)).tolist(), start=1):
        values = (loss, -distortion - rate, distortion, rate)
        lines.append(",".join([str(step), *(f"{value:.7g}" for value in values)]))
    write_text(path, "\n".join(lines) + "\n")


def read_steps(paths: Sequence[Path]) -> np.ndarray:
    """Return the steps of several epochs, (steps, 4) as `COLUMNS`; none if a file is missing."""
    if not paths or not all(path.exists() for path in paths):
        return np.empty((0, len(COLUMNS)))
    columns = range(1, 1 + len(COLUMNS))
    parts = [np.loadtxt(p, delimiter=",", skiprows=1, usecols=columns, ndmin=2) for p in paths]
    return np.concatenate(parts)
