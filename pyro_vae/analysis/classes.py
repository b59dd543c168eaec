"""Classes and attributes of images, and the colors and markers of their points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from pyro_vae._arguments import checked
from pyro_vae.analysis.lettering import add_legend_of, shortened, shortened_path
from pyro_vae.analysis.style import MODEL, MOST_CLASSES, SEQUENTIAL, UNKNOWN, across, class_look
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages

#: The most letters of a file's name below its image.
LONGEST_FILE = 18


@dataclass(frozen=True)
class Grouping:
    """A partition of N images into named groups.

    Attributes:
        title: "class", or the name of an attribute.
        values: the group of each image, an index into `names`, int, (N,).
        names: names of the groups.
        unknown: the group of the images whose class is unknown (a label of −1), if there are any.
    """

    title: str
    values: np.ndarray
    names: tuple[str, ...]
    unknown: int | None = None

    def __getitem__(self, indices: np.ndarray | Tensor | slice) -> "Grouping":
        return replace(self, values=self.values[indices])

    def look(self, k: int) -> tuple[str, str]:
        """Return the color and the marker of group k; what is unknown is gray."""
        return (UNKNOWN, "o") if k == self.unknown else class_look(k)


@checked
def grouping(images: SomeImages, by: str | None = None) -> Grouping | None:
    """Return how images are grouped; None if by class, but the class of none is known.

    Args:
        images: N images.
        by: "class" (the default) or the name of an attribute.

    Raises:
        ArgumentError: the images have no such attribute.
    """
    if by is None or by == "class":
        if images.labels is None or not has_classes(images):
            return None
        return _by_class(images, images.labels)
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


def has_classes(images: ImageData) -> bool:
    """Return whether the class of any image is known."""
    return images.labels is not None and bool((images.labels >= 0).any())


def labeled(images: ImageData) -> ImageData:
    """Return the images whose class is known: those without a label of −1."""
    if images.labels is None or not bool((images.labels < 0).any()):
        return images
    return images.select(images.labels >= 0)


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


@checked
def captions(images: SomeImages) -> list[str] | None:
    """Return the class of each image, and below it the name of its file, as far as they are known.

    None where neither is.
    """
    classes = class_names(images)
    files = images.names
    if files is None:
        return classes and [shortened(name) for name in classes]
    below = [shortened_path(name, LONGEST_FILE) for name in files]
    if classes is None:
        return below
    return [f"{shortened(name)}\n{file}" for name, file in zip(classes, below, strict=True)]


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
    if groups and groups.unknown is not None:
        known = groups.values != groups.unknown
        hidden = dict(style, zorder=0.9)  # Beneath the points of known classes.
        ax.scatter(*points[~known].T, color=UNKNOWN, **hidden)
        points, groups = points[known], groups[known]
    x, y = points.T
    if not groups:
        ax.scatter(x, y, color=MODEL, **style)
    elif _many(groups):
        top = len(groups.names) - 1
        ax.scatter(x, y, c=groups.values, cmap=SEQUENTIAL, vmin=0, vmax=top, **style)
    else:
        looks = [groups.look(value) for value in groups.values]
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
        colors = next(each for each in axes[-1].collections if each.get_array() is not None)
        _add_bar(axes, groups, colors, ticks, below)
    else:
        present = np.unique(groups.values).tolist()
        names = [groups.names[k] for k in present]
        add_legend_of(
            _figure(axes),
            [_handle(*groups.look(k)) for k in present],
            names,
            title=None if below else shortened(groups.title),
            loc="outside lower center" if below else "outside right center",
            ncols=across([shortened(name) for name in groups.names])
            if below
            else 1 + len(present) // 26,
        )


def _add_bar(
    axes: Sequence[Axes], groups: Grouping, colors: ScalarMappable, ticks: np.ndarray, below: bool
) -> None:
    place = "bottom" if below else "right"
    bar = _figure(axes).colorbar(colors, ax=list(axes), location=place)
    names = [shortened(groups.names[k]) for k in ticks]
    bar.set_ticks(ticks.tolist(), labels=names, parse_math=False)
    bar.minorticks_off()
    bar.set_label(shortened(groups.title))


def _figure(axes: Sequence[Axes]) -> Figure:
    figure = axes[-1].get_figure(root=True)
    assert figure is not None  # the axes were drawn on one
    return figure


def _handle(color: str, marker: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=color)


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
    numbers = values.cpu().numpy()
    if names is None:
        present, indices = np.unique(numbers, return_inverse=True)
        return Grouping(title, indices, tuple(str(value) for value in present))
    return Grouping(title, numbers, tuple(names))


def _by_class(images: ImageData, labels: Tensor) -> Grouping:
    """Group images by class; those of a label of −1 are a group of their own, the last."""
    known = labels >= 0
    groups = _group("class", labels[known], images.class_names)
    if bool(known.all()):
        return groups
    unknown = len(groups.names)
    values = np.full(len(labels), unknown)
    values[known.cpu().numpy()] = groups.values
    return Grouping("class", values, (*groups.names, "unknown"), unknown)
