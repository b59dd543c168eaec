"""The latent space: where images lie, how they fill the prior, which dimensions say something."""

from collections.abc import Sequence

import numpy as np
import pyro.distributions as dist
import torch
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vae.analysis.classes import add_legend, grouping, scatter_groups
from pyro_vae.analysis.embeddings import draw_prior, factors_of, leading, prior_log_density
from pyro_vae.analysis.projections import Method, project
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
from pyro_vae.data import ImageData
from pyro_vae.evaluation import ACTIVE_VARIANCE, active_units, has_prior
from pyro_vae.vae import VAE

DRAWS = 20_000


@styled
def scatter(
    codes: Tensor,
    images: ImageData,
    *,
    by: str | None = None,
    vae: VAE | None = None,
    method: Method = "auto",
    points: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> Figure:
    """Codes (N, D) in a plane, coloured by class or by an attribute.

    Args:
        codes: of the images, see `embed`.
        images: N images; what they show is the colour.
        by: "class", or an attribute's name; by default the class, where there is one.
        vae: for D = 2, outlines where its prior has 50% and 95% of its mass.
        method: "pca" or "tsne" where D > 2, see `project`.
        points: at most this many, chosen by `seed`.
        seed: of all randomness.
        progress: show a bar while t-SNE runs.

    Raises:
        ValueError: there is no attribute of that name.
    """
    groups = grouping(images, by)
    plane = project(codes, method, points=points, seed=seed, progress=progress)
    count = f"{number(len(plane.points))} codes"
    fig, axes = panels(height=5.2, title=_scatter_title(count, groups, codes.shape[1]))
    ax = axes[0, 0]
    scatter_groups(ax, plane.points, groups and groups[plane.indices])
    label_axes(ax, plane.names)
    if vae is not None and plane.names == (latent_name(0), latent_name(1)):
        outline_prior(ax, vae, seed=seed)
    add_legend([ax], groups)
    return fig


def _scatter_title(count: str, groups, size: int) -> str:
    colour = f", coloured by {groups.title}" if groups else ""
    return f"{count} in a latent space of {size} dimension{'s' * (size > 1)}{colour}"


def label_axes(ax: Axes, names: tuple[str, str]) -> None:
    """Name the axes of a projection; the random height of one dimension has no scale."""
    ax.set(xlabel=names[0], ylabel=names[1])
    if names[1] == "random height":
        ax.set_yticks([])
    elif names[0] == latent_name(0):
        ax.set_aspect("equal", adjustable="datalim")


@torch.no_grad()
def outline_prior(ax: Axes, vae: VAE, *, seed: int = 0) -> None:
    """Outline the smallest regions that hold 50% and 95% of a prior's mass, D = 2.

    A prior that cannot be sampled, or has no density in the plane, has none: nothing is drawn.
    """
    codes = ax.dataLim.frozen()
    # Wider than the codes, as equal scales may widen the axes.
    x, y = (torch.linspace(2 * a - b, 2 * b - a, 300) for a, b in (ax.get_xlim(), ax.get_ylim()))
    try:
        log_density = prior_log_density(vae, draw_prior(vae, DRAWS, seed=seed))
        height = prior_log_density(vae, torch.cartesian_prod(x, y)).reshape(300, 300).T
    except ValueError:  # Binary codes and a sphere's are no plane's, either.
        return
    levels = torch.quantile(log_density, torch.tensor([0.05, 0.5])).tolist()
    if levels[0] < levels[1]:
        lines = ax.contour(x, y, height, levels, colors=PRIOR, linewidths=1, linestyles="--")
        ax.dataLim.set(codes)  # the codes alone decide what is shown
        ax.autoscale_view()
        ax.clabel(lines, fmt=dict(zip(levels, ("95% of prior", "50%"), strict=True)), fontsize=8)


@styled
def attribute_scatters(
    codes: Tensor,
    images: ImageData,
    *,
    method: Method = "auto",
    points: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> Figure:
    """The same codes (N, D) once for each attribute of their images, coloured by its values.

    Raises:
        ValueError: the images have no attributes.
    """
    names = list(images.attributes or {})
    if not names:
        raise ValueError("the images have no attributes to colour codes by")
    plane = project(codes, method, points=points, seed=seed, progress=progress)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    title = "The same codes, coloured by each attribute"
    fig, axes = panels(rows, columns, 0.5 + 2.1 * rows, title, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        groups = grouping(images, name)
        scatter_groups(ax, plane.points, groups[plane.indices], scale=0.4)
        ax.set_title(f"{name} ({len(groups.names)} values)")
    for ax, above in zip(axes.flat[len(names) :], axes.flat[len(names) - columns :], strict=False):
        ax.set_axis_off()
        above.tick_params(labelbottom=True)
    fig.supxlabel(plane.names[0])
    fig.supylabel(plane.names[1])
    return fig


@styled
def marginals(
    codes: Tensor,
    vae: VAE,
    *,
    autoencoder_codes: Tensor | None = None,
    dimensions: Sequence[int] | None = None,
    seed: int = 0,
) -> Figure:
    """Histogram of latent values, per dimension, beside the prior's density.

    Args:
        codes: (N, D); draws from the posteriors (`embed(..., draw=True)`) follow the prior where
            the model fits, their means spread less.
        vae: whose prior is drawn, if it has a density.
        autoencoder_codes: (N, D) of a plain autoencoder, in a second row.
        dimensions: which; by default the first 4 by variance of the codes.
        seed: of the draws that estimate a prior's marginals where they are not known.
    """
    dimensions = list(dimensions or leading(codes, count=4))
    proper = has_prior(vae)
    rows = [("VAE", codes, MODEL) if proper else ("plain autoencoder", codes, OTHER)]
    if autoencoder_codes is not None:
        rows.append(("plain autoencoder", autoencoder_codes, OTHER))
    height = 0.5 + 2.4 * len(rows)
    fig, axes = panels(
        len(rows), len(dimensions), height, _marginal_title(codes, dimensions, proper)
    )
    for (name, values, colour), line in zip(rows, axes, strict=True):
        for ax, dimension in zip(line, dimensions, strict=True):
            _histogram(ax, values[:, dimension], colour, name)
            _prior_marginal(ax, vae, dimension, seed)
            ax.set_xlabel(latent_name(dimension))
        line[0].set_ylabel(f"density, {name}")
    handles = {}
    for ax in axes[:, 0]:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return fig


def _marginal_title(codes: Tensor, dimensions: list[int], proper: bool) -> str:
    beside = " beside the prior" if proper else ""
    shown, size = len(dimensions), codes.shape[1]
    which = f" ({shown} of {size} dimensions)" if shown < size else ""
    return f"Latent values of {number(len(codes))} images{beside}{which}"


def _histogram(ax: Axes, values: Tensor, colour: str, name: str) -> None:
    bins, label = int(np.clip(3 * len(values) ** (1 / 3), 12, 60)), f"codes, {name}"
    ax.hist(values.numpy(), bins=bins, density=True, color=colour, alpha=0.7, label=label)
    inside = (values.abs() <= 3).float().mean()
    ax.set_title(
        f"mean {number(values.mean(), 2)}\ndeviation {number(values.std(correction=0), 2)}\n"
        f"{inside:.1%} within ±3"
    )


@torch.no_grad()
def _prior_marginal(ax: Axes, vae: VAE, dimension: int, seed: int) -> None:
    """The prior's density along a dimension: exact for Normal factors, else from its draws."""
    style = {"color": PRIOR, "label": "prior p(z)"}
    base = factors_of(vae.prior())
    if isinstance(base, dist.Normal):
        loc, scale = (value[dimension].cpu() for value in (base.loc, base.scale))
        low, high = ax.get_xlim()
        x = torch.linspace(min(low, (loc - 3.5 * scale).item()), max(high, loc + 3.5 * scale), 400)
        ax.plot(x, dist.Normal(loc, scale).log_prob(x).exp(), **style)
        return
    try:
        values = draw_prior(vae, DRAWS, seed=seed)[:, dimension].numpy()
    except ValueError:
        return
    density, edges = np.histogram(values, bins=100, density=True)
    ax.stairs(density, edges, linewidth=1.5, **style)


@styled
@torch.no_grad()
def aggregate_posterior(draws: Tensor, vae: VAE, *, seed: int = 0) -> Figure:
    """The aggregate posterior beside the prior: do the codes fill it, and nothing else?

    Two densities in the plane of the latent space (its principal components where D > 2), and the
    prior's log-density at draws of each, which tells them apart in any dimension. ELBO surgery
    (Hoffman and Johnson, 2016) names the gap between the two.

    Args:
        draws: a draw from the posterior of each image, (N, D): `embed(..., draw=True)`.
        vae: whose prior is compared.
        seed: of the prior's draws.

    Raises:
        ValueError: the prior cannot be sampled.
    """
    prior = draw_prior(vae, max(len(draws), 2000), seed=seed)
    both = torch.cat([draws, prior])
    plane = project(both, points=len(both), seed=seed)
    shown = plane.points[: len(draws)], plane.points[len(draws) :]
    title = "Do the codes of the images fill the prior?"
    if draws.shape[1] == 1:
        fig, axes = panels(1, 2, 2.9, title)
        _compare(axes[0, 0], draws[:, 0], prior[:, 0])
        axes[0, 0].set_xlabel(latent_name(0))
    else:
        fig, axes = panels(1, 3, 2.9, title)
        _densities(axes[0, :2], shown, plane.names)
    _log_densities(axes[0, -1], vae, draws, prior)
    return fig


def _densities(axes: np.ndarray, samples: tuple[np.ndarray, np.ndarray], names) -> None:
    low, high = np.concatenate(samples).min(0), np.concatenate(samples).max(0)
    bins = int(np.clip(len(samples[0]) ** 0.5 / 2, 8, 40))
    histograms = [
        np.histogram2d(*points.T, bins=bins, range=np.stack([low, high], 1), density=True)[0].T
        for points in samples
    ]
    top = max(histogram.max() for histogram in histograms)
    titles = "aggregate posterior\n(a draw per image)", "prior\n(its draws)"
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
        ax.set_title(f"the prior's density is\nthe same everywhere:\n{level}")
        return
    inside = (codes >= torch.quantile(reference, 0.05)).float().mean()
    _compare(ax, codes, reference)
    ax.set(
        title=f"{inside:.1%} of the codes in\nthe prior's 95% region",
        xlabel="log p(z) (nats)",
    )


def _compare(ax: Axes, codes: Tensor, prior: Tensor) -> None:
    """Histograms of one quantity, of the codes and of draws from the prior."""
    low, high = np.quantile(np.concatenate([codes, prior]), (0.001, 0.999))
    bins = np.linspace(low, high, int(np.clip(3 * len(codes) ** (1 / 3), 12, 50)))
    ax.hist(codes, bins, density=True, color=MODEL, alpha=0.7, label="codes")
    ax.hist(prior, bins, density=True, color=PRIOR, histtype="step", linewidth=1.5, label="prior")
    ax.set_ylabel("density")
    ax.legend(loc="upper left")


@styled
def rates(codes: Tensor, rate: Tensor | None, active: Tensor | None = None) -> Figure:
    """What each latent dimension says of the image, largest first, with the active units marked.

    Args:
        codes: posterior means of N images, (N, D).
        rate: (D,) in nats per image, `rate_per_dimension`; where it is None, the variance of the
            codes is shown in its place.
        active: (D,) booleans, `active_units_of`; judged from the codes unless given.
    """
    active = active_units(codes) if active is None else active
    values = codes.var(0) if rate is None else rate
    order = values.argsort(descending=True)
    what = "variance of the code" if rate is None else "rate (nats per image)"
    total = "" if rate is None else f"; together {rate.sum():.2f} nats per image"
    size = codes.shape[1]
    title = f"{int(active.sum())} of {size} latent dimensions are active{total}"
    fig, axes = panels(height=2.8, title=title)
    ax = axes[0, 0]
    for on, colour, name in ((True, PALETTE[0], "active"), (False, PALETTE[3], "inactive")):
        where = (active[order] == on).nonzero().flatten()
        if len(where):
            ax.bar(
                where.numpy(),
                values[order][where].numpy(),
                color=colour,
                label=f"{name} ({len(where)})",
            )
    ax.set(ylabel=what, xlabel="latent dimension, largest first")
    if size <= 24:
        ax.set_xticks(range(size), [latent_name(d) for d in order.tolist()])
    # Two bars shall not fill the figure.
    ax.set_xlim(min(-0.6, size / 2 - 6), max(size - 0.4, size / 2 + 5))
    note = f"active: the variance of the posterior's mean exceeds {ACTIVE_VARIANCE}"
    fig.legend(title=note, loc="outside lower center", ncols=2)
    return fig
