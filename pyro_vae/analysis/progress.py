"""How the latent space takes shape: the codes of the same images after several epochs."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vae.analysis.animation import Frame, figure_frame
from pyro_vae.analysis.classes import Grouping, add_legend, grouping, scatter_groups
from pyro_vae.analysis.latents import label_axes
from pyro_vae.analysis.projections import Projection, project
from pyro_vae.analysis.style import Figure, panels, styled
from pyro_vae.data import ImageData

Stage = tuple[int, Tensor]
"""An epoch, and the codes (N, D) of the same N images after it."""


@styled
def row(stages: Sequence[Stage], images: ImageData, *, most: int = 5, seed: int = 0) -> Figure:
    """The latent scatter after several epochs, side by side, on the same axes.

    Args:
        stages: (epoch, codes (N, D) after it), in order.
        images: the N images.
        most: panels; of more epochs, evenly spaced ones with the first and the last.
        seed: for D = 1, of the random heights.

    Raises:
        ValueError: there are no stages.
    """
    stages = evenly(stages, most)
    planes, groups = _planes(stages, seed), grouping(images)
    fig, axes = panels(
        1, len(stages), 2.4, title="The codes of the same images as training goes on",
        sharex=True, sharey=True,
    )  # fmt: skip
    for ax, (epoch, _), plane in zip(axes[0], stages, planes, strict=True):
        _draw(ax, epoch, plane, planes, groups, scale=0.5)
    for ax in axes[0]:
        ax.set(xlabel="", ylabel="")
    fig.supxlabel(planes[0].names[0])
    fig.supylabel(planes[0].names[1])
    add_legend(list(axes[0]), groups)
    return fig


@styled
def frames(
    stages: Sequence[Stage], images: ImageData, *, most: int = 40, seed: int = 0
) -> list[Frame]:
    """The latent scatter after each epoch, as frames on the same axes.

    Args:
        stages: (epoch, codes (N, D) after it), in order.
        images: the N images.
        most: frames; of more epochs, evenly spaced ones with the first and the last.
        seed: for D = 1, of the random heights.

    Raises:
        ValueError: there are no stages.
    """
    stages = evenly(stages, most)
    planes, groups = _planes(stages, seed), grouping(images)
    pictures = []
    for (epoch, _), plane in zip(stages, planes, strict=True):
        fig, axes = panels(height=5, title="The codes of the same images as training goes on")
        _draw(axes[0, 0], epoch, plane, planes, groups, scale=1)
        add_legend([axes[0, 0]], groups)
        pictures.append(figure_frame(fig))
    return pictures


def evenly(stages: Sequence[Stage], most: int) -> list[Stage]:
    """At most so many of the stages, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(stages) - 1, min(most, len(stages))).round().astype(int)
    return [stages[place] for place in np.unique(places)]


def _planes(stages: Sequence[Stage], seed: int) -> list[Projection]:
    """Every stage in one plane: the principal components of all codes together where D > 2."""
    if not stages:
        raise ValueError("no codes were kept: there is no progress to draw")
    codes = [codes for _, codes in stages]
    together = project(torch.cat(codes), points=sum(map(len, codes)), seed=seed)
    parts = np.split(together.points, np.cumsum([len(part) for part in codes])[:-1])
    return [Projection(part, np.arange(len(part)), together.names) for part in parts]


def _draw(
    ax: Axes,
    epoch: int,
    plane: Projection,
    planes: list[Projection],
    groups: Grouping | None,
    scale: float,
) -> None:
    scatter_groups(ax, plane.points, groups, scale)
    everything = np.concatenate([other.points for other in planes])
    low, high = everything.min(0), everything.max(0)
    margin = 0.03 * np.maximum(high - low, 1e-6)
    label_axes(ax, tuple(name.split(" (")[0] for name in plane.names))
    ax.set(
        title=f"epoch {epoch}",
        aspect="auto",
        xlim=(low[0] - margin[0], high[0] + margin[0]),
        ylim=(low[1] - margin[1], high[1] + margin[1]),
    )
