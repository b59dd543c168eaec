"""New images: drawn from the prior, from the codes' range, from where no code lies; and how new."""

import math

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.classes import add_legend, grouping, scatter_groups
from pyro_vae.analysis.embeddings import decode, draw_prior, reconstruct
from pyro_vae.analysis.latents import label_axes
from pyro_vae.analysis.projections import Projection, project
from pyro_vae.analysis.style import (
    MODEL,
    MOST_CLASSES,
    PALETTE,
    WIDTH,
    Figure,
    as_array,
    bare,
    coordinates,
    digits_for,
    image_panels,
    number,
    panels,
    styled,
)
from pyro_vae.data import ImageData
from pyro_vae.vae import VAE

_VALUES_AT_ONCE = 2**24  # of training images that distances are taken to


def from_prior(vae: VAE, n: int = 40, *, seed: int = 0) -> Figure:
    """n images decoded from draws of the prior; for D <= 2 with the coordinates of each.

    Raises:
        ValueError: the prior cannot be sampled.
    """
    z = draw_prior(vae, n, seed=seed)
    images = decode(vae, z, seed=seed)
    title = f"{n} new images, decoded from draws of the prior"
    return image_panels(images, _captions(z, 1), title=title, columns=min(n, 8))


def from_standard_normal(vae: VAE, size: int, n: int = 10, *, seed: int = 0) -> Figure:
    """n images decoded from draws of N(0, I), whatever the prior: with coordinates for D <= 2.

    Args:
        vae: the model.
        size: the dimension D.
        n: images.
        seed: of the draws; models of one D are given the same ones.
    """
    z = torch.randn(n, size, generator=torch.Generator().manual_seed(seed))
    title = f"{n} images decoded from draws of N(0, I)"
    images = decode(vae, z, seed=seed)
    return image_panels(images, _captions(z, 2), title=title, columns=min(n, 5))


def uniform(vae: VAE, codes: Tensor, n: int = 10, *, seed: int = 0) -> Figure:
    """n images decoded from points spread uniformly over the codes' bounding box.

    Each dimension's own range counts: min + u·(max − min), u ~ U[0, 1). For D <= 2 with the
    coordinates of each point.
    """
    z = uniform_points(codes, n, seed=seed)
    images = decode(vae, z, seed=seed)
    title = f"{n} images decoded from points drawn uniformly within the codes' range"
    return image_panels(images, _captions(z, 2), title=title, columns=min(n, 5))


def uniform_points(codes: Tensor, n: int, *, seed: int = 0) -> Tensor:
    """n points uniform in the bounding box of codes (N, D): (n, D)."""
    low, high = codes.min(0).values, codes.max(0).values
    u = torch.rand(n, codes.shape[1], generator=torch.Generator().manual_seed(seed))
    return low + u * (high - low)


def _captions(z: Tensor, digits: int) -> list[str] | None:
    return [coordinates(point, digits) for point in z] if z.shape[1] <= 2 else None


def nearest_neighbours(
    vae: VAE,
    train: ImageData,
    *,
    reference: ImageData | None = None,
    n: int = 8,
    neighbours: int = 3,
    seed: int = 0,
) -> Figure:
    """Samples from the prior above the training images nearest to each: are they new?

    Distances are Euclidean over all values of images in [0, 1].

    Args:
        vae: the model.
        train: the images it was trained on.
        reference: images it has not seen; how far they are from the nearest training image is
            what a new image's distance is like (200 of them are looked at).
        n: samples.
        neighbours: training images shown for each.
        seed: of the samples.

    Raises:
        ValueError: the prior cannot be sampled.
    """
    samples = decode(vae, draw_prior(vae, n, seed=seed), seed=seed)
    distances, indices = nearest(samples, train, neighbours)
    images = torch.cat([samples, *(train.as_float(row) for row in indices.T)])
    captions = [""] * n + [number(distance, 1) for distance in distances.T.flatten().tolist()]
    title = (
        f"New images over their nearest of {number(len(train))} training images, and the distance"
    )
    if reference is not None:
        usual = nearest(reference.as_float(slice(200)), train, 1)[0].median()
        title += f"\n(unseen real images: {usual:.1f} in the median)"
    rows = ["sample"] + [f"nearest {k + 1}" for k in range(neighbours)]
    return image_panels(images, captions, columns=n, title=title, row_names=rows)


@torch.no_grad()
def nearest(images: Tensor, train: ImageData, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest training images of images (n, C, H, W): distances and indices, (n, k) each."""
    query, found, indices, start = images.flatten(1), [], [], 0
    for x in train.batches(max(1, _VALUES_AT_ONCE // query.shape[1])):
        part = x.flatten(1).cpu()
        where = torch.cdist(query, part).topk(min(k, len(part)), largest=False).indices
        # Products of matrices are fast but round: a copy must be at 0.
        found.append((query[:, None] - part[where]).norm(dim=-1))
        indices.append(where + start)
        start += len(part)
    distances, order = torch.cat(found, 1).topk(k, largest=False)
    return distances, torch.cat(indices, 1).gather(1, order)


@styled
def class_coverage(
    vae: VAE, train: ImageData, *, n: int = 1000, known: int = 5000, seed: int = 0
) -> Figure:
    """The share of samples in each class, beside the share of training images: is any missing?

    A sample's class is that of most of the five nearest among the model's reconstructions of
    `known` training images: they are as smooth as samples are.

    Args:
        vae: the model.
        train: labelled images.
        n: samples from the prior.
        known: training images to compare with; fewer where they are large.
        seed: of all randomness.

    Raises:
        ValueError: the images have no labels, or the prior cannot be sampled.
    """
    groups = grouping(train)
    if groups is None:
        raise ValueError("the classes of samples are unknown: the images have no labels")
    predicted = sample_classes(vae, train, n=n, known=known, seed=seed)
    k = len(groups.names)
    samples = np.bincount(predicted, minlength=k) / n
    real = np.bincount(groups.values, minlength=k) / len(train)
    covered = f"{(samples[real > 0] > 0).sum()} of {(real > 0).sum()} classes"
    fig, axes = panels(height=3, title=f"{number(n)} samples from the prior cover {covered}")
    ax, where = axes[0, 0], np.arange(k)
    ax.bar(where - 0.2, 100 * real, 0.4, color=PALETTE[3], label="training images")
    ax.bar(where + 0.2, 100 * samples, 0.4, color=MODEL, label="samples")
    if k <= MOST_CLASSES:
        crowded = k * max(map(len, groups.names)) > 60
        turn = {"rotation": 90 if k > 12 else 30, "ha": "center" if k > 12 else "right"}
        ax.set_xticks(where, groups.names, **(turn if crowded else {}))
    ax.set(xlabel=groups.title, ylabel="share (%)")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def sample_classes(
    vae: VAE, train: ImageData, *, n: int = 1000, known: int = 5000, seed: int = 0
) -> np.ndarray:
    """The class, as an index, of each of n samples: see `class_coverage`."""
    from sklearn.neighbors import KNeighborsClassifier  # slow to import

    at_once = max(100, _VALUES_AT_ONCE // math.prod(train.image_shape))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator)[: min(known, at_once)]
    some = train.select(order)
    neighbours = KNeighborsClassifier(min(5, len(some)), algorithm="brute")
    pictures = reconstruct(vae, some, seed=seed).flatten(1).numpy()
    neighbours.fit(pictures, grouping(train).values[order])
    parts = draw_prior(vae, n, seed=seed).split(at_once)
    samples = (decode(vae, z, seed=seed).flatten(1).numpy() for z in parts)
    return np.concatenate([neighbours.predict(part) for part in samples])


@styled
def empty_regions(
    vae: VAE, codes: Tensor, images: ImageData, *, n: int = 8, seed: int = 0
) -> Figure:
    """What decodes where no code lies: the widest voids between the codes, and their images.

    How wide is said beside the usual distance of neighbours, as models spread their codes
    differently.

    Args:
        vae: the model.
        codes: of the images, (N, D).
        images: N images.
        n: how many voids.
        seed: of the search.
    """
    z, gaps = voids(codes, n, seed=seed)
    pictures = as_array(decode(vae, z, seed=seed))
    plane, groups = _with_codes(codes, z, seed), grouping(images)
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    apart = spacing(codes, seed=seed)
    fig.suptitle(
        "What decodes in the widest voids between the codes, and how far the next code is\n"
        f"(a code's nearest neighbour: {number(apart, digits_for(apart, 2))} in the median)"
    )
    left, right = fig.subfigures(1, 2, width_ratios=(1, 1.15))
    ax = left.subplots()
    scatter_groups(ax, plane.points[:-n], groups and groups[plane.indices[:-n]], scale=0.5)
    for k, point in enumerate(plane.points[-n:]):
        box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "black"}
        ax.text(*point, str(k + 1), fontsize=8, ha="center", va="center", bbox=box)
    label_axes(ax, plane.names)
    add_legend([ax], groups, below=True)
    axes = right.subplots(-(-n // 4), min(n, 4), squeeze=False).flat
    digits = digits_for(gaps.max().item(), 2)
    for k, ax in enumerate(axes):
        bare(ax)
        if k < n:
            ax.imshow(pictures[k])
            ax.set_title(f"{k + 1}: {number(gaps[k], digits)}", fontsize=8)
    return fig


def voids(codes: Tensor, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n points (n, D) amid codes (N, D) but far from each, and their distance to the nearest.

    Candidates lie between pairs of codes, so within their hull; each in turn is the one farthest
    from all codes and from the points chosen before.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(len(codes), (2, 4000), generator=generator)
    share = torch.rand(4000, 1, generator=generator)
    candidates = torch.lerp(codes[first], codes[second], share)
    gaps = torch.cdist(candidates, codes).min(1).values
    apart, chosen = gaps.clone(), []
    for _ in range(n):
        chosen.append(int(apart.argmax()))
        # A void is wide: the next point shall be another one.
        apart = apart.minimum(torch.cdist(candidates, candidates[chosen[-1:]])[:, 0] / 4)
    return candidates[chosen], gaps[chosen]


def spacing(codes: Tensor, *, seed: int = 0) -> float:
    """How far a code's nearest neighbour among codes (N, D), N > 1, is: in the median of 2,000."""
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[:2000]
    # By products of matrices it would round, and of near codes to 0.
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(codes[order], codes, compute_mode=exact)
    return distances.topk(2, largest=False).values[:, 1].median().item()


def _with_codes(codes: Tensor, z: Tensor, seed: int) -> Projection:
    """Codes, thinned, and z after them, in one plane."""
    shown = project(codes, points=5000, seed=seed)
    both = project(torch.cat([codes[shown.indices], z]), points=len(codes) + len(z), seed=seed)
    indices = np.concatenate([shown.indices, np.full(len(z), -1)])
    return Projection(both.points, indices, both.names)
