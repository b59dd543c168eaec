"""Training curves, from the records that `fit` returns."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pyro_vae._arguments import checked
from pyro_vae.analysis.lettering import add_legend_of, shortened
from pyro_vae.analysis.style import MODEL, OTHER, PALETTE, PRIOR, Figure, across, panels, styled
from pyro_vae.errors import ArgumentError
from pyro_vae.training.step_log import COLUMNS

Record = Mapping[str, float]

#: The quantities drawn, in this order; the last one only for systems whose source has its own loss.
QUANTITIES = {
    "elbo": "ELBO (nats per image)",
    "distortion": "distortion (nats per image)",
    "rate": "rate (nats per image)",
    "learning_rate": "learning rate",
    "loss": "loss minimized (nats per image)",
    "published_loss": "loss on the source's scale",
}
LINES: dict[str, Literal["-", "--"]] = {"train": "--", "validation": "-"}
#: The colors of a single run; each of several has one color.
COLORS = {"train": OTHER, "validation": MODEL}


@checked
@styled
def training_curves(history: Sequence[Record] | Mapping[str, Sequence[Record]]) -> Figure:
    """Plot ELBO, distortion, rate, learning rate and losses by epoch, in training and validation.

    A dot marks the epoch with the best loss.

    Args:
        history: the records of one run, or of several runs by name.

    Raises:
        ArgumentError: there are no records.
    """
    runs = dict(history) if isinstance(history, Mapping) else {"": history}
    if not any(runs.values()):
        raise ArgumentError("history: there is no epoch to draw.")
    fig, axes = panels(3, 2, 6.6, title="Training by epoch", sharex=True)
    for ax, (quantity, name) in zip(axes.flat, QUANTITIES.items(), strict=True):
        for k, records in enumerate(runs.values()):
            color = PALETTE[k % len(PALETTE)]
            _curves(
                ax, records, quantity, COLORS if len(runs) == 1 else dict.fromkeys(LINES, color)
            )
        ax.set_ylabel(name.replace(" (", "\n("))
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    if not axes[-1, -1].lines:
        axes[-1, -1].remove()
        axes[-2, -1].set_xlabel("epoch")
        axes[-2, -1].tick_params(labelbottom=True)
    handles = _legend(runs)
    columns = across([shortened(name) for name in handles])
    add_legend_of(
        fig, list(handles.values()), list(handles), loc="outside lower center", ncols=columns
    )
    return fig


@checked
@styled
def training_steps(steps: np.ndarray) -> Figure:
    """Plot ELBO, distortion and rate of the batch of every step, and their running means.

    The limits of the axes ignore the first hundredth of the steps, whose values are extreme.

    Args:
        steps: the columns `step_log.COLUMNS`, (steps, 4), in nats per image.

    Raises:
        ArgumentError: there are no steps.
    """
    if steps.ndim != 2 or steps.shape[1] != len(COLUMNS):
        raise ArgumentError(
            f"steps must be an array (steps, {len(COLUMNS)}), got the shape {steps.shape}."
        )
    if not len(steps):
        raise ArgumentError("steps: there is no step to draw.")
    window = max(1, len(steps) // 100)
    number = np.arange(1, len(steps) + 1)
    fig, axes = panels(
        3, 1, 6, title=f"Training by step, with the mean of {window} steps", sharex=True
    )
    for ax, name, values in zip(axes[:, 0], COLUMNS[1:], steps.T[1:], strict=True):
        ax.plot(number, values, color=MODEL, linewidth=0.4, alpha=0.5)
        means = np.convolve(values, np.full(window, 1 / window), "valid")
        ax.plot(number[window - 1 :], means, color=PRIOR, linewidth=1)
        low, high = np.quantile(values[len(values) // 100 :], (0.001, 0.999))
        margin = 0.05 * (high - low) or 1.0
        ax.set(ylabel=QUANTITIES[name].replace(" (", "\n("), ylim=(low - margin, high + margin))
    axes[2, 0].set_xlabel("step")
    return fig


def _curves(ax: Axes, records: Sequence[Record], quantity: str, colors: Mapping[str, str]) -> None:
    if not records:
        return
    epochs = [record["epoch"] for record in records]
    if quantity == "learning_rate":
        ax.plot(
            epochs,
            [record[quantity] for record in records],
            color=colors["validation"],
            marker=".",
            markersize=3,
        )
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        # A schedule may end near 0; the values above matter.
        top = max(record[quantity] for record in records)
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-4 * top))
        return
    best = min(range(len(records)), key=lambda i: _loss(records[i]))
    for part, line in LINES.items():
        key = f"{part}_{quantity}"
        if key not in records[0]:
            continue
        values = [record.get(key, math.nan) for record in records]
        ax.plot(epochs, values, line, color=colors[part], marker=".", markersize=3)
        if part == "validation" or "validation_loss" not in records[0]:
            ax.plot(epochs[best], values[best], "o", color=colors[part])


def _legend(runs: Mapping[str, Sequence[Record]]) -> dict[str, Artist]:
    """A line in the color of each run, if there are several, and one in the style of each part."""
    several = [run for run in runs if run]
    handles: dict[str, Artist] = {
        run: Line2D([], [], color=PALETTE[k % len(PALETTE)]) for k, run in enumerate(several)
    }
    present = {key for records in runs.values() for record in records for key in record}
    colors = dict.fromkeys(LINES, PRIOR) if several else COLORS
    for part, line in LINES.items():
        if any(f"{part}_{quantity}" in present for quantity in QUANTITIES):
            handles[part] = Line2D([], [], color=colors[part], linestyle=line)
    return handles


def _loss(record: Record) -> float:
    return record.get("validation_loss", record["train_loss"])
