"""New images: from the prior, from the range of the codes, from the gaps between codes."""

import math

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Images, Seed, checked
from pyro_vae._spelling import old_names
from pyro_vae.analysis.classes import (
    LONGEST_FILE,
    Grouping,
    add_legend,
    grouping,
    labeled,
    require_as_many,
    scatter_groups,
)
from pyro_vae.analysis.embeddings import decode, draw_prior, reconstruct
from pyro_vae.analysis.latents import label_axes
from pyro_vae.analysis.lettering import letters, shortened, shortened_path
from pyro_vae.analysis.passes import worth_decoding
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
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages, require_images
from pyro_vae.vae import VAE, name_of

#: The most values of training images held at once while distances to them are computed.
VALUES_AT_ONCE = 2**24
#: The fewest training images, if there are so many, that samples are compared with by class.
FEWEST_KNOWN = 500


@checked
def from_prior(vae: VAE, n: Count = 40, *, seed: Seed = 0) -> Figure:
    """Draw n images decoded from draws from the prior, with their coordinates if D <= 2.

    Args:
        vae: the model.
        n: number of images.
        seed: seed of the draws.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    z = draw_prior(vae, n, seed=seed)
    images = decode(vae, z, seed=seed)
    title = f"{n} new images, decoded from draws from the prior"
    return image_panels(images, _captions(z, 1), title=title, columns=min(n, 8))


@checked
def from_standard_normal(vae: VAE, size: Count, n: Count = 10, *, seed: Seed = 0) -> Figure:
    """Draw n images decoded from draws from N(0, I), whatever the prior of the model.

    Args:
        vae: the model.
        size: the dimension D; for D <= 2, the images have their coordinates as captions.
        n: number of images.
        seed: seed of the draws, which are the same for all models of the same D.
    """
    z = torch.randn(n, size, generator=torch.Generator().manual_seed(seed), device="cpu")
    title = f"{n} images decoded from draws from N(0, I)"
    if not _is_standard_normal(vae.prior()):
        title += f",\nwhich is not the prior of this model ({name_of(vae.prior)})"
    images = decode(vae, z, seed=seed)
    return image_panels(images, _captions(z, 2), title=title, columns=min(n, 5))


@checked
def uniform(vae: VAE, codes: Codes, n: Count = 10, *, seed: Seed = 0) -> Figure:
    """Draw n images decoded from points that are uniform in the bounding box of the codes.

    Each coordinate is min + u·(max − min), u ~ U[0, 1). If D <= 2, the images have the coordinates
    as captions.

    Args:
        vae: the model.
        codes: codes of N images, (N, D).
        n: number of images.
        seed: seed of the points.
    """
    z = uniform_points(codes, n, seed=seed)
    images = decode(vae, z, seed=seed)
    title = f"{n} images decoded from uniform points in the range of the codes"
    return image_panels(images, _captions(z, 2), title=title, columns=min(n, 5))


@checked
def uniform_points(codes: Codes, n: Count, *, seed: Seed = 0) -> Tensor:
    """Return n points that are uniform in the bounding box of codes (N, D): (n, D)."""
    low, high = codes.min(0).values, codes.max(0).values
    u = torch.rand(n, codes.shape[1], generator=torch.Generator().manual_seed(seed), device="cpu")
    return low + u * (high - low)


def _is_standard_normal(prior: dist.TorchDistribution) -> bool:
    base = getattr(prior, "base_dist", prior)
    return isinstance(base, dist.Normal) and bool(((base.loc == 0) & (base.scale == 1)).all())


def _captions(z: Tensor, digits: int) -> list[str] | None:
    return [coordinates(point, digits) for point in z] if z.shape[1] <= 2 else None


@checked
def nearest_neighbors(
    vae: VAE,
    train: SomeImages,
    *,
    reference: SomeImages | None = None,
    n: Count = 8,
    neighbors: Count = 3,
    seed: Seed = 0,
) -> Figure:
    """Draw samples from the prior above the training images nearest to each: are they new?

    The training images have the names of their files, if they are known. Distances are Euclidean,
    over all values of images in [0, 1].

    Args:
        vae: the model.
        train: the images it was trained on.
        reference: unseen images; the median distance from 200 of them to the nearest training
            image tells what distance a new image should have.
        n: number of samples.
        neighbors: number of training images shown for each.
        seed: seed of the samples.

    Raises:
        ArgumentError: the prior cannot be sampled.
    """
    require_images("nearest_neighbors", vae, train, "train")
    samples = decode(vae, draw_prior(vae, n, seed=seed), seed=seed)
    unseen = samples[:0] if reference is None else reference.as_float(slice(200))
    far, where = nearest_training_images(torch.cat([samples, unseen.cpu()]), train, neighbors)
    distances, indices = far[:n], where[:n]
    images = torch.cat([samples, *(train.as_float(row) for row in indices.T)])
    below = [number(distance, 1) for distance in distances.T.flatten().tolist()]
    if files := train.names:
        shown = [shortened_path(files[k], LONGEST_FILE) for k in indices.T.flatten().tolist()]
        below = [f"{file}\n{text}" for file, text in zip(shown, below, strict=True)]
    captions = [""] * n + below
    title = (
        f"New images above their nearest of {number(len(train))} training images, with distances"
    )
    if reference is not None:
        title += f"\n(median distance of unseen real images: {far[n:, 0].median():.1f})"
    rows = ["sample"] + [f"nearest {k + 1}" for k in range(indices.shape[1])]
    return image_panels(images, captions, columns=n, title=title, row_names=rows)


@checked
@torch.no_grad()
def nearest_training_images(images: Images, train: SomeImages, k: Count) -> tuple[Tensor, Tensor]:
    """Return the k nearest training images of each image.

    Args:
        images: n images in [0, 1], (n, C, H, W).
        train: the training images.
        k: number of neighbors.

    Returns:
        Distances and indices, (n, k) each, nearest first; fewer than k if there are fewer images.
    """
    if images.shape[1:] != train.image_shape:
        raise ArgumentError(
            f"nearest_training_images: images must have the shape {train.image_shape} of the "
            f"training images, got {tuple(images.shape[1:])}."
        )
    query, found, indices, start = images.flatten(1), [], [], 0
    for x in train.batches(max(1, VALUES_AT_ONCE // query.shape[1])):
        part = x.flatten(1).cpu()
        where = torch.cdist(query, part).topk(min(k, len(part)), largest=False).indices
        # Matrix products are fast but inexact; the distance of a copy must be 0.
        found.append((query[:, None] - part[where]).norm(dim=-1))
        indices.append(where + start)
        start += len(part)
    distances, order = torch.cat(found, 1).topk(min(k, len(train)), largest=False)
    return distances, torch.cat(indices, 1).gather(1, order)


@checked
@styled
def class_coverage(
    vae: VAE,
    train: SomeImages,
    *,
    n: Count = 1000,
    known: Count = 5000,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw the share of samples in each class beside that of training images: is any missing?

    The class of a sample is the most frequent class among the five nearest reconstructions of
    `known` training images; reconstructions are as smooth as samples.

    Args:
        vae: the model.
        train: labeled images.
        n: number of samples from the prior.
        known: number of training images to compare with; fewer if they are large, or if the decoder
            is (`passes.worth_decoding`), but 500 or more.
        codes: the codes of the labeled images in the random order of the seed, (n, D), if they are
            known: `known` of them or more.
        seed: seed of all randomness.

    Raises:
        ArgumentError: the images have no labels, or the prior cannot be sampled.
    """
    train = labeled(train)
    groups = _classes(train)
    predicted = sample_classes(vae, train, n=n, known=known, codes=codes, seed=seed)
    k = len(groups.names)
    samples = np.bincount(predicted, minlength=k) / n
    real = np.bincount(groups.values, minlength=k) / len(train)
    covered = f"{(samples[real > 0] > 0).sum()} of {(real > 0).sum()} classes"
    fig, axes = panels(height=3, title=f"{number(n)} samples from the prior cover {covered}")
    ax, where = axes[0, 0], np.arange(k)
    ax.bar(where - 0.2, 100 * real, 0.4, color=PALETTE[3], label="training images")
    ax.bar(where + 0.2, 100 * samples, 0.4, color=MODEL, label="samples")
    if k <= MOST_CLASSES:
        names = [shortened(name) for name in groups.names]
        crowded = k * max(map(letters, names)) > 60
        turn = {"rotation": 90 if k > 12 else 30, "ha": "center" if k > 12 else "right"}
        ax.set_xticks(where, names, parse_math=False, **(turn if crowded else {}))
    ax.set(xlabel=groups.title, ylabel="share (%)")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


@checked
def sample_classes(
    vae: VAE,
    train: SomeImages,
    *,
    n: Count = 1000,
    known: Count = 5000,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Return the class of each of n samples, (n,) indices; see `class_coverage`.

    Raises:
        ArgumentError: the images have no labels, or the prior cannot be sampled.
    """
    from sklearn.neighbors import KNeighborsClassifier  # slow to import

    train = labeled(train)
    groups = _classes(train)
    known = min(known, max(FEWEST_KNOWN, worth_decoding(vae)))
    order = _known_images(train, known, seed)
    some, codes = train.select(order), None if codes is None else codes[: len(order)]
    neighbors = KNeighborsClassifier(min(5, len(some)), algorithm="brute")
    pictures = reconstruct(vae, some, codes=codes, seed=seed).flatten(1).numpy()
    neighbors.fit(pictures, groups.values[order])
    parts = draw_prior(vae, n, seed=seed).split(_images_at_once(train))
    samples = (decode(vae, z, seed=seed).flatten(1).numpy() for z in parts)
    return np.concatenate([neighbors.predict(part) for part in samples])


def _known_images(train: ImageData, known: int = 5000, seed: int = 0) -> Tensor:
    """Return the indices of the labeled images that `sample_classes` compares samples with."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(train), generator=generator, device="cpu")[
        : min(known, _images_at_once(train))
    ]


def _images_at_once(train: ImageData) -> int:
    return max(100, VALUES_AT_ONCE // math.prod(train.image_shape))


def _classes(train: ImageData) -> Grouping:
    groups = grouping(train)
    if groups is None:
        raise ArgumentError("train: the images have no labels, which classify the samples.")
    return groups


@checked
@styled
def empty_regions(
    vae: VAE, codes: Codes, images: SomeImages, *, n: Count = 8, seed: Seed = 0
) -> Figure:
    """Draw the images decoded in the widest gaps between the codes.

    The width of each gap is given, with the typical distance between neighbors for comparison:
    models differ in how far they spread their codes.

    Args:
        vae: the model.
        codes: codes of the images, (N, D).
        images: N images.
        n: number of gaps.
        seed: seed of the search.
    """
    require_as_many(codes, images)
    z, gaps = voids(codes, n, seed=seed)
    pictures = as_array(decode(vae, z, seed=seed))
    plane, groups = _with_codes(codes, z, seed), grouping(images)
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    apart = spacing(codes, seed=seed)
    fig.suptitle(
        "Images decoded in the widest gaps between codes, with the distance to the nearest code\n"
        f"(median distance between nearest neighbors: {number(apart, digits_for(apart, 2))})"
    )
    left, right = fig.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.15))[0]
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
            ax.set_title(f"{k + 1}: {number(gaps[k].item(), digits)}", fontsize=8)
    return fig


@checked
def voids(codes: Codes, n: Count, *, seed: Seed = 0) -> tuple[Tensor, Tensor]:
    """Return n points between codes but far from each, (n, D), and their distances to the nearest.

    Candidates lie between random pairs of codes, and therefore within their convex hull; each point
    in turn is the candidate farthest from all codes and from the points before it.

    Args:
        codes: the codes, (N, D).
        n: number of points.
        seed: seed of the candidates.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(len(codes), (2, 4000), generator=generator, device="cpu")
    share = torch.rand(4000, 1, generator=generator, device="cpu")
    candidates = torch.lerp(codes[first], codes[second], share)
    gaps = torch.cdist(candidates, codes).min(1).values
    apart, chosen = gaps.clone(), []
    for _ in range(n):
        chosen.append(int(apart.argmax()))
        # The next point should be in another gap.
        apart = apart.minimum(torch.cdist(candidates, candidates[chosen[-1:]])[:, 0] / 4)
    return candidates[chosen], gaps[chosen]


@checked
def spacing(codes: Codes, *, seed: Seed = 0) -> float:
    """Return the median distance of a code to its nearest neighbor, of at most 2,000 codes.

    Args:
        codes: the codes, (N, D) with N > 1.
        seed: seed of the choice of 2,000 codes.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed), device="cpu")[
        :2000
    ]
    # Matrix products are inexact, and would round the distance of close codes to 0.
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(codes[order], codes, compute_mode=exact)
    return distances.topk(2, largest=False).values[:, 1].median().item()


def _with_codes(codes: Tensor, z: Tensor, seed: int) -> Projection:
    """The projection of at most 5,000 codes, followed by latent vectors z, onto one plane."""
    shown = project(codes, points=5000, seed=seed)
    both = project(torch.cat([codes[shown.indices], z]), points=len(codes) + len(z), seed=seed)
    indices = np.concatenate([shown.indices, np.full(len(z), -1)])
    return Projection(both.points, indices, both.names)


#: The names of version 0.1 still work, with a warning.
__getattr__ = old_names(
    __name__, {"nearest": nearest_training_images, "nearest_neighbours": nearest_neighbors}
)
