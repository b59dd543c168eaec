"""The latent explorer: a page that decodes the latent space under the pointer.

A plane is laid through the latent space. If the decoder is fully connected and fits into the page,
the page holds its weights, and the browser decodes any point of the plane. Otherwise images are
decoded at the nodes of a grid on the plane and stored with 8 bits per value, and the browser
interpolates between the nodes bilinearly. The page also holds the latent vectors of the images and
outlines of the prior's mass. It is one file of less than 3 MB that needs no server and loads
nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor, nn

from pyro_vae._modes import evaluating
from pyro_vae._progress import hidden, tqdm
from pyro_vae.analysis.classes import Grouping, grouping
from pyro_vae.analysis.embeddings import (
    decode,
    draw_prior,
    factors_of,
    leading,
    mean_rate_per_dimension,
    on_sphere,
    prior_log_density,
)
from pyro_vae.analysis.pages.packing import Layer, layers_of, pack, run_layers
from pyro_vae.analysis.pages.page import data_uri, document, image_bytes, render
from pyro_vae.analysis.passes import Coded, code, worth_decoding
from pyro_vae.analysis.style import (
    MODEL,
    MOST_CLASSES,
    SEQUENTIAL,
    latent_name,
    number,
)
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.vae import VAE

Axes = Literal["dimensions", "principal"]

MOST_POINTS = 3000
MOST_NODES = 64  # along an axis
FEWEST_NODES = 8
MOST_VALUES = 12_000_000  # decoded in total
LONGEST_SIDE = 64  # of a decoded image, in pixels
THUMBNAIL_SIDE = 32
# Bytes of the decoder or of its images, and of the originals. Base64 adds a third; points, outlines
# and program need about 100 kB.
DECODER_BYTES = 1_300_000
NODE_BYTES = 1_300_000
ORIGINAL_BYTES = 550_000
CELLS = 144  # along an axis, of the grid on which the prior's mass is outlined
MASSES = (0.95, 0.5)
MEANS = ("sigmoid", "identity", "continuous_bernoulli")  # of pixels, from the decoder's values
MOST_OFF = 4.0  # of 255 levels, by which the decoder in the page may differ from the model's
COMPARED = 16  # points along an axis at which the two are compared


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
    """Return the explorer as a page.

    Args:
        vae: the model.
        images: N images, in the form that the model takes; of more than 3,000, a subset balanced
            by class is shown.
        dimensions: the two latent dimensions to move along, from 0, for axes "dimensions"; by
            default those with the highest rate.
        axes: "dimensions", where all other dimensions stay at their mean, or "principal", the
            first two principal components of the latent vectors. A latent space of one dimension
            has a single axis.
        seed: seed of all randomness.
        title: title of the page.
        progress: show a progress bar while images are decoded.

    Raises:
        ArgumentError: the dimensions are not two different dimensions of the latent space, or
            `axes` is not one of the above.
    """
    found = explorer_contents(
        vae, images, dimensions=dimensions, axes=axes, seed=seed, progress=progress
    )
    return standalone(section(found), title)


def standalone(found: Markup, title: str = "Latent explorer") -> str:
    """Return a page with nothing but a `section`."""
    return document(title, render("standalone.html", title=title, section=found))


def section(contents: Mapping[str, Any]) -> Markup:
    """Return the explorer of `explorer_contents` as an element of a page, which can hold one."""
    return render("explorer.html", **contents)


def explorer_contents(
    vae: VAE,
    images: ImageData,
    *,
    dimensions: Sequence[int] | None = None,
    axes: Axes = "dimensions",
    seed: int = 0,
    progress: bool = False,
    coded: Coded | None = None,
) -> dict[str, Any]:
    """Return what the explorer shows, as plain values; see `html`.

    What a pass of coding found of the N images is `coded`, if it is known; they are then not coded
    again.
    """
    total, order = len(images), evenly_by_class(images, MOST_POINTS, seed)
    images = images.select(order)
    coded = code(vae, images, seed=seed) if coded is None else coded.select(order)
    codes = coded.codes
    if dimensions is None:
        dimensions = leading(codes, coded.rate if codes.shape[1] > 2 else None)
    plane = lay(vae, images, codes, dimensions, axes, seed)
    points = _with_heights(plane.points(codes), seed)
    draws = _prior_draws(vae, seed)
    drawn = None if draws is None else plane.points(draws).double().numpy()
    window = _window(points, drawn)
    decoder = _decoder(vae, plane, window, seed)
    values = {
        "names": plane.names,
        "short": plane.short,
        "window": window.tolist(),
        "digits": max(0, 2 - math.floor(math.log10(np.ptp(window, 1).min() / 2))),
        "decoder": decoder,
        "nodes": None if decoder else _nodes(vae, plane, window, seed, progress),
        **_points(points, images),
        "originals": _originals(images),
        "prior": [] if drawn is None else _outlines(vae, plane, drawn, window),
    }
    return {"data": values, "notes": _notes(plane, values, total)}


def evenly_by_class(images: ImageData, most: int, seed: int = 0) -> Tensor:
    """Return the indices of at most `most` images, balanced by class, in random order.

    Args:
        images: N images, with or without labels.
        most: the largest number of indices.
        seed: seed of the choice and the order.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed), device="cpu")
    if images.labels is not None and len(images) > most:
        labels = images.labels.cpu()[order]
        # The number of images of its class that are before each image.
        turn = torch.zeros(len(order), dtype=torch.int64, device="cpu")
        for label in labels.unique():
            here = labels == label
            turn[here] = torch.arange(int(here.sum()), device="cpu")
        chosen = turn.argsort(stable=True)[:most].sort().values
        return order[chosen]
    return order[:most]


# The plane


@dataclass(frozen=True)
class Plane:
    """A plane (or, for D = 1, a line) through the latent space.

    Attributes:
        origin: the latent vector at the coordinates 0, (D,).
        directions: orthonormal vectors, (2, D) or (1, D).
        names: names of the coordinates.
        short: short names of the coordinates.
        rest: a sentence about what is fixed; "" if nothing is.
    """

    origin: Tensor
    directions: Tensor
    names: tuple[str, ...]
    short: tuple[str, ...]
    rest: str = ""

    def points(self, z: Tensor) -> Tensor:
        """Return the coordinates (N, 2) or (N, 1) of latent vectors (N, D), by projection."""
        return (z - self.origin) @ self.directions.T

    def latents(self, points: Tensor) -> Tensor:
        """Return the latent vectors (N, D) at coordinates (N, 2) or (N, 1)."""
        return self.origin + points @ self.directions


def lay(
    vae: VAE,
    images: ImageData,
    codes: Tensor,
    dimensions: Sequence[int] | None = None,
    axes: Axes = "dimensions",
    seed: int = 0,
) -> Plane:
    """Return the plane of the explorer, see `html`.

    Args:
        vae: the model.
        images: N images.
        codes: their latent vectors, (N, D).
        dimensions: two latent dimensions, from 0.
        axes: "dimensions" or "principal".
        seed: seed of the draws that estimate rates.

    Raises:
        ArgumentError: the dimensions or the axes do not exist.
    """
    if axes not in ("dimensions", "principal"):
        raise ArgumentError(f"axes must be 'dimensions' or 'principal', got {axes!r}.")
    size = codes.shape[1]
    if axes == "principal" and size > 1:
        return _principal(codes)
    if dimensions is None:
        rates = mean_rate_per_dimension(vae, images, seed=seed) if size > 2 else None
        dimensions = leading(codes, rates)
    chosen = list(dict.fromkeys(dimensions)) if size == 1 else list(dimensions)
    if len(set(chosen)) != min(size, 2) or not all(0 <= d < size for d in chosen):
        needed = "dimension 0" if size == 1 else f"two different dimensions from 0 to {size - 1}"
        raise ArgumentError(
            f"dimensions: the explorer of this model needs {needed}, got {list(dimensions)}."
        )
    origin = codes.mean(0)
    origin[chosen] = 0
    names = tuple(latent_name(d) for d in chosen)
    rest = _number_of_others(size - len(chosen), "stays at its mean", "stay at their mean")
    return Plane(origin, torch.eye(size, device="cpu")[chosen], names, names, rest)


def _principal(codes: Tensor) -> Plane:
    """The plane of the first two principal components, through the mean of the latent vectors."""
    mean = codes.mean(0)
    _, lengths, directions = torch.linalg.svd(codes - mean, full_matrices=False)
    if len(directions) < 2:  # a single image
        directions = torch.eye(codes.shape[1], device="cpu")[:2]
        lengths = torch.ones(2, device="cpu")
    # A component's sign is arbitrary: its largest entry is positive.
    largest = directions[:2].abs().argmax(1, keepdim=True)
    directions = directions[:2] * directions[:2].gather(1, largest).sign()
    shares = lengths.square() / lengths.square().sum().clamp(min=1e-12)
    names = tuple(f"principal component {i + 1} ({shares[i]:.0%} of the variance)" for i in (0, 1))
    rest = _number_of_others(codes.shape[1] - 2, "stays at its mean", "stay at their mean")
    return Plane(mean, directions, names, ("component 1", "component 2"), rest)


def _number_of_others(count: int, one: str, many: str) -> str:
    if count == 0:
        return ""
    return f"The other dimension {one}." if count == 1 else f"The other {count} dimensions {many}."


def _with_heights(points: Tensor, seed: int) -> np.ndarray:
    """Points (N, 2); those of one dimension (N, 1) get random heights from 0 to 1."""
    if points.shape[1] == 1:
        heights = torch.rand(
            len(points), 1, generator=torch.Generator().manual_seed(seed), device="cpu"
        )
        points = torch.cat([points, heights], 1)
    return points.double().numpy()


def _window(points: np.ndarray, draws: np.ndarray | None) -> np.ndarray:
    """The limits of the map, ((left, right), (bottom, top)): all points and the prior's mass."""
    low, high = points.min(0), points.max(0)
    if draws is not None:
        parts = np.quantile(draws, [0.005, 0.995], axis=0)
        count = draws.shape[1]  # random heights keep their range
        low[:count] = np.minimum(low[:count], parts[0])
        high[:count] = np.maximum(high[:count], parts[1])
    span = np.maximum(high - low, 1e-3)
    if draws is None or draws.shape[1] == 2:
        # Use equal scales where that wastes little space.
        span = np.where(2 * span > span.max(), span.max(), span)
    middle, half = (low + high) / 2, 0.53 * span
    return np.stack([middle - half, middle + half], 1)


# The decoder within the page


def _decoder(vae: VAE, plane: Plane, window: np.ndarray, seed: int) -> dict[str, Any] | None:
    """The decoder and the plane that it is given points of; None if the page cannot hold them.

    What becomes of the numbers that the decoder returns is not asked of the likelihood, but seen:
    packed and run, it must return what the model does, or it is not used.
    """
    layers = layers_of(getattr(vae.likelihood, "decoder", None) or nn.Identity())
    channels, height, width = shape = tuple(vae.image_shape)
    if layers is None or not _usable(layers, vae.latent_size, math.prod(shape)):
        return None
    points = _grid(window, len(plane.names), _compared(math.prod(shape)))
    z, normalize = plane.latents(points), on_sphere(vae)
    expected = decode(vae, z, seed=seed).flatten(1)
    given = nn.functional.normalize(z, dim=-1) if normalize else z
    for network in _packings(layers, vae.likelihood, math.prod(shape)):
        off = 255 * (run_layers(network, given).clamp(0, 1) - expected).abs().max().item()
        if off <= MOST_OFF:
            return {
                "network": network,
                "origin": plane.origin.tolist(),
                "directions": plane.directions.tolist(),
                "normalize": normalize,
                "channels": channels,
                "height": height,
                "width": width,
                "off": off,
                "compared": len(points),
            }
    return None


def _usable(layers: list[tuple[nn.Linear, str]], inputs: int, outputs: int) -> bool:
    """Whether layers lead from latent vectors to all values of an image, by finite numbers."""
    fits = layers[0][0].in_features == inputs and layers[-1][0].out_features >= outputs
    return fits and all(
        bool(parameter.isfinite().all()) for layer, _ in layers for parameter in layer.parameters()
    )


def _compared(values: int) -> int:
    """The number of points along an axis at which images of so many values are compared."""
    return int(np.clip(math.sqrt(MOST_VALUES / values), 2, COMPARED))


def _packings(
    layers: list[tuple[nn.Linear, str]], likelihood: object, values: int
) -> Iterator[list[Layer]]:
    """The decoder packed in each way that its image may follow from it, the finest first.

    Args:
        layers: its layers, the last of which may also return other parameters than the mean.
        likelihood: what says whether the values of the image are standardized.
        values: the number of values of an image.
    """
    *hidden, (last, activation) = layers
    shift, factor = getattr(likelihood, "standardized", (0.0, 1.0))
    bias = last(last.weight.new_zeros(last.in_features))[:values]
    endings = MEANS if activation == "identity" else (activation,)
    count = sum(layer.weight.numel() for layer, _ in hidden) + values * last.in_features
    rows = sum(layer.out_features for layer, _ in hidden) + values
    for bits in (16, 8):
        if count * bits // 8 + 8 * rows > DECODER_BYTES:
            continue
        before = [pack(layer.weight, layer.bias, name, bits) for layer, name in hidden]
        for ending in endings:
            yield [
                *before,
                pack(factor * last.weight[:values], factor * bias + shift, ending, bits),
            ]


# The decoded images


def _nodes(vae: VAE, plane: Plane, window: np.ndarray, seed: int, progress: bool) -> dict[str, Any]:
    """Images decoded on a grid over the window, as one picture of at most `NODE_BYTES`.

    For each pixel of an image, the picture has a block with the value of that pixel at every node,
    lowest row first. Neighboring nodes decode to similar images, so the blocks are smooth and
    compress well.
    """
    count = _first_count(vae, plane)
    while True:
        levels = _decoded_levels(vae, plane, window, count, seed, progress)
        rows, columns, height, width, channels = levels.shape
        blocks = levels.transpose(2, 0, 3, 1, 4).reshape(height * rows, width * columns, channels)
        contents = image_bytes(
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
        "picture": data_uri(contents),
    }


def _first_count(vae: VAE, plane: Plane) -> int:
    channels, height, width = vae.image_shape
    values = channels * math.prod(_reduced(height, width, LONGEST_SIDE))
    most, axes = min(MOST_VALUES / values, worth_decoding(vae)), len(plane.names)
    return int(np.clip(most ** (1 / axes), FEWEST_NODES, MOST_NODES))


def _decoded_levels(
    vae: VAE, plane: Plane, window: np.ndarray, count: int, seed: int, progress: bool
) -> np.ndarray:
    """Decoded images (rows, columns, H, W, 1 or 3), uint8; one dimension has one row."""
    points = _grid(window, len(plane.names), count)
    parts = tqdm(
        plane.latents(points).split(500), desc="explorer", unit="batch", disable=hidden(progress)
    )
    levels = np.concatenate([_levels(decode(vae, z, seed=seed), LONGEST_SIDE) for z in parts])
    return levels.reshape(-1, count, *levels.shape[1:])


def _grid(window: np.ndarray, axes: int, count: int) -> Tensor:
    """The coordinates of `count` points along each of one or two axes, the lowest row first."""
    ends = torch.from_numpy(window).float()
    values = [torch.linspace(low, high, count, device="cpu") for low, high in ends[:axes].tolist()]
    return values[0][:, None] if axes == 1 else torch.cartesian_prod(values[1], values[0]).flip(1)


def _levels(images: Tensor, longest: int) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] as uint8 (N, h, w, 1 or 3), sides at most `longest` pixels."""
    if images.shape[1] != 3:
        images = images.mean(1, keepdim=True)
    height, width = images.shape[-2:]
    shape = _reduced(height, width, longest)
    if shape != (height, width):
        images = torch.nn.functional.interpolate(
            images, shape, mode="bilinear", antialias=True
        ).clamp(0, 1)
    return (255 * images).round().to(torch.uint8).movedim(1, -1).numpy()


def _reduced(height: int, width: int, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


# The images' points


def _points(points: np.ndarray, images: ImageData) -> dict[str, Any]:
    """The points with the group of each, and the groups with their names and looks."""
    groups = grouping(images)
    if groups is None:
        looks = [{"name": "", "color": MODEL, "marker": "o"}]
        values = [0] * len(points)
    else:
        present, indices = np.unique(groups.values, return_inverse=True)
        looks = [_look(groups, k) for k in present.tolist()]
        values = indices.tolist()
    x, y = ([float(f"{value:.5g}") for value in column] for column in points.T)
    return {"points": {"x": x, "y": y, "group": values}, "groups": looks}


def _look(groups: Grouping, k: int) -> dict[str, str]:
    """The name, color and marker of a group, as in the pictures."""
    color, marker = groups.look(k)
    if k != groups.unknown and len(groups.names) > MOST_CLASSES:
        share = k / (len(groups.names) - 1)
        color, marker = to_hex(matplotlib.colormaps[SEQUENTIAL](share)), "o"
    return {"name": groups.names[k], "color": color, "marker": marker}


def _originals(images: ImageData) -> dict[str, Any]:
    """Thumbnails of the images as one picture: the first images, as many as the size allows."""
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
        contents = image_bytes(sheet[..., 0] if channels == 1 else sheet, quality=50)
        if len(contents) <= ORIGINAL_BYTES:
            break
        count = max(1, int(0.9 * count * ORIGINAL_BYTES / len(contents)))
    return {
        "count": count,
        "columns": columns,
        "width": width,
        "height": height,
        "picture": data_uri(contents),
    }


# The prior's mass


def _prior_draws(vae: VAE, seed: int) -> Tensor | None:
    """Draws from the prior, (n, D); None if it cannot be sampled."""
    try:
        count = min(max(4_000_000 // vae.latent_size, 20_000), 200_000)
        return draw_prior(vae, count, seed=seed)
    except ValueError:
        return None


def _outlines(
    vae: VAE, plane: Plane, points: np.ndarray, window: np.ndarray
) -> list[dict[str, Any]]:
    """Outlines of the prior's mass, as named lines in the window's coordinates.

    In a plane they are the smallest regions that hold the `MASSES`; on a line, the density curve.

    Args:
        vae: the model.
        plane: the plane or the line.
        points: coordinates of draws from the prior, (n, 2) or (n, 1).
        window: the limits of the map.
    """
    reach = window + np.ptp(window, 1)[:, None] * [-0.25, 0.25]
    edges = [np.linspace(low, high, CELLS + 1) for low, high in reach[: points.shape[1]]]
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    if len(edges) == 1:
        density = _histogram(points, edges)[0]
        heights = window[1, 0] + 0.9 * np.ptp(window[1]) * density / density.max()
        return [{"name": "density of the prior", "lines": [_line(middles[0], heights)]}]
    found = _exact_density(vae, plane, points, middles)
    density, levels = found or _histogram(points, edges)
    across, up = middles
    return [
        {"name": f"{mass:.0%} of the prior", "lines": _contour(across, up, density.T, level)}
        for mass, level in zip(MASSES, levels, strict=True)
        if density.min() < level < density.max()
    ]


@torch.no_grad()
def _exact_density(
    vae: VAE, plane: Plane, points: np.ndarray, middles: list[np.ndarray]
) -> tuple[np.ndarray, list[float]] | None:
    """The log-density of the prior at the cells of the plane, and the levels that hold the masses.

    It is None where it is unknown: for a prior over more dimensions than the plane's that depend
    on each other, for binary latent vectors, and for points on a circle.
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
    """The log-density of points (N, 2), if the plane is the whole space or the prior factorizes.

    Of a product of D densities, only the two factors of the plane's dimensions count.
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
    """A smoothed histogram of draws, and the levels that hold the masses, for any prior."""
    density = np.histogramdd(points, edges)[0]
    for axis, edge in enumerate(edges):
        # The bandwidth follows the rule of Multivariate Density Estimation (Scott, 1992).
        wide = points[:, axis].std() * len(points) ** (-1 / (4 + len(edges)))
        cells = max(wide / (edge[1] - edge[0]), 1.0)
        steps = np.arange(-int(4 * cells), int(4 * cells) + 1)
        kernel = np.exp(-((steps / cells) ** 2) / 2)
        density = np.apply_along_axis(np.convolve, axis, density, kernel / kernel.sum(), "same")
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered) / len(points)
    places = np.searchsorted(held, MASSES).clip(max=len(held) - 1)
    return density, ordered[places].tolist()


def _contour(
    x: np.ndarray, y: np.ndarray, density: np.ndarray, level: float
) -> list[list[list[float]]]:
    contours = Figure().subplots().contour(x, y, density, [level])
    return [_line(*line.T) for line in contours.allsegs[0]]


def _line(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    return [[float(f"{a:.4g}"), float(f"{b:.4g}")] for a, b in zip(x, y, strict=True)]


# The notes below the map


def _notes(plane: Plane, values: dict[str, Any], total: int) -> list[str]:
    shown = len(values["points"]["x"])
    notes = [f"All {number(total)} images are shown."]
    if shown < total:
        balanced = ", balanced by class" if len(values["groups"]) > 1 else ""
        notes = [f"{number(shown)} of {number(total)} images are shown{balanced}."]
    if values["originals"]["count"] < shown:
        notes.append(f"{number(values['originals']['count'])} of them can be viewed.")
    if plane.rest:
        notes.append(f"{plane.rest} The points are projected onto the plane shown.")
    if len(plane.names) == 1:
        notes.append(
            "The latent space has one dimension: the vertical positions of the points are random."
        )
    notes.append(_how_decoded(plane, values))
    if not values["prior"]:
        notes.append(
            "The prior has no outline: it is flat, or its mass is concentrated in one place."
        )
    return notes


def _how_decoded(plane: Plane, values: dict[str, Any]) -> str:
    if decoder := values["decoder"]:
        bits = decoder["network"][0]["bits"]
        return (
            f"The decoder itself runs in this page, with weights of {bits} bits: "
            f"at {decoder['compared']} points its images were compared with the model's, and "
            f"no pixel was off by more than {math.ceil(100 * decoder['off']) / 100} of 255 levels."
        )
    nodes = values["nodes"]
    count = "×".join(str(nodes[side]) for side in ("columns", "rows")[: len(plane.names)])
    return (
        f"Images were decoded at {count} points and are interpolated in between; they are shown "
        f"at {nodes['width']}×{nodes['height']} pixels."
    )
