"""One look for every picture: sizes, colours that the colour-blind can tell apart, image panels.

Every figure is `WIDTH` inches wide, so that its text, 8 points and more, stays readable across two
columns of a paper. Figures are made without pyplot: nothing is registered, shown or changed
outside, and none needs closing.
"""

import io
import math
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import figure
from matplotlib.axes import Axes
from torch import Tensor

WIDTH = 7.0  # inches

# Accessible Color Sequences for Data Visualization (Petroff, 2021), ten colours.
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
MARKERS = "o^s"
MOST_CLASSES = len(PALETTE) * len(MARKERS)
SEQUENTIAL = "cividis"
MODEL, PRIOR, OTHER = PALETTE[0], "#222222", PALETTE[6]

STYLE = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 10,
    "figure.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}

styled = matplotlib.rc_context(STYLE)
"""Decorator: what a function draws has this look; the settings outside stay as they are."""


class Figure(figure.Figure):
    """A matplotlib figure that notebooks show by themselves, whatever their backend."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def panels(
    rows: int = 1, columns: int = 1, height: float = 4.0, title: str = "", **options
) -> tuple[Figure, np.ndarray]:
    """A figure with rows × columns axes; `options` are `Figure.subplots`'s."""
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    fig.suptitle(title)
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


def class_look(k: int) -> tuple[str, str]:
    """Colour and marker of class k: ten colours, then the same ones with another marker."""
    return PALETTE[k % len(PALETTE)], MARKERS[k // len(PALETTE) % len(MARKERS)]


def across(names: Sequence[str]) -> int:
    """How many names of a legend fit side by side in a figure."""
    return min(len(names), max(1, int(WIDTH * 14 / (max(map(len, names)) + 6))))


def latent_name(dimension: int) -> str:
    """z₁ for dimension 0: people count from one."""
    return "z" + str(dimension + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def as_array(images: Tensor) -> np.ndarray:
    """Images (..., C, H, W) in [0, 1] as (..., H, W, 3): grey repeated, odd channels averaged."""
    if images.shape[-3] != 3:
        images = images.mean(-3, keepdim=True).expand(*images.shape[:-3], 3, *images.shape[-2:])
    return images.detach().cpu().float().clamp(0, 1).movedim(-3, -1).numpy()


def mosaic(images: Tensor, columns: int) -> np.ndarray:
    """Images (N, C, H, W) edge to edge, row by row from the top left: (rows·H, columns·W, 3)."""
    tiles = as_array(images)
    n, height, width, _ = tiles.shape
    rows = -(-n // columns)
    tiles = np.concatenate([tiles, np.ones((rows * columns - n, height, width, 3), tiles.dtype)])
    tiles = tiles.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, 3)


@styled
def image_panels(
    images: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    title: str = "",
    row_names: Sequence[str] | None = None,
) -> Figure:
    """Images (N, C, H, W) in [0, 1] in rows, each in axes of its own, in this order.

    Args:
        images: what is shown.
        titles: a caption over each image.
        columns: images in a row; at most 8 unless given.
        title: what is seen.
        row_names: a name beside each row.
    """
    columns = columns or _columns(len(images))
    rows = -(-len(images) // columns)
    left = 0.35 if row_names else 0.1
    cell = min((WIDTH - left - 0.1) / columns, 1.5)
    side = 0.94 * cell
    tall = side * images.shape[-2] / images.shape[-1]
    captions = [_wrapped(text, side) for text in titles or [""] * len(images)]
    lines = [_lines(captions[row * columns :][:columns]) for row in range(rows)]
    head = 0.1 + 0.18 * _lines([title])
    height = head + sum(0.05 + 0.145 * n + tall for n in lines) + 0.05
    left += (WIDTH - left - 0.1 - columns * cell) / 2

    fig = Figure(figsize=(WIDTH, height))
    if title:
        fig.suptitle(title, y=1 - 0.08 / height, va="top")
    bottom = height - head
    for i, image in enumerate(as_array(images)):
        row, column = divmod(i, columns)
        if column == 0:
            bottom -= 0.05 + 0.145 * lines[row] + tall
        box = (left + column * cell) / WIDTH, bottom / height, side / WIDTH, tall / height
        ax = fig.add_axes(box)
        ax.imshow(image)
        bare(ax)
        if captions[i]:
            ax.set_title(captions[i], fontsize=8, pad=2)
        if row_names and column == 0:
            ax.set_ylabel(row_names[row], fontsize=8)
    return fig


def _wrapped(text: str, inches: float) -> str:
    """Text in lines that fit over a panel of this width; its own lines stay."""
    width = max(6, int(16 * inches))
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def _lines(texts: Sequence[str]) -> int:
    return max(text.count("\n") + 1 if text else 0 for text in texts)


def bare(ax: Axes) -> None:
    """No ticks and no frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _columns(n: int) -> int:
    """Full rows, or nearly, of 4 to 8 images."""
    return n if n <= 8 else max(range(4, 9), key=lambda c: (-(-n % c), c))


def coordinates(z: Tensor, digits: int = 2) -> str:
    """A point's coordinates, for a caption: (0.12, −1.30)."""
    return "(" + ", ".join(number(value, digits) for value in z.tolist()) + ")"


def digits_for(span: float, least: int) -> int:
    """How many digits after the point tell values apart that spread over `span`."""
    return least if span <= 0 else min(6, max(least, 1 - math.floor(math.log10(span))))


def number(value: float, digits: int = 0) -> str:
    """A number for people: thousands apart, a true minus sign."""
    rounded = round(float(value), digits) + 0.0  # no minus before a zero
    return f"{rounded:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
