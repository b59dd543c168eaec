"""Classes and attributes of images, and the colors and markers of their points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from pyro_vae._arguments import checked
from pyro_vae.analysis.style import MODEL, MOST_CLASSES, SEQUENTIAL, across, class_look
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages


@dataclass(frozen=True)
class Grouping:
    """A partition of N images into named groups.

    Attributes:
        title: "class", or the name of an attribute.
        values: the group of each image, an index into `names`, int, (N,).
        names: names of the groups.
    """

    title: str
    values: np.ndarray
    names: tuple[str, ...]

    def __getitem__(self, indices: np.ndarray | Tensor | slice) -> "Grouping":
        return Grouping(self.title, self.values[indices], self.names)


@checked
def grouping(images: SomeImages, by: str | None = None) -> Grouping | None:
    """Return how images are grouped; None if by class, but the images have no labels.

    Args:
        images: N images.
        by: "class" (the default) or the name of an attribute.

    Raises:
        ArgumentError: the images have no such attribute.
    """
    if by is None or by == "class":
        return None if images.labels is None else _group("class", images.labels, images.class_names)
    return attribute_grouping(images, by)


@checked
def attribute_grouping(images: SomeImages, name: str) -> Grouping:
    """Return how images are grouped by an attribute.

    Raises:
        ArgumentError: the images have no such attribute.
    """
    attributes = images.attributes or {}
    if name not in attributes:
        known = ", ".join(attributes) or "none"
        raise ArgumentError(f"by: the images have no attribute {name!r}; known: {known}.")
    return _group(name, attributes[name], None)


def require_as_many(codes: Tensor, images: ImageData, name: str = "codes") -> None:
    """Refuse codes (N, D) that are not those of N images.

    Raises:
        ArgumentError: naming the argument and both numbers.
    """
    if len(codes) != len(images):
        raise ArgumentError(
            f"{name} must be those of the images, one for each of {len(images)}, got {len(codes)}."
        )


@checked
def class_names(images: SomeImages) -> list[str] | None:
    """Return the name of each image's class; None if the images have no labels."""
    groups = grouping(images)
    return [groups.names[value] for value in groups.values] if groups else None


def scatter_groups(
    ax: Axes, points: np.ndarray, groups: Grouping | None, scale: float = 1.0
) -> None:
    """Draw points (N, 2) with a color for each group, and other markers beyond ten groups.

    Args:
        ax: where to draw.
        points: coordinates, (N, 2); the more points, the smaller they are drawn.
        groups: the groups of the points; None draws all in one color.
        scale: factor of the points' area.
    """
    size = scale * np.clip(20_000 / len(points), 3, 20)
    style: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.7, "rasterized": True}
    x, y = points.T
    if not groups:
        ax.scatter(x, y, color=MODEL, **style)
    elif _many(groups):
        top = len(groups.names) - 1
        ax.scatter(x, y, c=groups.values, cmap=SEQUENTIAL, vmin=0, vmax=top, **style)
    else:
        looks = [class_look(value) for value in groups.values]
        # Points are drawn in the order of the images, so that no class hides another.
        for marker in sorted({marker for _, marker in looks}):
            here = [i for i, look in enumerate(looks) if look[1] == marker]
            colors = [looks[i][0] for i in here]
            ax.scatter(x[here], y[here], c=colors, marker=marker, **style)


def add_legend(axes: Sequence[Axes], groups: Grouping | None, below: bool = False) -> None:
    """Add a legend of the groups; digits and very many groups get a color bar.

    Args:
        axes: the axes that share the legend.
        groups: the groups; None adds nothing.
        below: put it below the axes, not beside them.
    """
    if not groups:
        return
    if _digits(groups):
        _add_bar(axes, groups, _steps(groups), np.arange(len(groups.names)), below)
    elif _many(groups):
        ticks = np.linspace(0, len(groups.names) - 1, 6).astype(int)
        _add_bar(axes, groups, axes[-1].collections[0], ticks, below)
    else:
        present = np.unique(groups.values).tolist()
        _figure(axes).legend(
            handles=[_handle(k, groups.names[k]) for k in present],
            title=None if below else groups.title,
            loc="outside lower center" if below else "outside right center",
            ncols=across(groups.names) if below else 1 + len(present) // 26,
        )


def _add_bar(
    axes: Sequence[Axes], groups: Grouping, colors: ScalarMappable, ticks: np.ndarray, below: bool
) -> None:
    place = "bottom" if below else "right"
    bar = _figure(axes).colorbar(colors, ax=list(axes), location=place)
    bar.set_ticks(ticks.tolist(), labels=[groups.names[k] for k in ticks])
    bar.minorticks_off()
    bar.set_label(groups.title)


def _figure(axes: Sequence[Axes]) -> Figure:
    figure = axes[-1].get_figure(root=True)
    assert figure is not None  # the axes were drawn on one
    return figure


def _handle(k: int, name: str) -> Line2D:
    color, marker = class_look(k)
    return Line2D([], [], linestyle="", marker=marker, color=color, label=name)


def _digits(groups: Grouping) -> bool:
    return groups.names == tuple("0123456789")


def _steps(groups: Grouping) -> ScalarMappable:
    """A color scale with a step for each group."""
    colors = [class_look(k)[0] for k in range(len(groups.names))]
    edges = np.arange(len(groups.names) + 1) - 0.5
    return ScalarMappable(BoundaryNorm(edges, len(colors)), ListedColormap(colors))


def _many(groups: Grouping) -> bool:
    return len(groups.names) > MOST_CLASSES


def _group(title: str, values: Tensor, names: Sequence[str] | None) -> Grouping:
    if names is not None:
        return Grouping(title, values.cpu().numpy(), tuple(names))
    present, indices = np.unique(values.cpu().numpy(), return_inverse=True)
    return Grouping(title, indices, tuple(str(value) for value in present))
