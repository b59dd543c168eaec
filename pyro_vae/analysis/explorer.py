"""The latent explorer: a page on which one moves over the latent space and sees the image change.

A plane is laid through the latent space. Images are decoded at the nodes of a grid over it, kept
as levels of 8 bits, and blended in the browser between the nodes, bilinearly. With them go the
codes of the images and an outline of the prior's mass. The page is one file, of less than 3 MB,
that needs no server and loads nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from pyro_vae.analysis import pages
from pyro_vae.analysis.classes import Grouping, grouping
from pyro_vae.analysis.embeddings import (
    decode,
    draw_prior,
    embed,
    factors_of,
    leading,
    prior_log_density,
    rate_per_dimension,
)
from pyro_vae.analysis.style import (
    MODEL,
    MOST_CLASSES,
    SEQUENTIAL,
    class_look,
    latent_name,
    number,
)
from pyro_vae.data import ImageData
from pyro_vae.modes import evaluating
from pyro_vae.vae import VAE

Axes = Literal["dimensions", "principal"]

MOST_POINTS = 3000
MOST_NODES = 64  # along an axis
FEWEST_NODES = 8
MOST_VALUES = 12_000_000  # decoded in all
LONGEST_SIDE = 64  # of a decoded image, in pixels
THUMBNAIL_SIDE = 32
# Bytes of the two pictures. Base64 adds a third; points, outlines and program need some 100 kB.
NODE_BYTES = 1_300_000
ORIGINAL_BYTES = 550_000
CELLS = 144  # along an axis, of the grid that the prior's mass is outlined on
MASSES = (0.95, 0.5)


def html(
    vae: VAE,
    images: ImageData,
    *,
    dimensions: Sequence[int] | None = None,
    axes: Axes = "dimensions",
    seed: int = 0,
    title: str = "Latent explorer",
    progress: bool = False,
) -> str:
    """The explorer as a page.

    Args:
        vae: the model.
        images: N images, as the model takes them; of more than 3,000, some are shown, evenly by
            class.
        dimensions: the two to move along, for axes "dimensions", counted from 0; by default those
            of the highest rate.
        axes: "dimensions", the others staying at the codes' mean, or "principal", the codes' two
            principal components. A latent space of one dimension has one axis.
        seed: of all randomness.
        title: of the page.
        progress: show a bar while images are decoded.

    Raises:
        ValueError: the dimensions are not two different ones of the latent space's, or the axes
            are called otherwise.
    """
    found = section(vae, images, dimensions=dimensions, axes=axes, seed=seed, progress=progress)
    return page(found, title)


def page(found: str, title: str = "Latent explorer") -> str:
    """A page of its own around a `section`."""
    return pages.page(title, f"<main>\n<h1>{pages.text(title)}</h1>\n{found}</main>")


def section(
    vae: VAE,
    images: ImageData,
    *,
    dimensions: Sequence[int] | None = None,
    axes: Axes = "dimensions",
    seed: int = 0,
    progress: bool = False,
) -> str:
    """The explorer as an element of a page, once in it; see `html`."""
    total = len(images)
    images = images.select(evenly(images, MOST_POINTS, seed))
    codes = embed(vae, images, seed=seed)
    plane = lay(vae, images, codes, dimensions, axes, seed)
    points = _with_heights(plane.points(codes), seed)
    draws = _prior_draws(vae, seed)
    drawn = None if draws is None else plane.points(draws).double().numpy()
    window = _window(points, drawn)
    nodes = _nodes(vae, plane, window, seed, progress)
    values = {
        "names": plane.names,
        "short": plane.short,
        "window": window.tolist(),
        "digits": max(0, 2 - math.floor(math.log10(np.ptp(window, 1).min() / 2))),
        "nodes": nodes,
        **_points(points, images),
        "originals": _originals(images),
        "prior": [] if draws is None else _outlines(vae, plane, drawn, window),
    }
    return pages.fill(
        "explorer.html",
        style=pages.read("explorer.css"),
        script=pages.read("explorer.js"),
        data=pages.script_data(values),
        notes="\n".join(f"<li>{pages.text(note)}</li>" for note in _notes(plane, values, total)),
    )


def evenly(images: ImageData, most: int, seed: int = 0) -> Tensor:
    """The indices of at most `most` images, as many of each class as there are, in random order."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    if images.labels is not None and len(images) > most:
        labels = images.labels.cpu()[order]
        turn = torch.zeros(len(order), dtype=torch.int64)  # how many of its class come before
        for label in labels.unique():
            here = labels == label
            turn[here] = torch.arange(int(here.sum()))
        chosen = turn.argsort(stable=True)[:most].sort().values
        return order[chosen]
    return order[:most]


# The plane


@dataclass(frozen=True)
class Plane:
    """A plane (or, for D = 1, a line) through the latent space.

    Attributes:
        origin: (D,), the latent vector at its coordinates 0.
        directions: (2, D) or (1, D), orthonormal.
        names: of the coordinates.
        short: the same, in a word.
        rest: what is fixed, in a sentence; "" if nothing is.
    """

    origin: Tensor
    directions: Tensor
    names: tuple[str, ...]
    short: tuple[str, ...]
    rest: str = ""

    def points(self, z: Tensor) -> Tensor:
        """The coordinates (N, 2) or (N, 1) of latent vectors (N, D), projected on the plane."""
        return (z - self.origin) @ self.directions.T

    def latents(self, points: Tensor) -> Tensor:
        """The latent vectors (N, D) at coordinates (N, 2) or (N, 1)."""
        return self.origin + points @ self.directions


def lay(
    vae: VAE,
    images: ImageData,
    codes: Tensor,
    dimensions: Sequence[int] | None = None,
    axes: Axes = "dimensions",
    seed: int = 0,
) -> Plane:
    """The plane of the explorer, see `html`; `codes` are the images', (N, D).

    Raises:
        ValueError: the dimensions or the axes do not exist.
    """
    if axes not in ("dimensions", "principal"):
        raise ValueError(f"axes must be 'dimensions' or 'principal', not {axes!r}")
    size = codes.shape[1]
    if axes == "principal" and size > 1:
        return _principal(codes)
    if dimensions is None:
        rates = rate_per_dimension(vae, images, seed=seed) if size > 2 else None
        dimensions = leading(codes, rates)
    chosen = list(dict.fromkeys(dimensions)) if size == 1 else list(dimensions)
    if len(set(chosen)) != min(size, 2) or not all(0 <= d < size for d in chosen):
        needed = "one dimension, 0" if size == 1 else f"two different dimensions of 0 to {size - 1}"
        raise ValueError(f"an explorer of this model needs {needed}, not {list(dimensions)}")
    origin = codes.mean(0)
    origin[chosen] = 0
    names = tuple(latent_name(d) for d in chosen)
    rest = _number_of_others(size - len(chosen), "stays at its mean", "stay at their mean")
    return Plane(origin, torch.eye(size)[chosen], names, names, rest)


def _principal(codes: Tensor) -> Plane:
    """The plane of the two principal components, through the codes' mean."""
    mean = codes.mean(0)
    _, lengths, directions = torch.linalg.svd(codes - mean, full_matrices=False)
    if len(directions) < 2:  # a single image
        directions, lengths = torch.eye(codes.shape[1])[:2], torch.ones(2)
    # A component's sign is arbitrary: its largest entry is positive.
    largest = directions[:2].abs().argmax(1, keepdim=True)
    directions = directions[:2] * directions[:2].gather(1, largest).sign()
    shares = lengths.square() / lengths.square().sum().clamp(min=1e-12)
    names = tuple(f"principal component {i + 1} ({shares[i]:.0%} of the variance)" for i in (0, 1))
    rest = _number_of_others(
        codes.shape[1] - 2, "is fixed at the codes' mean", "are fixed at the codes' mean"
    )
    return Plane(mean, directions, names, ("component 1", "component 2"), rest)


def _number_of_others(count: int, one: str, many: str) -> str:
    if count == 0:
        return ""
    return f"The other dimension {one}." if count == 1 else f"The other {count} dimensions {many}."


def _with_heights(points: Tensor, seed: int) -> np.ndarray:
    """Points (N, 2); those of one dimension (N, 1) get random heights from 0 to 1."""
    if points.shape[1] == 1:
        heights = torch.rand(len(points), 1, generator=torch.Generator().manual_seed(seed))
        points = torch.cat([points, heights], 1)
    return points.double().numpy()


def _window(points: np.ndarray, draws: np.ndarray | None) -> np.ndarray:
    """What the map shows, ((left, right), (bottom, top)): all codes and the prior's mass."""
    low, high = points.min(0), points.max(0)
    if draws is not None:
        parts = np.quantile(draws, [0.005, 0.995], axis=0)
        count = draws.shape[1]  # one dimension's heights stay as they are
        low[:count] = np.minimum(low[:count], parts[0])
        high[:count] = np.maximum(high[:count], parts[1])
    span = np.maximum(high - low, 1e-3)
    if draws is None or draws.shape[1] == 2:
        # Equal scales where that wastes little.
        span = np.where(2 * span > span.max(), span.max(), span)
    middle, half = (low + high) / 2, 0.53 * span
    return np.stack([middle - half, middle + half], 1)


# What decodes where


def _nodes(vae: VAE, plane: Plane, window: np.ndarray, seed: int, progress: bool) -> dict[str, Any]:
    """Images decoded on a grid over the window, as one picture of at most `NODE_BYTES`.

    For each pixel of an image the picture has a block with that pixel's level at every node, the
    lowest row first. As neighbouring nodes decode alike, the blocks are smooth, and pack well.
    """
    count = _first_count(vae, plane)
    while True:
        levels = _decoded_levels(vae, plane, window, count, seed, progress)
        rows, columns, height, width, channels = levels.shape
        blocks = levels.transpose(2, 0, 3, 1, 4).reshape(height * rows, width * columns, channels)
        contents = pages.image_bytes(
            blocks[..., 0] if channels == 1 else blocks, lossless=True, quality=50, method=4
        )
        if len(contents) <= NODE_BYTES or count == FEWEST_NODES:
            break
        count = max(FEWEST_NODES, int(0.95 * count * math.sqrt(NODE_BYTES / len(contents))))
    return {
        "columns": columns,
        "rows": rows,
        "width": width,
        "height": height,
        "channels": channels,
        "picture": pages.data_uri(contents),
    }


def _first_count(vae: VAE, plane: Plane) -> int:
    channels, height, width = vae.image_shape
    values = channels * math.prod(_reduced(height, width, LONGEST_SIDE))
    axes = len(plane.names)
    return int(np.clip((MOST_VALUES / values) ** (1 / axes), FEWEST_NODES, MOST_NODES))


def _decoded_levels(
    vae: VAE, plane: Plane, window: np.ndarray, count: int, seed: int, progress: bool
) -> np.ndarray:
    """Levels (rows, columns, H, W, 1 or 3), uint8; one dimension has one row."""
    ends = torch.from_numpy(window).float()
    values = [torch.linspace(*limits.tolist(), count) for limits in ends[: len(plane.names)]]
    if len(values) == 1:
        points, rows = values[0][:, None], 1
    else:
        points, rows = torch.cartesian_prod(values[1], values[0]).flip(1), count
    parts = tqdm(
        plane.latents(points).split(500), desc="explorer", unit="batch", disable=not progress
    )
    levels = np.concatenate([_levels(decode(vae, z, seed=seed), LONGEST_SIDE) for z in parts])
    return levels.reshape(rows, count, *levels.shape[1:])


def _levels(images: Tensor, longest: int) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] as levels (N, h, w, 1 or 3), reduced to `longest` pixels."""
    if images.shape[1] != 3:
        images = images.mean(1, keepdim=True)
    shape = _reduced(*images.shape[-2:], longest)
    if shape != tuple(images.shape[-2:]):
        images = torch.nn.functional.interpolate(
            images, shape, mode="bilinear", antialias=True
        ).clamp(0, 1)
    return (255 * images).round().to(torch.uint8).movedim(1, -1).numpy()


def _reduced(height: int, width: int, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


# The images' points


def _points(points: np.ndarray, images: ImageData) -> dict[str, Any]:
    """The points, the group of each, and each group's name and look."""
    groups = grouping(images)
    if groups is None:
        looks = [{"name": "", "colour": MODEL, "marker": "o"}]
        values = [0] * len(points)
    else:
        present, indices = np.unique(groups.values, return_inverse=True)
        looks = [_look(groups, k) for k in present.tolist()]
        values = indices.tolist()
    x, y = ([float(f"{value:.5g}") for value in column] for column in points.T)
    return {"points": {"x": x, "y": y, "group": values}, "groups": looks}


def _look(groups: Grouping, k: int) -> dict[str, str]:
    """Name, colour and marker of a group, as in the pictures."""
    colour, marker = class_look(k)
    if len(groups.names) > MOST_CLASSES:
        share = k / (len(groups.names) - 1)
        colour, marker = to_hex(matplotlib.colormaps[SEQUENTIAL](share)), "o"
    return {"name": groups.names[k], "colour": colour, "marker": marker}


def _originals(images: ImageData) -> dict[str, Any]:
    """The images themselves, small, as one picture: as many, from the first, as the size allows."""
    parts = (images.levels(slice(i, i + 100)) for i in range(0, len(images), 100))
    levels = np.concatenate([_levels(x.float().cpu() / 255, THUMBNAIL_SIDE) for x in parts])
    count, height, width, channels = levels.shape
    while True:
        columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
        sheet[:count] = levels[:count]
        sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        sheet = sheet.reshape(rows * height, columns * width, channels)
        contents = pages.image_bytes(sheet[..., 0] if channels == 1 else sheet, quality=50)
        if len(contents) <= ORIGINAL_BYTES:
            break
        count = max(1, int(0.9 * count * ORIGINAL_BYTES / len(contents)))
    return {
        "count": count,
        "columns": columns,
        "width": width,
        "height": height,
        "picture": pages.data_uri(contents),
    }


# The prior's mass


def _prior_draws(vae: VAE, seed: int) -> Tensor | None:
    """Draws from the prior, (n, D); None if it has none."""
    try:
        count = min(max(4_000_000 // vae.latent_size, 20_000), 200_000)
        return draw_prior(vae, count, seed=seed)
    except ValueError:
        return None


def _outlines(
    vae: VAE, plane: Plane, points: np.ndarray, window: np.ndarray
) -> list[dict[str, Any]]:
    """Where the prior has its mass, as named lines in the window's coordinates.

    In a plane: the smallest regions that hold the `MASSES`. On a line: the density, as a curve.

    Args:
        vae: the model.
        plane: the plane or the line.
        points: of draws from the prior, (n, 2) or (n, 1).
        window: what is shown.
    """
    reach = window + np.ptp(window, 1)[:, None] * [-0.25, 0.25]
    edges = [np.linspace(*limits, CELLS + 1) for limits in reach[: points.shape[1]]]
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    if len(edges) == 1:
        density = _histogram(points, edges)[0]
        heights = window[1, 0] + 0.9 * np.ptp(window[1]) * density / density.max()
        return [{"name": "the prior's density", "lines": [_line(middles[0], heights)]}]
    found = _exact_density(vae, plane, points, middles)
    density, levels = found or _histogram(points, edges)
    return [
        {"name": f"{mass:.0%} of the prior", "lines": _contour(*middles, density.T, level)}
        for mass, level in zip(MASSES, levels, strict=True)
        if density.min() < level < density.max()
    ]


@torch.no_grad()
def _exact_density(
    vae: VAE, plane: Plane, points: np.ndarray, middles: list[np.ndarray]
) -> tuple[np.ndarray, list[float]] | None:
    """The log-density of a prior over the plane at the cells, and its levels around the masses.

    None where it is not known: a prior whose dimensions depend on each other, across more of them
    than the plane's; binary codes; points on a circle.
    """
    log_density = _log_density(vae, plane)
    if log_density is None:
        return None
    cells = torch.cartesian_prod(*(torch.from_numpy(middle).float() for middle in middles))
    try:
        density = log_density(cells).reshape(CELLS, CELLS)
        of_draws = log_density(torch.from_numpy(points).float())
    except ValueError:
        return None
    if of_draws.max() - of_draws.min() < 1e-3 or not density.isfinite().all():
        return None
    return density.numpy(), np.quantile(of_draws, [1 - mass for mass in MASSES]).tolist()


def _log_density(vae: VAE, plane: Plane) -> Callable[[Tensor], Tensor] | None:
    """The log-density of points (N, 2) of the plane, if it is the whole space or part of a product.

    Of a product of D densities, the two of the plane's dimensions count.
    """
    if not plane.rest:
        return lambda points: prior_log_density(vae, plane.latents(points))
    along_dimensions = bool((plane.directions.amax(1) == 1).all())
    with evaluating(vae):
        parts = factors_of(vae.prior()) if along_dimensions else None
    if parts is None:
        return None
    chosen = plane.directions.argmax(1)
    return lambda points: (
        parts.log_prob(plane.latents(points).to(vae.device)).cpu()[:, chosen].sum(1)
    )


def _histogram(points: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, list[float]]:
    """A smoothed histogram of draws, and its levels around the masses: for any prior."""
    density = np.histogramdd(points, edges)[0]
    for axis, edge in enumerate(edges):
        # As wide as the draws are few: Multivariate Density Estimation (Scott, 1992), its rule.
        wide = points[:, axis].std() * len(points) ** (-1 / (4 + len(edges)))
        cells = max(wide / (edge[1] - edge[0]), 1.0)
        steps = np.arange(-int(4 * cells), int(4 * cells) + 1)
        kernel = np.exp(-((steps / cells) ** 2) / 2)
        density = np.apply_along_axis(np.convolve, axis, density, kernel / kernel.sum(), "same")
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered) / len(points)
    places = np.searchsorted(held, MASSES).clip(max=len(held) - 1)
    return density, ordered[places].tolist()


def _contour(x: np.ndarray, y: np.ndarray, density: np.ndarray, level: float) -> list:
    contours = Figure().subplots().contour(x, y, density, [level])
    return [_line(*line.T) for line in contours.allsegs[0]]


def _line(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    return [[float(f"{a:.4g}"), float(f"{b:.4g}")] for a, b in zip(x, y, strict=True)]


# What the page says


def _notes(plane: Plane, values: dict[str, Any], total: int) -> list[str]:
    shown, nodes = len(values["points"]["x"]), values["nodes"]
    evenly = ", evenly by class" if len(values["groups"]) > 1 else ""
    some = f"{number(shown)} of {number(total)} images are shown{evenly}."
    notes = [some if shown < total else f"All {number(total)} images are shown."]
    if values["originals"]["count"] < shown:
        notes.append(f"Of {number(values['originals']['count'])}, the image itself is at hand.")
    if plane.rest:
        notes.append(f"{plane.rest} Points are projected on the plane shown.")
    if len(plane.names) == 1:
        notes.append("The latent space has one dimension: the points' heights mean nothing.")
    places = "×".join(str(nodes[side]) for side in ("columns", "rows")[: len(plane.names)])
    notes.append(
        f"Images were decoded at {places} places and are blended in between; they are shown with "
        f"{nodes['width']}×{nodes['height']} pixels."
    )
    if not values["prior"]:
        notes.append("No outline of a prior is drawn: this one is flat, or all in one place.")
    return notes
