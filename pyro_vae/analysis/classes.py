"""Classes and attributes of images, and how points of each are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.lines import Line2D
from torch import Tensor

from pyro_vae.analysis.style import MODEL, MOST_CLASSES, SEQUENTIAL, across, class_look
from pyro_vae.data import ImageData


@dataclass(frozen=True)
class Grouping:
    """What each image belongs to.

    Attributes:
        title: "class", or the attribute's name.
        values: int, (N,): an index into `names`.
        names: of the groups.
    """

    title: str
    values: np.ndarray
    names: tuple[str, ...]

    def __getitem__(self, indices: np.ndarray | Tensor | slice) -> "Grouping":
        return Grouping(self.title, self.values[indices], self.names)


def grouping(images: ImageData, by: str | None = None) -> Grouping | None:
    """How images are grouped: by class, or by the attribute called `by`; None without labels.

    Raises:
        ValueError: there is no attribute of that name.
    """
    if by is None or by == "class":
        unlabelled = images.labels is None
        return None if unlabelled else _group("class", images.labels, images.class_names)
    if by not in (images.attributes or {}):
        known = ", ".join(images.attributes or {}) or "none"
        raise ValueError(f"the images have no attribute {by!r}; known: {known}")
    return _group(by, images.attributes[by], None)


def class_names(images: ImageData) -> list[str] | None:
    """The name of each image's class, or None without labels."""
    groups = grouping(images)
    return [groups.names[value] for value in groups.values] if groups else None


def scatter_groups(
    ax: Axes, points: np.ndarray, groups: Grouping | None, scale: float = 1.0
) -> None:
    """Draw points (N, 2), a colour (and beyond ten, a marker) for each group.

    Few points are drawn large and many small, `scale` times the usual area.
    """
    size = scale * np.clip(20_000 / len(points), 3, 20)
    style = {"s": size, "linewidths": 0, "alpha": 0.7, "rasterized": True}
    if not groups:
        ax.scatter(*points.T, color=MODEL, **style)
    elif _many(groups):
        top = len(groups.names) - 1
        ax.scatter(*points.T, c=groups.values, cmap=SEQUENTIAL, vmin=0, vmax=top, **style)
    else:
        looks = [class_look(value) for value in groups.values]
        # All classes in the order of the images: none hides another by coming later.
        for marker in sorted({marker for _, marker in looks}):
            here = [i for i, look in enumerate(looks) if look[1] == marker]
            colours = [looks[i][0] for i in here]
            ax.scatter(*points[here].T, c=colours, marker=marker, **style)


def add_legend(axes: Sequence[Axes], groups: Grouping | None, below: bool = False) -> None:
    """Name the groups beside or below the axes: digits and very many by a colour bar."""
    if not groups:
        return
    if _digits(groups):
        _add_bar(axes, groups, _steps(groups), np.arange(len(groups.names)), below)
    elif _many(groups):
        ticks = np.linspace(0, len(groups.names) - 1, 6).astype(int)
        _add_bar(axes, groups, axes[-1].collections[0], ticks, below)
    else:
        present = np.unique(groups.values).tolist()
        axes[-1].get_figure(root=True).legend(
            handles=[_handle(k, groups.names[k]) for k in present],
            title=None if below else groups.title,
            loc="outside lower center" if below else "outside right center",
            ncols=across(groups.names) if below else 1 + len(present) // 26,
        )


def _add_bar(
    axes: Sequence[Axes], groups: Grouping, colours: ScalarMappable, ticks: np.ndarray, below: bool
) -> None:
    place = "bottom" if below else "right"
    bar = axes[-1].get_figure(root=True).colorbar(colours, ax=list(axes), location=place)
    bar.set_ticks(ticks, labels=[groups.names[k] for k in ticks])
    bar.minorticks_off()
    bar.set_label(groups.title)


def _handle(k: int, name: str) -> Line2D:
    colour, marker = class_look(k)
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=name)


def _digits(groups: Grouping) -> bool:
    return groups.names == tuple("0123456789")


def _steps(groups: Grouping) -> ScalarMappable:
    """A colour of its own for each group, on a scale."""
    colours = [class_look(k)[0] for k in range(len(groups.names))]
    edges = np.arange(len(groups.names) + 1) - 0.5
    return ScalarMappable(BoundaryNorm(edges, len(colours)), ListedColormap(colours))


def _many(groups: Grouping) -> bool:
    return len(groups.names) > MOST_CLASSES


def _group(title: str, values: Tensor, names: Sequence[str] | None) -> Grouping:
    if names is not None:
        return Grouping(title, values.cpu().numpy(), tuple(names))
    present, indices = np.unique(values.cpu().numpy(), return_inverse=True)
    return Grouping(title, indices, tuple(str(value) for value in present))
