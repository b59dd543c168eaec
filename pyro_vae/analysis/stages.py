"""The latent space during training: the codes of the same images after several epochs."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from pyro_vae._arguments import Codes, Count, Natural, Seed, checked
from pyro_vae.analysis.animation import Frame, figure_frame
from pyro_vae.analysis.classes import (
    Grouping,
    add_legend,
    grouping,
    require_as_many,
    scatter_groups,
)
from pyro_vae.analysis.latents import label_axes
from pyro_vae.analysis.projections import Projection, project
from pyro_vae.analysis.style import Figure, panels, styled
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages

Stage = tuple[Natural, Codes]
"""An epoch, and the codes (N, D) of N images after it."""


TITLE = "The codes of the same images during training"


@checked
@styled
def row(stages: Sequence[Stage], images: SomeImages, *, most: Count = 5, seed: Seed = 0) -> Figure:
    """Draw the codes after several epochs side by side, on the same axes.

    Args:
        stages: (epoch, codes (N, D) after it), in order.
        images: the N images.
        most: the most panels; of more epochs, evenly spaced ones are chosen.
        seed: seed of the random heights if D = 1.

    Raises:
        ArgumentError: there are no stages.
    """
    stages = evenly(stages, most)
    planes, groups = _planes(stages, seed), grouping(images)
    for _, codes in stages:
        require_as_many(codes, images, "stages")
    fig, axes = panels(1, len(stages), 2.4, title=TITLE, sharex=True, sharey=True)
    for ax, (epoch, _), plane in zip(axes[0], stages, planes, strict=True):
        _draw(ax, epoch, plane, planes, groups, scale=0.5)
    for ax in axes[0]:
        ax.set(xlabel="", ylabel="")
    fig.supxlabel(planes[0].names[0])
    fig.supylabel(planes[0].names[1])
    add_legend(list(axes[0]), groups)
    return fig


@checked
@styled
def frames(
    stages: Sequence[Stage], images: SomeImages, *, most: Count = 40, seed: Seed = 0
) -> list[Frame]:
    """Return frames with the codes after each epoch, on the same axes.

    Args:
        stages: (epoch, codes (N, D) after it), in order.
        images: the N images.
        most: the most frames; of more epochs, evenly spaced ones are chosen.
        seed: seed of the random heights if D = 1.

    Raises:
        ArgumentError: there are no stages.
    """
    stages = evenly(stages, most)
    planes, groups = _planes(stages, seed), grouping(images)
    for _, codes in stages:
        require_as_many(codes, images, "stages")
    pictures = []
    for (epoch, _), plane in zip(stages, planes, strict=True):
        fig, axes = panels(height=5, title=TITLE)
        _draw(axes[0, 0], epoch, plane, planes, groups, scale=1)
        add_legend([axes[0, 0]], groups)
        pictures.append(figure_frame(fig))
    return pictures


def evenly(stages: Sequence[Stage], most: int) -> list[Stage]:
    """Return at most `most` evenly spaced stages, with the first and the last."""
    places = np.linspace(0, len(stages) - 1, min(most, len(stages))).round().astype(int)
    return [stages[place] for place in np.unique(places)]


def _planes(stages: Sequence[Stage], seed: int) -> list[Projection]:
    """All stages in one plane: that of the principal components of all codes if D > 2."""
    if not stages:
        raise ArgumentError("stages: there are none: no codes were kept during training.")
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
    across, up = (name.split(" (")[0] for name in plane.names)
    label_axes(ax, (across, up))
    ax.set(
        title=f"epoch {epoch}",
        aspect="auto",
        xlim=(low[0] - margin[0], high[0] + margin[0]),
        ylim=(low[1] - margin[1], high[1] + margin[1]),
    )
