"""The diagrams of the documentation, drawn by code: each in a light and a dark version.

`draw_all` writes them as SVG files; the directive `diagram` of `conf.py` shows the one that suits
the reader's theme. A diagram is a function that draws on a `Sheet`; its name is its file's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon

Point = tuple[float, float]

#: Ink and the colors of networks, of random quantities, of losses and of gradients.
THEMES = {
    "light": {
        "ink": "#222222",
        "network": "#2a6fb0",
        "random": "#b35c00",
        "loss": "#a3250f",
        "gradient": "#2e7d32",
        "faint": "#6b6b6b",
    },
    "dark": {
        "ink": "#e3e3e3",
        "network": "#7fb8ee",
        "random": "#ffb35c",
        "loss": "#ff8a75",
        "gradient": "#7fd084",
        "faint": "#a5a5a5",
    },
}


@dataclass
class Sheet:
    """A sheet to draw on, in units of which 1 is about half an inch, in the colors of a theme."""

    axes: Axes
    colors: dict[str, str]

    def text(self, at: Point, text: str, color: str = "ink", size: float = 11, **how) -> None:
        """Write text, centered unless `how` says otherwise."""
        how = {"ha": "center", "va": "center", "linespacing": 1.4, **how}
        self.axes.text(*at, text, color=self.colors[color], fontsize=size, **how)

    def box(self, at: Point, width: float, height: float, text: str, color: str = "ink") -> None:
        """Draw a rounded box around a center: a quantity that is computed."""
        corner = at[0] - width / 2, at[1] - height / 2
        self._add(
            FancyBboxPatch(
                corner, width, height, boxstyle="round,pad=0,rounding_size=0.12", fill=False
            ),
            color,
        )
        self.text(at, text, color)

    def network(self, at: Point, width: float, left: float, right: float, text: str) -> None:
        """Draw a network as a trapezoid with a left and a right height."""
        x, y, w = at[0], at[1], width / 2
        corners = [(x - w, y - left), (x - w, y + left), (x + w, y + right), (x + w, y - right)]
        self._add(Polygon(corners, closed=True, fill=False, joinstyle="round"), "network")
        self.text(at, text, "network")

    def node(self, at: Point, text: str, color: str = "random", observed: bool = False) -> None:
        """Draw a circle: a random quantity, shaded if it is observed."""
        if observed:
            fill = Circle(at, 0.5, color=self.colors[color], alpha=0.25, linewidth=0)
            self.axes.add_patch(fill)
        self._add(Circle(at, 0.5, fill=False), color)
        self.text(at, text, color, size=13)

    def arrow(
        self, start: Point, end: Point, color: str = "ink", dashed: bool = False, bend: float = 0.0
    ) -> None:
        """Draw an arrow."""
        line = FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            shrinkA=0,
            shrinkB=0,
            linestyle=(0, (4, 3)) if dashed else "-",
            connectionstyle=f"arc3,rad={bend}",
        )
        self._add(line, color)
        line.set_facecolor(self.colors[color])

    def cross(self, at: Point, color: str = "loss") -> None:
        """Draw a cross over something that does not pass."""
        (x, y), d = at, 0.17
        for slope in (1, -1):
            ends = [y - slope * d, y + slope * d]
            self.axes.plot([x - d, x + d], ends, color=self.colors[color], linewidth=2.6)

    def _add(self, patch, color: str) -> None:
        patch.set_edgecolor(self.colors[color])
        patch.set_linewidth(1.6)
        self.axes.add_patch(patch)


Diagram = Callable[[Sheet], tuple[float, float]]
DIAGRAMS: dict[str, Diagram] = {}


def diagram(draw: Diagram) -> Diagram:
    """Register a diagram: a function that draws on a sheet, and returns its width and height."""
    DIAGRAMS[draw.__name__] = draw
    return draw


@diagram
def autoencoder(sheet: Sheet) -> tuple[float, float]:
    """Encoder, latent vector and decoder."""
    y = 1.7
    sheet.box((1.0, y), 1.6, 1.4, "image\n$x$")
    sheet.network((3.6, y), 2.0, 1.1, 0.45, "encoder")
    sheet.box((6.0, y), 1.2, 1.1, "$z$")
    sheet.network((8.4, y), 2.0, 0.45, 1.1, "decoder")
    sheet.box((11.5, y), 2.7, 1.4, "reconstruction\n" r"$\hat x$")
    for start, end in [(1.8, 2.6), (4.6, 5.4), (6.6, 7.4), (9.4, 10.15)]:
        sheet.arrow((start, y), (end, y))
    sheet.text((6.0, y + 1.0), "latent vector")
    for x, shape in [(1.0, "(B, 1, 8, 8)"), (6.0, "(B, 2)"), (11.5, "(B, 1, 8, 8)")]:
        sheet.text((x, 0.35), shape, "faint", 10)
    return 13.0, 3.0


@diagram
def variational_autoencoder(sheet: Sheet) -> tuple[float, float]:
    """Encoder, distribution, draw and decoder, with the two terms of the loss."""
    y, low = 3.5, 0.75
    sheet.box((0.9, y), 1.3, 1.3, "image\n$x$")
    sheet.network((3.0, y), 1.8, 1.0, 0.55, "encoder")
    sheet.box((5.5, y + 0.5), 1.9, 0.75, r"mean $\mu$")
    sheet.box((5.5, y - 0.5), 1.9, 0.75, r"$\log\,\sigma^2$")
    sheet.box((8.6, y), 2.3, 0.9, r"$z = \mu + \sigma\,\varepsilon$")
    sheet.network((11.4, y), 1.8, 0.55, 1.0, "decoder")
    sheet.box((14.4, y), 2.6, 1.3, "reconstruction\n" r"$\hat x$")
    sheet.node((8.6, y + 1.9), r"$\varepsilon$")
    noise = r"drawn from $\mathcal{N}(0, 1)$"
    sheet.text((9.4, y + 1.9), noise, "random", 10, ha="left")
    for side in (-1, 1):
        sheet.arrow((3.9, y + 0.2 * side), (4.55, y + 0.5 * side))
        sheet.arrow((6.45, y + 0.5 * side), (7.45, y + 0.15 * side))
    sheet.arrow((1.55, y), (2.1, y))
    sheet.arrow((9.75, y), (10.5, y))
    sheet.arrow((12.3, y), (13.1, y))
    sheet.arrow((8.6, y + 1.4), (8.6, y + 0.45), "random")
    divergence = r"KL of $\mathcal{N}(\mu, \sigma^2)$ from $\mathcal{N}(0, 1)$"
    sheet.box((5.5, low), 5.0, 0.9, divergence, "loss")
    sheet.box((13.0, low), 5.4, 0.9, r"reconstruction loss of $\hat x$", "loss")
    sheet.arrow((5.5, y - 0.9), (5.5, low + 0.45), "loss")
    sheet.arrow((14.4, y - 0.65), (14.4, low + 0.45), "loss")
    sheet.text((9.15, low), "+", "loss", 16)
    return 16.0, 6.1


@diagram
def reparameterization(sheet: Sheet) -> tuple[float, float]:
    """A draw stops the gradient; noise from outside lets it pass."""
    y, right = 2.9, 8.3
    for left, title in ((0.0, "a plain draw"), (right, "reparameterized")):
        sheet.text((left + 3.65, 5.8), title, size=12)
        sheet.box((left + 1.0, y), 1.5, 0.9, r"$\mu,\ \sigma$", "network")
        sheet.box((left + 6.3, y), 1.2, 0.9, "loss", "loss")
    sheet.node((3.8, y), "$z$")
    sheet.arrow((1.75, y), (3.3, y))
    sheet.arrow((4.3, y), (5.7, y))
    sheet.text((3.8, y + 0.9), r"$z \sim \mathcal{N}(\mu, \sigma^2)$", "random", 10)
    sheet.arrow((6.2, y - 0.6), (4.1, y - 0.6), "gradient", bend=-0.25)
    sheet.arrow((3.5, y - 0.6), (1.1, y - 0.6), "faint", dashed=True, bend=-0.25)
    sheet.cross((2.3, y - 0.9))
    sheet.text(
        (3.65, 0.8), "the gradient stops at the draw:\nthe encoder learns nothing from it", size=10
    )
    sheet.box((right + 3.8, y), 2.4, 0.9, r"$z = \mu + \sigma\,\varepsilon$")
    sheet.arrow((right + 1.75, y), (right + 2.6, y))
    sheet.arrow((right + 5.0, y), (right + 5.7, y))
    sheet.node((right + 3.8, y + 1.7), r"$\varepsilon$")
    sheet.arrow((right + 3.8, y + 1.2), (right + 3.8, y + 0.45), "random")
    noise = r"$\varepsilon \sim \mathcal{N}(0, 1)$"
    sheet.text((right + 4.5, y + 1.7), noise, "random", 10, ha="left")
    sheet.arrow((right + 6.2, y - 0.6), (right + 4.1, y - 0.6), "gradient", bend=-0.25)
    sheet.arrow((right + 3.5, y - 0.6), (right + 1.1, y - 0.6), "gradient", bend=-0.25)
    beside = "the draw is beside the path:\nthe gradient reaches the encoder"
    sheet.text((right + 3.65, 0.8), beside, size=10)
    return 15.6, 6.2


@diagram
def plate(sheet: Sheet) -> tuple[float, float]:
    """The model and the guide as graphs, with their plates."""
    for left, title in ((0.0, "model"), (6.6, "guide")):
        sheet.text((left + 3.6, 5.6), title, size=12)
        sheet.box((left + 3.6, 2.65), 3.0, 4.8, "", "faint")
        sheet.text((left + 4.9, 0.55), "images", "faint", 10, ha="right")
        sheet.node((left + 3.6, 4.1), "$z$")
        sheet.node((left + 3.6, 1.8), "$x$", observed=True)
    sheet.arrow((3.6, 3.6), (3.6, 2.3))
    sheet.box((1.0, 1.8), 1.7, 0.8, "decoder", "network")
    sheet.arrow((1.85, 1.8), (3.1, 1.8))
    sheet.arrow((10.2, 2.3), (10.2, 3.6))
    sheet.box((7.6, 4.1), 1.7, 0.8, "encoder", "network")
    sheet.arrow((8.45, 4.1), (9.7, 4.1))
    return 11.9, 6.0


@diagram
def slots(sheet: Sheet) -> tuple[float, float]:
    """The three distributions that make a model."""
    y = 1.7
    sheet.box((1.5, y), 2.4, 0.9, "prior\n$p(z)$", "network")
    sheet.node((4.6, y), "$z$")
    sheet.node((11.2, y), "$x$", observed=True)
    sheet.text((4.6, y - 0.8), "latent vector", "faint", 10)
    sheet.text((11.2, y - 0.8), "image", "faint", 10)
    sheet.arrow((2.7, y), (4.1, y), "network")
    sheet.arrow((5.05, y + 0.25), (10.75, y + 0.25), "network", bend=-0.2)
    sheet.text((7.9, y + 1.2), r"likelihood $p(x\,|\,z)$: the decoder", "network")
    sheet.arrow((10.75, y - 0.25), (5.05, y - 0.25), "random", dashed=True, bend=-0.2)
    sheet.text((7.9, y - 1.2), r"posterior $q(z\,|\,x)$: the encoder", "random")
    return 12.2, 3.4


def draw_all(folder: Path) -> None:
    """Write every diagram into a folder as `NAME-light.svg` and `NAME-dark.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    style = {"svg.hashsalt": "diagrams", "svg.fonttype": "path", "font.family": "DejaVu Sans"}
    for name, draw in DIAGRAMS.items():
        for theme, colors in THEMES.items():
            with matplotlib.rc_context(style):
                figure = Figure()
                axes = figure.add_axes((0, 0, 1, 1))
                width, height = draw(Sheet(axes, colors))
                figure.set_size_inches(width / 2, height / 2)
                axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
                axes.set_axis_off()
                path = folder / f"{name}-{theme}.svg"
                figure.savefig(path, transparent=True, metadata={"Date": None})
