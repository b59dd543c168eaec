"""The decoder's manifold: images decoded from points spread over the latent space."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Natural, Number, Seed, Vector, checked
from pyro_vae.analysis.classes import add_legend, grouping, require_as_many, scatter_groups
from pyro_vae.analysis.embeddings import decode, draw_prior, factors_of
from pyro_vae.analysis.latents import label_axes
from pyro_vae.analysis.projections import project
from pyro_vae.analysis.style import (
    Figure,
    as_array,
    latent_name,
    mosaic,
    panels,
    styled,
)
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages
from pyro_vae.vae import VAE

Range = tuple[Number, Number]


@checked
@styled
def linear_grid(
    vae: VAE,
    *,
    size: Count,
    ranges: Range | tuple[Range, Range] = (-3.0, 3.0),
    steps: Count = 20,
    dimensions: tuple[Natural, Natural] = (0, 1),
    at: Vector | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw images decoded at evenly spaced points, placed at their coordinates.

    Args:
        vae: the model.
        size: the dimension D; for D = 1 the images form one row.
        ranges: (low, high) of both coordinates, or one such pair for each.
        steps: number of points along each coordinate.
        dimensions: the two latent dimensions that vary, from 0, if D > 2.
        at: values of all other dimensions, (D,); 0 by default.
        seed: seed of the draws from a likelihood that has no mean.
    """
    _require_dimensions("linear_grid", dimensions, size)
    if at is not None and len(at) != size:
        raise ArgumentError(f"linear_grid: at must have {size} numbers, got {len(at)}.")
    limits = _both(ranges)
    values = [torch.linspace(low, high, steps, device="cpu") for low, high in limits]
    base = torch.zeros(size, device="cpu") if at is None else at
    z = grid_points(values, base, dimensions)
    fig, ax = _manifold_axes(f"Images decoded at {_extent(size, steps)} evenly spaced points", size)
    halves = [(high - low) / max(steps - 1, 1) / 2 for low, high in limits]
    edges = [(low - half, high + half) for (low, high), half in zip(limits, halves, strict=True)]
    _tile(ax, decode(vae, z, seed=seed), steps, edges)
    _name_axes(ax, size, dimensions, "")
    return fig


def _require_dimensions(owner: str, dimensions: Sequence[int], size: int) -> None:
    """Refuse latent dimensions that there are not; those of a single one say nothing."""
    if size > 1 and max(dimensions) >= size:
        raise ArgumentError(
            f"{owner}: dimensions must be below the dimension D = {size} of the latent space, got "
            f"{tuple(dimensions)}."
        )


def _both(ranges: Range | tuple[Range, Range]) -> tuple[Range, Range]:
    """The range of each coordinate, where one range may stand for both."""
    first, second = ranges
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return (first[0], first[1]), (second[0], second[1])
    assert not isinstance(first, tuple) and not isinstance(second, tuple)
    return (first, second), (first, second)


@checked
@styled
def quantile_grid(
    vae: VAE,
    *,
    size: Count,
    steps: Count = 20,
    dimensions: tuple[Natural, Natural] = (0, 1),
    seed: Seed = 0,
) -> Figure:
    """Draw images decoded at the prior's quantiles: all tiles stand for the same share of its mass.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix A. If the quantiles of the
    prior are unknown, draws are divided into strips of equal mass along the first coordinate, and
    each strip along the second. The other dimensions stay at their median.

    Args:
        vae: the model.
        size: the dimension D.
        steps: number of tiles along each coordinate.
        dimensions: the two latent dimensions that vary, from 0, if D > 2.
        seed: seed of the draws from the prior.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    _require_dimensions("quantile_grid", dimensions, size)
    z = quantile_points(vae, size, steps, dimensions, seed)
    fig, ax = _manifold_axes(
        f"Images decoded at {_extent(size, steps)} quantiles of the prior", size
    )
    _tile(ax, decode(vae, z, seed=seed), steps, [(0.0, 1.0), (0.0, 1.0)])
    _name_axes(ax, size, dimensions, "share of the prior's mass below, along ")
    return fig


def grid_points(values: list[Tensor], at: Tensor, dimensions: tuple[int, int]) -> Tensor:
    """Return the points of a grid, row by row from the top left: (rows·columns, D).

    The first coordinate increases to the right and the second one upward. A latent space of one
    dimension has one row.

    Args:
        values: the values of each coordinate.
        at: values of all other dimensions, (D,).
        dimensions: the two latent dimensions that vary, from 0.
    """
    if len(at) == 1:
        return values[0][:, None]
    up, right = torch.meshgrid(values[1].flip(0), values[0], indexing="ij")
    z = at.repeat(up.numel(), 1)
    z[:, dimensions[0]], z[:, dimensions[1]] = right.flatten(), up.flatten()
    return z


@torch.no_grad()
def quantile_points(
    vae: VAE, size: int, steps: int, dimensions: tuple[int, int] = (0, 1), seed: int = 0
) -> Tensor:
    """Return the points of `quantile_grid`, in the order of `grid_points`.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    levels = (torch.arange(steps, device="cpu") + 0.5) / steps
    table, middles = _icdf(vae, levels), _icdf(vae, torch.tensor([0.5], device="cpu"))
    if table is not None and middles is not None:
        middle = middles[0]
        values = [table[:, d] for d in (dimensions[:1] if size == 1 else dimensions)]
        return grid_points(values, middle, dimensions)
    draws = draw_prior(vae, max(20_000, 100 * steps**2), seed=seed)
    if size == 1:
        return draws.quantile(levels, 0)
    return _equal_mass_points(draws, levels, dimensions)


@checked
def prior_range(vae: VAE, dimension: Natural, *, seed: Seed = 0) -> Range:
    """Return the range that holds 99.73% of a prior's marginal: (-3, 3) for a standard normal.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    if dimension >= vae.latent_size:
        raise ArgumentError(
            f"prior_range: dimension must be below the dimension D = {vae.latent_size} of the "
            f"latent space, got {dimension}."
        )
    levels = torch.tensor([0.00135, 0.99865], device="cpu")
    draws = draw_prior(vae, 20_000, seed=seed)
    table = _icdf(vae, levels)
    ends = draws.quantile(levels, 0) if table is None else table
    low, high = ends[:, dimension].tolist()
    return round(low, 2), round(high, 2)


@torch.no_grad()
def _icdf(vae: VAE, levels: Tensor) -> Tensor | None:
    """Quantiles of each dimension of the prior, (n, D); None if they are unknown."""
    base = factors_of(vae.prior())
    try:
        return None if base is None else base.icdf(levels[:, None].to(vae.device)).cpu()
    except NotImplementedError:
        return None


def _equal_mass_points(draws: Tensor, levels: Tensor, dimensions: tuple[int, int]) -> Tensor:
    first, second = dimensions
    strips = draws[draws[:, first].argsort()].chunk(len(levels))
    across = torch.stack([strip[:, first].median() for strip in strips])
    up = torch.stack([strip[:, second].quantile(levels) for strip in strips], 1).flip(0)
    z = draws.median(0).values.repeat(up.numel(), 1)
    z[:, first], z[:, second] = across.repeat(len(levels)), up.flatten()
    return z


@checked
@styled
def at_embeddings(
    vae: VAE,
    codes: Codes,
    images: SomeImages,
    *,
    decoded: bool = True,
    tiles: Count = 26,
    resolution: Count = 1400,
    seed: Seed = 0,
) -> Figure:
    """Draw images at their codes, as many as fit without overlap.

    Args:
        vae: the model.
        codes: codes of the images, (N, D); drawn by their first two principal components if D > 2.
        images: N images; their classes give the colors of the frames.
        decoded: draw the decoded codes, not the images themselves.
        tiles: number of images that fit side by side.
        resolution: width and height in pixels.
        seed: seed of the choice of images.
    """
    require_as_many(codes, images)
    groups, plane = grouping(images), project(codes, points=len(codes), seed=seed)
    chosen, corners, side = _thinned(plane.points, tiles, resolution, seed)
    places = plane.indices[chosen]
    indices = torch.from_numpy(places)
    shown = decode(vae, codes[indices], seed=seed) if decoded else images.as_float(indices)
    what = f"{len(indices)} decoded codes" if decoded else f"{len(indices)} images"
    title = f"{what}, drawn at the positions of the codes"
    fig, axes = panels(height=5.6, title=title)
    ax = axes[0, 0]
    scatter_groups(ax, plane.points, groups and groups[plane.indices], scale=0.3)
    looks = [groups.look(k) for k in groups.values[places]] if groups else []
    colors = [color for color, _ in looks] or ["0.6"] * len(places)
    canvas = _canvas(shown, corners, side, resolution, colors)
    low, span = plane.points.min(0), _span(plane.points)
    pixel = span / (resolution - side)
    left, bottom = low - pixel * side / 2
    width, height = pixel * resolution
    ax.imshow(canvas, extent=(left, left + width, bottom, bottom + height), aspect="auto", zorder=3)
    label_axes(ax, plane.names)
    ax.set_box_aspect(1)
    ax.set(aspect="auto", xlim=(left, left + width), ylim=(bottom, bottom + height))
    add_legend([ax], groups)
    return fig


def _thinned(
    points: np.ndarray, tiles: int, resolution: int, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Points whose tiles do not overlap, the tiles' top left corners, and their side in pixels."""
    side = resolution // tiles
    unit = (points - points.min(0)) / _span(points)
    corners = np.rint(np.stack([unit[:, 0], 1 - unit[:, 1]], 1) * (resolution - side)).astype(int)
    kept: list[int] = []
    for i in np.random.default_rng(seed).permutation(len(points)):
        apart = np.abs(corners[kept] - corners[i]).max(1) if kept else np.array([side])
        if (apart >= side).all():
            kept.append(i)
    return np.array(kept), corners[kept], side


def _span(points: np.ndarray) -> np.ndarray:
    span = np.ptp(points, 0)
    return np.where(span > 0, span, 1.0)


def _canvas(
    images: Tensor, corners: np.ndarray, side: int, resolution: int, colors: Sequence[str]
) -> np.ndarray:
    """An RGBA picture with images (n, C, H, W) at their top left corners, transparent elsewhere."""
    canvas = np.zeros((resolution, resolution, 4), np.float32)
    # A frame of two pixels in the color of the class.
    scale = (side - 4) / max(images.shape[-2:])
    height, width = (max(1, int(length * scale)) for length in images.shape[-2:])
    small = torch.nn.functional.interpolate(images, (height, width), mode="nearest")
    for i, (tile, (x, y)) in enumerate(zip(as_array(small), corners, strict=True)):
        canvas[y : y + height + 4, x : x + width + 4] = (*to_rgb(colors[i]), 1)
        canvas[y + 2 : y + 2 + height, x + 2 : x + 2 + width, :3] = tile
    return canvas


def _extent(size: int, steps: int) -> str:
    return f"{steps}" if size == 1 else f"{steps} × {steps}"


def _manifold_axes(title: str, size: int) -> tuple[Figure, Axes]:
    fig, axes = panels(height=1.2 if size == 1 else 6.6, title=title)
    return fig, axes[0, 0]


def _tile(ax: Axes, images: Tensor, columns: int, ranges: list[Range]) -> None:
    (left, right), (bottom, top) = ranges
    tiles = mosaic(images, columns)
    ax.imshow(tiles, extent=(left, right, bottom, top), aspect="auto", interpolation="nearest")
    ax.set_box_aspect(tiles.shape[0] / tiles.shape[1])
    ax.spines[:].set_visible(False)


def _name_axes(ax: Axes, size: int, dimensions: tuple[int, int], prefix: str) -> None:
    ax.set_xlabel(prefix + latent_name(dimensions[0]))
    if size == 1:
        ax.set_yticks([])
    else:
        ax.set_ylabel(prefix + latent_name(dimensions[1]))
