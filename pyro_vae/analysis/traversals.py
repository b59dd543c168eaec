"""One latent dimension at a time: what does it change in the image?"""

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.embeddings import decode
from pyro_vae.analysis.style import Figure, digits_for, image_panels, latent_name, number
from pyro_vae.vae import VAE


def traversals(
    vae: VAE,
    codes: Tensor,
    *,
    rate: Tensor | None = None,
    start: Tensor | None = None,
    dimensions: int = 8,
    steps: int = 10,
    seed: int = 0,
) -> Figure:
    """A row of images for each dimension, which goes over the codes' range; the others stand still.

    Args:
        vae: the model.
        codes: (N, D); a dimension goes from their 1st to their 99th percentile.
        rate: (D,) in nats per image: the order of the rows; by default by the codes' variance.
        start: (D,), where the others stand; the codes' median unless given.
        dimensions: at most so many rows.
        steps: images in a row.
        seed: for a likelihood without a mean.
    """
    order = (codes.var(0) if rate is None else rate).argsort(descending=True)[:dimensions]
    start = codes.median(0).values if start is None else start
    ends = np.quantile(codes.numpy(), (0.01, 0.99), axis=0)
    z = start.repeat(len(order), steps, 1)
    for row, dimension in enumerate(order.tolist()):
        z[row, :, dimension] = torch.linspace(*ends[:, dimension].tolist(), steps)
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
        title=f"One dimension at a time, the largest {by} first; its value above each image",
        row_names=names,
    )
