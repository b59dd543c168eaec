r"""The log-likelihood of each image by importance sampling, and how far to trust it.

.. math::

    \log p(x) \approx \log \frac1K \sum_{k=1}^K w_k, \qquad
    w_k = \frac{p(x|z_k) \, p(z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x):

a lower bound in expectation, which rises to log p(x) as K grows. Importance Weighted Autoencoders
(Burda et al., 2016), equation 8. The weights' tail is judged by the shape k of a generalized
Pareto distribution fitted to the largest of them: below 0.5 their variance is finite, above 0.7
the estimate is not to be trusted. Pareto Smoothed Importance Sampling (Vehtari et al., 2015).
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pyro
import torch
from pyro.ops.stats import fit_generalized_pareto
from torch import Tensor

from pyro_vae._arguments import Count, Images, Seed, checked
from pyro_vae._batching import images_at_once, numbers_decoded_at_once, numbers_per_image
from pyro_vae._declared import Drawn, own_programs, run_guide, run_model
from pyro_vae._modes import channels_last, evaluating, seeded
from pyro_vae._progress import hidden, tqdm
from pyro_vae.data import ImageData
from pyro_vae.evaluation.fitting import require_batch, require_images
from pyro_vae.processes import rank, world_size
from pyro_vae.processes.group import interleaved
from pyro_vae.slots import check_slots
from pyro_vae.vae import VAE

#: The numbers for which latent vectors are drawn at once (see `_batching.numbers_per_image`); the
#: draws of a seed depend on it. They are decoded fewer at a time, as many as a CPU's cache holds.
CHUNK_VALUES = 2**23
#: The number of weights of an image that are taken in at once.
WEIGHTS_AT_ONCE = 1000
#: The shape of a tail is not estimated from fewer weights.
SHORTEST_TAIL = 5
#: Estimates whose Pareto k exceeds this are not to be trusted (Vehtari et al., 2015).
PARETO_THRESHOLD = 0.7


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates for N images.

    Attributes:
        values: log p(x) of each image, (N,), in nats.
        errors: the standard error of each, (N,), in nats, from its own weights.
        pareto_k: the shape of each image's weight tail, (N,); infinite where one weight is so
            large that others vanish beside it; NaN where there were too few weights (under 25) or
            they were all equal.
        samples: the number K of weights for each.
    """

    values: Tensor
    errors: Tensor
    pareto_k: Tensor
    samples: int

    @property
    def mean(self) -> float:
        """The average over images, in nats per image."""
        return self.values.double().mean().item()

    @property
    def standard_error(self) -> float:
        """The standard error of the mean over images, in nats per image."""
        n = len(self.values)
        return self.values.double().std().item() / n**0.5 if n > 1 else 0.0

    @property
    def untrusted(self) -> float | None:
        """The fraction of images whose Pareto k exceeds 0.7; None if there were too few weights."""
        if tail_length(self.samples) < SHORTEST_TAIL:
            return None
        return (self.pareto_k > PARETO_THRESHOLD).double().mean().item()


@checked
@torch.no_grad()
def log_likelihood(
    vae: VAE,
    images: ImageData,
    *,
    samples: Count = 5000,
    batch_size: Count = 100,
    seed: Seed = 0,
    progress: bool = False,
) -> LogLikelihood:
    """Estimate log p(x) of each image with `samples` importance weights.

    Images are taken in batches, samples in chunks: memory stays bounded for any number of either.
    Several processes that call it share the images, and return the same numbers as one would.

    Args:
        vae: the model.
        images: N images.
        samples: number K of importance weights per image.
        batch_size: largest number of images at once.
        seed: seed of the draws.
        progress: show a progress bar.

    Raises:
        ArgumentError: an argument is out of its range, or the images do not fit the model.
    """
    require_images("log_likelihood", vae, images)
    found = []
    with evaluating(vae), channels_last(vae), seeded(seed, vae.device):
        per_image = numbers_per_image(vae)
        batch_size = images_at_once(vae, batch_size, CHUNK_VALUES)
        count = math.ceil(len(images) / batch_size)
        parts = images.batches(batch_size)
        bar = tqdm(parts, "log-likelihood", count, unit="batch", disable=hidden(progress))
        for turn, x in enumerate(bar):
            x = x.to(vae.device)
            if turn % world_size() == rank():
                found.append(_explained(vae, x, samples, per_image))
            else:  # Draws follow one another.
                _draw_only(vae, x, samples, per_image)
    found = interleaved(found)
    values, errors, tails = (torch.cat(parts) for parts in zip(*found, strict=True))
    return LogLikelihood(values, errors, tails, samples)


def _explained(vae: VAE, x: Tensor, samples: int, per_image: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_estimate` does, or say which slot does not fit where it fails."""
    try:
        return _estimate(vae, x, samples, per_image)
    except (RuntimeError, ValueError):
        check_slots(vae, x[:2])
        raise


@checked
def log_weights(vae: VAE, x: Images, samples: Count) -> Tensor:
    """Return log w of each sample and image, (samples, B), in nats; x: (B, C, H, W)."""
    require_batch("log_weights", vae, x)
    return _log_weights(vae, x, run_guide(vae, x, samples))


def _draw_only(vae: VAE, x: Tensor, samples: int, per_image: int) -> None:
    """Draw what `_estimate` would, and nothing else."""
    draw = _draws(vae, x)
    for part in _chunks(len(x), samples, per_image):
        draw(part)


def _chunks(images: int, samples: int, per_image: int) -> list[int]:
    """Return how many samples are taken at once, for that many images."""
    chunk = max(1, CHUNK_VALUES // (images * per_image))
    return [min(chunk, samples - done) for done in range(0, samples, chunk)]


def _draws(vae: VAE, x: Tensor) -> Callable[[int], Drawn]:
    """Return what draws n latent vectors for each of B images; they are coded once, if can be.

    Guides other than `VAE`'s own may draw from other distributions, and are run for each chunk.
    """
    if not own_programs(vae):
        return lambda n: run_guide(vae, x, n)
    q = vae.posterior(x)

    def draw(n: int) -> Drawn:
        each = q.expand((n, len(x)))
        return Drawn(each, each(), None)

    return draw


def _log_weights(vae: VAE, x: Tensor, drawn: Drawn) -> Tensor:
    """Return the log-weights (n, B) of images at what was drawn for them, by running the model."""
    q, z, _ = drawn
    p, likelihood, _ = run_model(vae, x, drawn, len(z))
    return likelihood.log_prob(x) + p.log_prob(z) - q.log_prob(z)


def _weights(vae: VAE, x: Tensor, per_image: int) -> Callable[[Drawn], Tensor]:
    """Return what weighs draws for images x: log-weights (n, B); the model is run if it is new.

    The likelihood is validated at the first draws, and at any whose weights are NaN, to say why.
    """
    if not own_programs(vae):
        return lambda drawn: _log_weights(vae, x, drawn)
    p, validated = vae.prior(), False

    def weigh(drawn: Drawn) -> Tensor:
        nonlocal validated
        q, z, _ = drawn
        with pyro.validation_enabled(False) if validated else nullcontext():
            scores = _log_likelihoods(vae, x, z, per_image)
        if validated and scores.isnan().any():
            scores = _log_likelihoods(vae, x, z, per_image)
        validated = True
        return scores + p.log_prob(z) - q.log_prob(z)

    return weigh


def _log_likelihoods(vae: VAE, x: Tensor, z: Tensor, per_image: int) -> Tensor:
    """Return log p(x|z) of images (B, C, H, W) at z (n, B, D): (n, B), in cached chunks."""
    numbers = numbers_decoded_at_once(x.device, CHUNK_VALUES)
    images = max(1, min(len(x), numbers // per_image))
    samples = max(1, numbers // (images * per_image))
    columns = [
        torch.cat([vae.likelihood(part).log_prob(some) for part in at.split(samples)])
        for some, at in zip(x.split(images), z.split(images, dim=1), strict=True)
    ]
    return torch.cat(columns, 1)


def _estimate(vae: VAE, x: Tensor, samples: int, per_image: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p(x), its standard error and Pareto k of each image, (B,) each, on the CPU."""
    tail = tail_length(samples)
    total = squares = torch.full((len(x),), -math.inf, dtype=torch.double, device="cpu")
    largest = torch.empty(0, len(x), dtype=torch.double, device="cpu")
    draw, weigh = _draws(vae, x), _weights(vae, x, per_image)
    sizes = _chunks(len(x), samples, per_image)
    several = max(1, WEIGHTS_AT_ONCE // sizes[0])
    for start in range(0, len(sizes), several):
        parts = [weigh(draw(size)) for size in sizes[start : start + several]]
        log_w = torch.cat(parts).cpu().double()
        total = torch.logaddexp(total, log_w.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * log_w).logsumexp(0))
        pool = torch.cat([largest, log_w])
        largest = pool.topk(min(tail + 1, len(pool)), dim=0).values
    # The variance of the mean weight, relative to its square, is that of its logarithm.
    relative = ((squares - 2 * total).exp() - 1 / samples).clamp(min=0)
    return total - math.log(samples), relative.sqrt(), pareto_k(largest)


def tail_length(samples: int) -> int:
    """Return how many of the largest weights form the tail: M in section 2 of the source."""
    return int(min(samples / 5, 3 * samples**0.5))


def pareto_k(largest: Tensor) -> Tensor:
    """Return the shape k of the tails' generalized Pareto distributions, (B,).

    Args:
        largest: the log-weights of the tail and, last, its threshold, (M + 1, B), in falling
            order.
    """
    weights = (largest - largest[0]).exp()
    return torch.stack([_shape(column) for column in weights.T])


def _shape(weights: Tensor) -> Tensor:
    """Return k of one tail, from its weights and, last, its threshold, in falling order."""
    threshold, exceedances = weights[-1], (weights[:-1] - weights[-1]).flip(0)
    if threshold == 0 and len(exceedances) >= SHORTEST_TAIL:
        return weights.new_tensor(math.inf, dtype=torch.double)
    exceedances = exceedances[exceedances > 0]  # Discrete codes repeat, with equal weights.
    if len(exceedances) < SHORTEST_TAIL:
        return weights.new_tensor(math.nan, dtype=torch.double)
    with weights.device:  # Pyro makes tensors on torch's default device.
        k, _ = fit_generalized_pareto(exceedances)
        return torch.as_tensor(k, dtype=torch.double)
