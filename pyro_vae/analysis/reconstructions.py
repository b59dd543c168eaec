"""Images and their reconstructions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Seed, Vector, checked
from pyro_vae.analysis.classes import captions
from pyro_vae.analysis.embeddings import elbo_and_log_likelihood, reconstruct
from pyro_vae.analysis.style import Figure, image_panels, number
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation import has_elbo
from pyro_vae.evaluation.fitting import SomeImages
from pyro_vae.vae import VAE


@checked
def originals(images: SomeImages) -> Figure:
    """Draw images, each below the name of its class and of its file."""
    return image_panels(images.as_float(), captions(images), title="Original images")


@checked
def reconstructed(
    vae: VAE, images: SomeImages, *, codes: Codes | None = None, seed: Seed = 0
) -> Figure:
    """Draw the reconstructions of images, each below the name of its class and of its file.

    Args:
        vae: the model.
        images: N images.
        codes: their codes, (N, D), if they are known.
        seed: seed of the draws from distributions that have no mean.
    """
    pictures = reconstruct(vae, images, codes=codes, seed=seed)
    return image_panels(pictures, captions(images), title="Reconstructions")


@checked
def side_by_side(vae: VAE, images: SomeImages, title: str = "", *, seed: Seed = 0) -> Figure:
    """Draw images above their reconstructions, each below the name of its class and of its file."""
    title = title or "Images above their reconstructions"
    return _over_each_other(images, reconstruct(vae, images, seed=seed), title, captions(images))


@checked
def with_log_likelihood(
    vae: VAE,
    images: SomeImages,
    *,
    draws: Count = 64,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw images above their reconstructions, with the ELBO and log-likelihood of each in nats.

    Args:
        vae: the model.
        images: a few images.
        draws: number of draws from each posterior, see `elbo_and_log_likelihood`.
        codes: the codes of the images, (N, D), if they are known.
        seed: seed of the draws.
    """
    elbo, log_likelihood = elbo_and_log_likelihood(vae, images, draws=draws, seed=seed)
    below = [number(value) for value in log_likelihood.tolist()]
    title = "Images above their reconstructions, with log p(x|z) in nats"
    if has_elbo(vae):
        pairs = zip(elbo.tolist(), log_likelihood.tolist(), strict=True)
        below = [f"{number(bound, 1)} ≤\n{number(value, 1)}" for bound, value in pairs]
        title = f"Images above their reconstructions, with ELBO ≤ log p(x) in nats ({draws} draws)"
    pictures = reconstruct(vae, images, codes=codes, seed=seed)
    return _over_each_other(images, pictures, title, captions(images), below)


@checked
def best_and_worst(
    vae: VAE,
    images: SomeImages,
    distortion: Vector,
    n: Count = 8,
    *,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw the n images of lowest and of highest distortion above their reconstructions.

    Args:
        vae: the model.
        images: N images.
        distortion: distortion of each image, (N,) in nats, see `terms_of`.
        n: number of images of each kind; at most half of all.
        codes: the codes of the images, (N, D), if they are known.
        seed: seed of the draws from distributions that have no mean.
    """
    _require_number_for_each("distortion", distortion, images)
    n = max(1, min(n, len(images) // 2))
    order = distortion.argsort()
    chosen = torch.cat([order[:n], order[-n:].flip(0)])
    some, values = images.select(chosen), distortion[chosen].tolist()
    pictures, x = _reconstruct(vae, some, codes, chosen, seed), some.as_float()
    names = captions(some) or [""] * (2 * n)
    above = [f"{name}\n{number(v)}".strip() for name, v in zip(names, values, strict=True)]
    blank = [""] * n
    title = f"Best and worst reconstructions of {number(len(images))} images, distortion in nats"
    return image_panels(
        torch.cat([x[:n], pictures[:n], x[n:], pictures[n:]]),
        above[:n] + blank + above[n:] + blank,
        columns=n,
        title=title,
        row_names=["best", "decoded", "worst", "decoded"],
    )


@checked
def most_surprising(
    vae: VAE,
    images: SomeImages,
    elbo: Vector,
    n: Count = 8,
    *,
    codes: Codes | None = None,
    seed: Seed = 0,
) -> Figure:
    """Draw the n images of lowest ELBO above their reconstructions.

    Args:
        vae: the model.
        images: N images.
        elbo: ELBO of each image, (N,) in nats.
        n: number of images.
        codes: the codes of the images, (N, D), if they are known.
        seed: seed of the draws from distributions that have no mean.
    """
    _require_number_for_each("elbo", elbo, images)
    order = elbo.argsort()[:n]
    some = images.select(order)
    below = [number(value) for value in elbo[order].tolist()]
    title = f"The most surprising of {number(len(images))} images, with the lowest ELBO in nats"
    pictures = _reconstruct(vae, some, codes, order, seed)
    return _over_each_other(some, pictures, title, captions(some), below)


def _reconstruct(
    vae: VAE, some: ImageData, codes: Tensor | None, indices: Tensor, seed: int
) -> Tensor:
    """Return the reconstructions of some images, from the codes of all if they are known."""
    return reconstruct(vae, some, codes=None if codes is None else codes[indices], seed=seed)


def _require_number_for_each(name: str, values: Tensor, images: ImageData) -> None:
    if len(values) != len(images):
        raise ArgumentError(
            f"{name} must be one number for each of {len(images)} images, got {len(values)}."
        )


def _over_each_other(
    images: ImageData,
    pictures: Tensor,
    title: str,
    above: Sequence[str] | None,
    below: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """Draw pairs of rows: images with captions `above`, then pictures with captions `below`."""
    x, n = images.as_float().cpu(), len(images)
    above, below = above or [""] * n, below or [""] * n
    columns = min(columns, n)
    rows: list[str] = []
    texts: list[str] = []
    shown: list[Tensor] = []
    for start in range(0, n, columns):
        part = slice(start, start + columns)
        missing = columns - len(x[part])
        for tiles, words, name in ((x, above, "original"), (pictures, below, "decoded")):
            shown += [tiles[part], torch.ones(missing, *x.shape[1:], device="cpu")]
            texts += [*words[part], *[""] * missing]
            rows.append(name)
    return image_panels(
        torch.cat(shown),
        texts if any(texts) else None,
        columns=columns,
        title=title,
        row_names=rows,
    )
