"""The style of all pictures: sizes, colors for color-blind readers, panels of images, numbers.

Every figure is `WIDTH` inches wide, so that its text, of at least 8 points, is readable across two
columns of a paper. Figures are created without pyplot: none is registered or shown, no setting
changes, and none needs to be closed.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vae._files import write_bytes
from pyro_vae.analysis.lettering import families, wrapped

WIDTH = 7.0  # inches

# Accessible Color Sequences for Data Visualization (Petroff, 2021), ten colors.
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
#: The most classes that color and marker tell apart.
MOST_CLASSES = len(PALETTE) * len(MARKERS)
SEQUENTIAL = "cividis"
UNKNOWN = "#bbbbbb"  # images whose class is unknown
MODEL, PRIOR, OTHER = PALETTE[0], "#222222", PALETTE[6]

STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "text.parse_math": False,  # A class may be called "$5_or_$10".
    "font.family": families(),
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

POINT = 1 / 72  # inches
SIDEWAYS: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "va": "bottom"}
NO_LAYOUT: dict[Any, Any] = {"figure.autolayout": False, "figure.constrained_layout.use": False}

styled = matplotlib.rc_context(STYLE)
"""A decorator: the figures of a function have this style; settings outside do not change."""


class Figure(figure.Figure):
    """A matplotlib figure that notebooks display, whatever their backend."""

    def _repr_png_(self) -> bytes:
        return png_of(self)


def save_figure(fig: figure.Figure, path: Path, *, within: Path | None = None) -> None:
    """Write a figure as a PNG, which appears under its name only when it is complete.

    Args:
        fig: the figure.
        path: the file; its folder is made if need be.
        within: a folder that the file must lie in, links followed.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, png_of(fig), within=within)


def png_of(fig: figure.Figure, **options: Any) -> bytes:
    """Return a figure as the bytes of a PNG; letters that no font has are boxes, without a word.

    The options go to `Figure.savefig`.
    """
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        with _laid_out(fig, options.get("dpi", fig.dpi)):
            fig.savefig(file, format="png", **options)
    return file.getvalue()


@contextmanager
def _laid_out(fig: figure.Figure, dpi: float) -> Iterator[None]:
    """Lay a figure out, for a block that draws it: matplotlib itself would draw it once more."""
    engine, before = fig.get_layout_engine(), fig.dpi
    if engine is None:
        yield
        return
    fig.dpi = dpi
    try:
        engine.execute(fig)
        with matplotlib.rc_context(NO_LAYOUT):
            fig.set_layout_engine(None)
        yield
    finally:
        fig.set_layout_engine(engine)
        fig.dpi = before


def panels(
    rows: int = 1, columns: int = 1, height: float = 4.0, title: str = "", **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a figure with rows × columns axes, and the axes; `options` go to `Figure.subplots`."""
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    fig.suptitle(title)
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


def class_look(k: int) -> tuple[str, str]:
    """Return the color and the marker of class k: ten colors for each of three markers.

    Example:
        >>> class_look(0), class_look(10)
        (('#3f90da', 'o'), ('#3f90da', '^'))
    """
    return PALETTE[k % len(PALETTE)], MARKERS[k // len(PALETTE) % len(MARKERS)]


def across(names: Sequence[str]) -> int:
    """Return how many names of a legend fit side by side in a figure."""
    return min(len(names), max(1, int(WIDTH * 14 / (max(map(len, names)) + 6))))


def latent_name(dimension: int) -> str:
    """Return the name of a latent dimension, counted from 1.

    Example:
        >>> latent_name(0), latent_name(11)
        ('z₁', 'z₁₂')
    """
    return "z" + str(dimension + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def as_array(images: Tensor) -> np.ndarray:
    """Return images (..., C, H, W) in [0, 1] as an array (..., H, W, 3).

    Gray images are repeated; of two channels, as of a microscope, the first is shown in magenta and
    the second in green, so that both are white where they agree. Of other numbers of channels than
    these and 3, the mean is shown.
    """
    if images.shape[-3] == 2:
        images = images[..., [0, 1, 0], :, :]
    elif images.shape[-3] != 3:
        images = images.mean(-3, keepdim=True).expand(*images.shape[:-3], 3, *images.shape[-2:])
    return images.detach().cpu().float().clamp(0, 1).movedim(-3, -1).numpy()


def mosaic(images: Tensor, columns: int) -> np.ndarray:
    """Return images (N, C, H, W) edge to edge, row by row: (rows·H, columns·W, 3)."""
    # Not torchvision's make_grid: importing torchvision takes seconds, and a short row has another
    # shape there.
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
    """Draw images row by row, in one pair of axes: one for each image takes four times as long.

    Args:
        images: images in [0, 1], (N, C, H, W).
        titles: a caption above each image.
        columns: number of images in a row; by default at most 8.
        title: the title of the figure.
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
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))  # In inches.
    ax.set_axis_off()
    bottom = height - head
    for i, image in enumerate(as_array(images)):
        row, column = divmod(i, columns)
        if column == 0:
            bottom -= 0.05 + 0.145 * lines[row] + tall
        x = left + column * cell
        ax.imshow(image, extent=(x, x + side, bottom, bottom + tall), aspect="auto")
        if captions[i]:
            ax.text(x + side / 2, bottom + tall, captions[i], fontsize=8, ha="center", va="bottom")
        if row_names and column == 0:
            place = x - 4 * POINT, bottom + tall / 2
            ax.text(*place, row_names[row], fontsize=8, ha="center", **SIDEWAYS)
    return fig


def _wrapped(text: str, inches: float) -> str:
    """Text wrapped to the width of a panel, at most two lines for each of its own."""
    return wrapped(text, max(6, int(15 * inches)))


def _lines(texts: Sequence[str]) -> int:
    return max(text.count("\n") + 1 if text else 0 for text in texts)


def bare(ax: Axes) -> None:
    """Remove ticks and frame; axes that are not drawn take no time."""
    ax.xaxis.set_visible(False)
    ax.yaxis.set_visible(False)
    ax.spines[:].set_visible(False)


def _columns(n: int) -> int:
    """The number of columns, 4 to 8, that leaves the fewest places of the last row empty."""
    return n if n <= 8 else max(range(4, 9), key=lambda c: (-(-n % c), c))


def coordinates(z: Tensor, digits: int = 2) -> str:
    """Return the coordinates of a point as a caption.

    Example:
        >>> import torch
        >>> coordinates(torch.tensor([0.125, -1.3]))
        '(0.12, −1.30)'
    """
    return "(" + ", ".join(number(value, digits) for value in z.tolist()) + ")"


def digits_for(span: float, least: int) -> int:
    """Return how many decimals tell apart values that spread over `span`, at least `least`.

    Example:
        >>> digits_for(4.0, least=1), digits_for(0.004, least=1)
        (1, 4)
    """
    return least if span <= 0 else min(6, max(least, 1 - math.floor(math.log10(span))))


def number(value: float, digits: int = 0) -> str:
    """Return a number with a narrow space between thousands and a true minus sign.

    Example:
        >>> number(-0.001, 1), number(-1.25, 2)
        ('0.0', '−1.25')
    """
    rounded = round(float(value), digits) + 0.0  # no minus sign before a zero
    return f"{rounded:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
