"""The latent space: where the codes lie, how they fill the prior, which dimensions are active."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Natural, Seed, Vector, checked
from pyro_vae.analysis.classes import (
    Grouping,
    add_legend,
    attribute_grouping,
    grouping,
    require_as_many,
    scatter_groups,
)
from pyro_vae.analysis.embeddings import draw_prior, factors_of, leading, prior_log_density
from pyro_vae.analysis.lettering import shortened
from pyro_vae.analysis.projections import Method, Projection, project
from pyro_vae.analysis.style import (
    MODEL,
    OTHER,
    PALETTE,
    PRIOR,
    SEQUENTIAL,
    Figure,
    bare,
    latent_name,
    number,
    panels,
    styled,
)
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation import ACTIVE_VARIANCE, active_units, has_prior
from pyro_vae.evaluation.fitting import SomeImages
from pyro_vae.vae import VAE

#: Draws that estimate the density and the quantiles of a prior.
DRAWS = 20_000


@checked
@styled
def scatter(
    codes: Codes,
    images: SomeImages,
    *,
    by: str | None = None,
    vae: VAE | None = None,
    method: Method = "auto",
    points: Count = 5000,
    plane: Projection | None = None,
    seed: Seed = 0,
    progress: bool = True,
) -> Figure:
    """Draw codes (N, D) in a plane, colored by class or by an attribute.

    Args:
        codes: the codes of the images, (N, D), see `embed`.
        images: N images.
        by: "class" or the name of an attribute; by default the class, if there is one.
        vae: if given and D = 2, the regions that hold 50% and 95% of its prior's mass are outlined.
        method: the projection if D > 2, see `project`.
        points: the most points to draw; which ones follows from `seed`.
        plane: the projection itself, if it is known; `method` and `points` then do not count.
        seed: seed of all randomness.
        progress: show a progress bar while t-SNE runs.

    Raises:
        ArgumentError: the images have no such attribute.
    """
    require_as_many(codes, images)
    groups = grouping(images, by)
    plane = plane or project(codes, method, points=points, seed=seed, progress=progress)
    count = f"{number(len(plane.points))} codes"
    fig, axes = panels(height=5.2, title=_scatter_title(count, groups, codes.shape[1]))
    ax = axes[0, 0]
    scatter_groups(ax, plane.points, groups and groups[plane.indices])
    label_axes(ax, plane.names)
    if vae is not None and plane.names == (latent_name(0), latent_name(1)):
        outline_prior(ax, vae, seed=seed)
    add_legend([ax], groups)
    return fig


def _scatter_title(count: str, groups: Grouping | None, size: int) -> str:
    color = f", colored by {shortened(groups.title)}" if groups else ""
    return f"{count} in a latent space with {size} dimension{'s' * (size > 1)}{color}"


def label_axes(ax: Axes, names: tuple[str, str]) -> None:
    """Label the axes of a projection; the random height of one dimension gets no ticks."""
    ax.set(xlabel=names[0], ylabel=names[1])
    if names[1] == "random height":
        ax.set_yticks([])
    elif names[0] == latent_name(0):
        ax.set_aspect("equal", adjustable="datalim")


@torch.no_grad()
def outline_prior(ax: Axes, vae: VAE, *, seed: int = 0) -> None:
    """Outline the smallest regions that hold 50% and 95% of a prior's mass, for D = 2.

    Nothing is drawn if the prior cannot be sampled or has no density in the plane.

    Args:
        ax: axes with a scatter plot of codes.
        vae: the model.
        seed: seed of the draws from the prior.
    """
    codes = ax.dataLim.frozen()
    # The grid is wider than the codes because equal scales may widen the axes.
    x, y = (
        torch.linspace(2 * a - b, 2 * b - a, 300, device="cpu")
        for a, b in (ax.get_xlim(), ax.get_ylim())
    )
    try:
        log_density = prior_log_density(vae, draw_prior(vae, DRAWS, seed=seed))
        height = prior_log_density(vae, torch.cartesian_prod(x, y)).reshape(300, 300).T
    except ValueError:  # Binary codes and points on a sphere do not fill the plane.
        return
    levels = torch.quantile(log_density, torch.tensor([0.05, 0.5], device="cpu")).tolist()
    if levels[0] < levels[1]:
        lines = ax.contour(x, y, height, levels, colors=PRIOR, linewidths=1, linestyles="--")
        ax.dataLim.set(codes)  # the limits follow the codes alone
        ax.autoscale_view()
        ax.clabel(lines, fmt=dict(zip(levels, ("95% of prior", "50%"), strict=True)), fontsize=8)


@checked
@styled
def attribute_scatters(
    codes: Codes,
    images: SomeImages,
    *,
    method: Method = "auto",
    points: Count = 5000,
    plane: Projection | None = None,
    seed: Seed = 0,
    progress: bool = True,
) -> Figure:
    """Draw the same codes (N, D) once per attribute of their images, colored by its values.

    Args:
        codes: the codes of the images, (N, D).
        images: N images with attributes.
        method: the projection, see `project`.
        points: the most points to draw; which ones follows from `seed`.
        plane: the projection itself, if it is known; `method` and `points` then do not count.
        seed: seed of all randomness.
        progress: show a progress bar while t-SNE runs.

    Raises:
        ArgumentError: the images have no attributes.
    """
    names = list(images.attributes or {})
    if not names:
        raise ArgumentError("images: they have no attributes to color the codes by.")
    require_as_many(codes, images)
    plane = plane or project(codes, method, points=points, seed=seed, progress=progress)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    title = "The same codes, colored by each attribute"
    fig, axes = panels(rows, columns, 0.5 + 2.1 * rows, title, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        groups = attribute_grouping(images, name)
        scatter_groups(ax, plane.points, groups[plane.indices], scale=0.4)
        ax.set_title(f"{shortened(name)} ({len(groups.names)} values)")
    for ax, above in zip(axes.flat[len(names) :], axes.flat[len(names) - columns :], strict=False):
        ax.set_axis_off()
        above.tick_params(labelbottom=True)
    fig.supxlabel(plane.names[0])
    fig.supylabel(plane.names[1])
    return fig


@checked
@styled
def marginals(
    codes: Codes,
    vae: VAE,
    *,
    autoencoder_codes: Codes | None = None,
    dimensions: Sequence[Natural] | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw a histogram of each latent dimension with the density of the prior.

    Args:
        codes: the codes of N images, (N, D). Draws from the posteriors (`embed(..., draw=True)`)
            follow the prior if the model fits well; posterior means spread less.
        vae: the model; the density of its prior is drawn if there is one.
        autoencoder_codes: codes of a plain autoencoder, (N, D), for a second row.
        dimensions: latent dimensions, from 0; by default the 4 with the largest variance.
        seed: seed of the draws that estimate marginals of the prior that are unknown.
    """
    dimensions = list(dimensions or leading(codes, count=4))
    if max(dimensions) >= codes.shape[1]:
        raise ArgumentError(
            f"marginals: dimensions must be below the dimension D = {codes.shape[1]} of the codes, "
            f"got {tuple(dimensions)}."
        )
    proper = has_prior(vae)
    rows = [("VAE", codes, MODEL) if proper else ("plain autoencoder", codes, OTHER)]
    if autoencoder_codes is not None:
        rows.append(("plain autoencoder", autoencoder_codes, OTHER))
    height = 0.5 + 2.4 * len(rows)
    fig, axes = panels(
        len(rows), len(dimensions), height, _marginal_title(codes, dimensions, proper)
    )
    for (name, values, color), line in zip(rows, axes, strict=True):
        for ax, dimension in zip(line, dimensions, strict=True):
            _histogram(ax, values[:, dimension], color, name)
            _prior_marginal(ax, vae, dimension, seed)
            ax.set_xlabel(latent_name(dimension))
        line[0].set_ylabel(f"density, {name}")
    handles: dict[str, Artist] = {}
    for ax in axes[:, 0]:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    fig.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3)
    return fig


def _marginal_title(codes: Tensor, dimensions: list[int], proper: bool) -> str:
    beside = " and the prior" if proper else ""
    shown, size = len(dimensions), codes.shape[1]
    which = f" ({shown} of {size} dimensions)" if shown < size else ""
    return f"Latent values of {number(len(codes))} images{beside}{which}"


def _histogram(ax: Axes, values: Tensor, color: str, name: str) -> None:
    bins, label = int(np.clip(3 * len(values) ** (1 / 3), 12, 60)), f"codes, {name}"
    ax.hist(values.numpy(), bins=bins, density=True, color=color, alpha=0.7, label=label)
    inside = (values.abs() <= 3).float().mean()
    ax.set_title(
        f"mean {number(values.mean().item(), 2)}\n"
        f"std. dev. {number(values.std(correction=0).item(), 2)}\n"
        f"{inside:.1%} within ±3"
    )


@torch.no_grad()
def _prior_marginal(ax: Axes, vae: VAE, dimension: int, seed: int) -> None:
    """Draw the prior's marginal density: exact for normal factors, else from draws."""
    style: dict[str, Any] = {"color": PRIOR, "label": "prior p(z)"}
    base = factors_of(vae.prior())
    if isinstance(base, dist.Normal):
        loc, scale = (value[dimension].cpu() for value in (base.loc, base.scale))
        low, high = ax.get_xlim()
        low, high = min(low, (loc - 3.5 * scale).item()), max(high, (loc + 3.5 * scale).item())
        x = torch.linspace(low, high, 400, device="cpu")
        ax.plot(x, dist.Normal(loc, scale).log_prob(x).exp(), **style)
        return
    try:
        values = draw_prior(vae, DRAWS, seed=seed)[:, dimension].numpy()
    except ValueError:
        return
    density, edges = np.histogram(values, bins=100, density=True)
    ax.stairs(density, edges, linewidth=1.5, **style)


@checked
@styled
@torch.no_grad()
def aggregate_posterior(draws: Codes, vae: VAE, *, seed: Seed = 0) -> Figure:
    """Compare the aggregate posterior with the prior.

    The figure shows both densities in a plane (of principal components if D > 2), and the log
    density of the prior at draws from each, which tells the two apart in any dimension. ELBO
    surgery (Hoffman and Johnson, 2016) describes the gap between them.

    Args:
        draws: a draw from the posterior of each image, (N, D), see `embed`.
        vae: the model.
        seed: seed of the draws from the prior.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    prior = draw_prior(vae, max(len(draws), 2000), seed=seed)
    both = torch.cat([draws, prior])
    plane = project(both, points=len(both), seed=seed)
    shown = plane.points[: len(draws)], plane.points[len(draws) :]
    title = "Does the aggregate posterior match the prior?"
    if draws.shape[1] == 1:
        fig, axes = panels(1, 2, 2.9, title)
        _compare(axes[0, 0], draws[:, 0], prior[:, 0])
        axes[0, 0].set_xlabel(latent_name(0))
    else:
        fig, axes = panels(1, 3, 2.9, title)
        _densities(axes[0, :2], shown, plane.names)
    _log_densities(axes[0, -1], vae, draws, prior)
    return fig


def _densities(
    axes: np.ndarray, samples: tuple[np.ndarray, np.ndarray], names: tuple[str, str]
) -> None:
    low, high = np.concatenate(samples).min(0), np.concatenate(samples).max(0)
    bins = int(np.clip(len(samples[0]) ** 0.5 / 2, 8, 40))
    limits = np.stack([low, high], 1)
    histograms = [
        np.histogram2d(points[:, 0], points[:, 1], bins=bins, range=limits, density=True)[0].T
        for points in samples
    ]
    top = max(histogram.max() for histogram in histograms)
    titles = "aggregate posterior\n(one draw per image)", "prior\n(draws)"
    for ax, histogram, title in zip(axes, histograms, titles, strict=True):
        extent = (low[0], high[0], low[1], high[1])
        shown = ax.imshow(
            histogram, origin="lower", extent=extent, aspect="auto", cmap=SEQUENTIAL, vmax=top
        )
        ax.set(title=title, xlabel=names[0].split(" (")[0])
    axes[0].set_ylabel(names[1].split(" (")[0])
    axes[1].set_yticklabels([])
    axes[0].figure.colorbar(shown, ax=axes[1], label="density")


def _log_densities(ax: Axes, vae: VAE, draws: Tensor, prior: Tensor) -> None:
    codes, reference = (prior_log_density(vae, z) for z in (draws, prior))
    if reference.max() - reference.min() < 1e-3:
        bare(ax)
        level = f"log p(z) = {reference[0]:.2f} nats"
        ax.set_title(f"the density of the prior\nis constant:\n{level}")
        return
    inside = (codes >= torch.quantile(reference, 0.05)).float().mean()
    _compare(ax, codes, reference)
    ax.set(
        title=f"{inside:.1%} of the codes in the\nprior's 95% region",
        xlabel="log p(z) (nats)",
    )


def _compare(ax: Axes, codes: Tensor, prior: Tensor) -> None:
    """Draw histograms of a quantity of the codes and of draws from the prior."""
    low, high = np.quantile(np.concatenate([codes, prior]), (0.001, 0.999))
    bins = np.linspace(low, high, int(np.clip(3 * len(codes) ** (1 / 3), 12, 50))).tolist()
    ax.hist(codes, bins, density=True, color=MODEL, alpha=0.7, label="codes")
    ax.hist(prior, bins, density=True, color=PRIOR, histtype="step", linewidth=1.5, label="prior")
    ax.set_ylabel("density")
    ax.legend(loc="upper left")


@checked
@styled
def rates(codes: Codes, rate: Vector | None, active: Tensor | None = None) -> Figure:
    """Draw the rate of each latent dimension, largest first, and mark the active ones.

    Args:
        codes: posterior means of N images, (N, D).
        rate: the rate of each dimension, (D,) in nats per image, see `mean_rate_per_dimension`; if
            it is None, the variance of the codes is drawn instead.
        active: which dimensions are active, (D,) booleans, see `active_units_of`; by default
            determined from the codes.
    """
    active = active_units(codes) if active is None else active
    values = codes.var(0) if rate is None else rate
    order = values.argsort(descending=True)
    what = "variance of the code" if rate is None else "rate (nats per image)"
    total = "" if rate is None else f"; total rate {rate.sum():.2f} nats per image"
    size = codes.shape[1]
    title = f"{int(active.sum())} of {size} latent dimensions are active{total}"
    fig, axes = panels(height=2.8, title=title)
    ax = axes[0, 0]
    for on, color, name in ((True, PALETTE[0], "active"), (False, PALETTE[3], "inactive")):
        where = (active[order] == on).nonzero().flatten()
        if len(where):
            ax.bar(
                where.numpy(),
                values[order][where].numpy(),
                color=color,
                label=f"{name} ({len(where)})",
            )
    ax.set(ylabel=what, xlabel="latent dimension, largest first")
    if size <= 24:
        ax.set_xticks(range(size), [latent_name(d) for d in order.tolist()])
    # Few bars should not fill the figure.
    ax.set_xlim(min(-0.6, size / 2 - 6), max(size - 0.4, size / 2 + 5))
    note = f"active: the posterior mean has a variance above {ACTIVE_VARIANCE}"
    fig.legend(title=note, loc="outside lower center", ncols=2)
    return fig
