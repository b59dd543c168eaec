"""Comparisons of models: any picture side by side, and the trade-off of rate and distortion."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure
from matplotlib.axes import Axes

from pyro_vae._arguments import Count, Number, checked
from pyro_vae.analysis.animation import Frame, figure_frame
from pyro_vae.analysis.lettering import LONGEST_NAME, shortened
from pyro_vae.analysis.style import MODEL, PALETTE, WIDTH, Figure, panels, styled
from pyro_vae.errors import ArgumentError


@checked
@styled
def beside(
    figures: Mapping[str, figure.Figure | Frame], *, columns: Count = 1, dpi: Count = 150
) -> Figure:
    """Draw the same picture of several models in one figure, each at full size below its name.

    Args:
        figures: the pictures, by name: figures, or what they look like with `dpi` dots per inch.
        columns: number of pictures in a row.
        dpi: dots per inch of the pictures.
    """
    if not figures:
        raise ArgumentError("figures is empty: there is nothing to put side by side.")
    pictures = [
        np.asarray(figure_frame(each, dpi) if isinstance(each, figure.Figure) else each)[..., :3]
        for each in figures.values()
    ]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = max(picture.shape[0] for picture in pictures) / dpi + 0.35
    fig = Figure(figsize=(WIDTH * columns, height * rows))
    for i, (name, picture) in enumerate(zip(figures, pictures, strict=True)):
        row, column = divmod(i, columns)
        tall, wide = picture.shape[0] / dpi, picture.shape[1] / dpi
        bottom = rows * height - row * height - 0.35 - tall
        box = np.array([column * WIDTH, bottom, wide, tall])
        ax = fig.add_axes(box / [WIDTH * columns, rows * height, WIDTH * columns, rows * height])
        ax.imshow(picture, interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(shortened(name, 2 * LONGEST_NAME), fontsize=12, fontweight="bold")
    return fig


@checked
@styled
def rate_distortion(points: Sequence[tuple[str, Number, Number]]) -> Figure:
    """Plot distortion against rate of several models, such as a sweep of beta.

    Dotted lines connect points of equal ELBO. Fixing a Broken ELBO (Alemi et al., 2018), figure 1,
    with the axes swapped.

    Args:
        points: (label, distortion, rate) of each model, in nats per image, in the order of the
            line that joins them.

    Raises:
        ArgumentError: there are no points.
    """
    if not points:
        raise ArgumentError("points: there are no models to compare.")
    _, distortion, rate = zip(*points, strict=True)
    title = "Distortion against rate: closer reconstructions cost more nats"
    fig, axes = panels(height=4.2, title=title)
    ax = axes[0, 0]
    ax.plot(rate, distortion, "o-", color=MODEL)
    for label, x, y in _together(points):
        ax.annotate(shortened(label), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    ax.margins(0.15)
    ax.set(xlabel="rate (nats per image)", ylabel="distortion (nats per image)")
    _lines_of_equal_elbo(ax, np.array(rate), np.array(distortion))
    return fig


def _together(points: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """(label, rate, distortion) of each model; models that coincide share one label."""
    _, distortion, rate = zip(*points, strict=True)
    near = 0.02 * np.ptp(rate), 0.02 * np.ptp(distortion)
    found: list[tuple[str, float, float]] = []
    for label, y, x in points:
        if found and abs(x - found[-1][1]) <= near[0] and abs(y - found[-1][2]) <= near[1]:
            found[-1] = (f"{found[-1][0]}, {label}", *found[-1][1:])
        else:
            found.append((label, x, y))
    return found


def _lines_of_equal_elbo(ax: Axes, rate: np.ndarray, distortion: np.ndarray) -> None:
    limits = ax.get_xlim(), ax.get_ylim()
    best = (rate + distortion).min()
    spread = max(np.ptp(rate + distortion), 1.0)
    for k in range(5):
        total = best + k * spread / 2
        name = "equal ELBO (the lowest line is the best)" if k == 0 else None
        x = np.array(limits[0])
        ax.plot(x, total - x, color=PALETTE[3], linewidth=0.8, linestyle=":", label=name, zorder=0)
    ax.set(xlim=limits[0], ylim=limits[1])
    ax.legend(loc="upper right")
