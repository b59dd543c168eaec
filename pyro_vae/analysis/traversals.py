"""Traversals: the effect of one latent dimension at a time on the image."""

import numpy as np
import torch

from pyro_vae._arguments import Codes, Count, Seed, Vector, checked
from pyro_vae.analysis.embeddings import decode
from pyro_vae.analysis.style import Figure, digits_for, image_panels, latent_name, number
from pyro_vae.errors import ArgumentError
from pyro_vae.vae import VAE


@checked
def traversals(
    vae: VAE,
    codes: Codes,
    *,
    rate: Vector | None = None,
    start: Vector | None = None,
    dimensions: Count = 8,
    steps: Count = 10,
    seed: Seed = 0,
) -> Figure:
    """Draw a row of images for each latent dimension, which varies while the others are fixed.

    Args:
        vae: the model.
        codes: codes of N images, (N, D); each dimension goes from their 1st to 99th percentile.
        rate: the rate of each dimension, (D,) in nats per image, which orders the rows; by default
            they are ordered by the variance of the codes.
        start: the values of the fixed dimensions, (D,); by default the median of the codes.
        dimensions: the most rows.
        steps: number of images in a row.
        seed: seed of the draws from a likelihood that has no mean.
    """
    for name, vector in (("rate", rate), ("start", start)):
        if vector is not None and len(vector) != codes.shape[1]:
            raise ArgumentError(
                f"traversals: {name} must have one number for each of {codes.shape[1]} dimensions, "
                f"got {len(vector)}."
            )
    order = (codes.var(0) if rate is None else rate).argsort(descending=True)[:dimensions]
    start = codes.median(0).values if start is None else start
    ends = np.quantile(codes.numpy(), (0.01, 0.99), axis=0)
    z = start.repeat(len(order), steps, 1)
    for row, dimension in enumerate(order.tolist()):
        low, high = ends[:, dimension].tolist()
        z[row, :, dimension] = torch.linspace(low, high, steps, device="cpu")
    captions = []
    for row, dimension in enumerate(order.tolist()):
        values = z[row, :, dimension]
        digits = digits_for((values.max() - values.min()).item(), 1)
        captions += [number(value, digits) for value in values.tolist()]
    by = "variance" if rate is None else "rate"
    names = [latent_name(d) for d in order.tolist()]
    if rate is not None:
        names = [f"{name}\n{rate[d]:.2f} nats" for name, d in zip(names, order, strict=True)]
    return image_panels(
        decode(vae, z.flatten(0, 1), seed=seed),
        captions,
        columns=steps,
        title=f"One dimension at a time, largest {by} first, with its value above each image",
        row_names=names,
    )
