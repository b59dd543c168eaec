"""Posterior collapse: which latent dimensions carry information about an image, and a verdict.

Source of the active units: Importance Weighted Autoencoders (Burda et al., 2016), section 5.2.
"""

import math
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae._arguments import Codes, Count, Natural, Seed, checked
from pyro_vae._batching import images_at_once
from pyro_vae._modes import evaluating, seeded
from pyro_vae.data import ImageData
from pyro_vae.distributions.base import precise
from pyro_vae.evaluation.fitting import require_images
from pyro_vae.vae import VAE, mean_of

#: A latent dimension is active where its posterior mean varies more than this over the images.
ACTIVE_VARIANCE = 0.01
#: The posterior has collapsed where the rate is below this, in nats per image.
COLLAPSED_RATE = 0.05
#: It has nearly collapsed where the rate is below one bit, which cannot tell two kinds of images
#: apart, however many dimensions share it.
ONE_BIT = math.log(2)
#: The levels of a value of an image: what the value holds at most is their logarithm, in nats.
LEVELS = 256
#: Draws that estimate a posterior's mean where it is unknown.
MEAN_DRAWS = 16

Collapse = Literal["none", "partial", "nearly", "full", "beyond"]
REMEDY = "Lower beta, anneal it, use free bits, or weaken the decoder."


@checked
def active_units(means: Codes, others: Codes | None = None) -> Tensor:
    """Return which latent dimensions are active, (D,) booleans.

    A dimension is active where its posterior mean has a variance above 0.01 over the images.
    Importance Weighted Autoencoders (Burda et al., 2016), section 5.2.

    Args:
        means: posterior means of N images, (N, D), or estimates of them from draws.
        others: estimates from other draws, (N, D). The covariance of the two estimates is the
            variance of the means; it must exceed the threshold by three standard errors.

    Example:
        >>> import torch
        >>> means = torch.linspace(-1, 1, 100)[:, None] * torch.tensor([1.0, 0.1])
        >>> active_units(means)
        tensor([ True, False])
    """
    means = precise(means)
    estimates = means if others is None else precise(others)
    products = (means - means.mean(0)) * (estimates - estimates.mean(0))
    chance = 0.0 if others is None else 3 * products.std(0) / len(products) ** 0.5
    return products.mean(0) > ACTIVE_VARIANCE + chance


@checked
@torch.no_grad()
def active_units_of(vae: VAE, images: ImageData, *, seed: Seed = 0) -> Tensor:
    """Return which latent dimensions of a model are active on images, (D,) booleans.

    Args:
        vae: the model.
        images: N images.
        seed: seed of the draws from posteriors whose mean is unknown.
    """
    require_images("active_units_of", vae, images)
    found = []
    with evaluating(vae), seeded(seed, vae.device):
        for x in images.batches(images_at_once(vae, 500)):
            found.append(posterior_means(vae.encode(x.to(vae.device))))
    return active_units(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def posterior_means(q: dist.TorchDistribution) -> tuple[Tensor, ...]:
    """Return a posterior's mean, (B, D), or two independent estimates of it if it is unknown."""
    mean = mean_of(q)
    if mean is not None:
        return (mean,)
    return tuple(q.sample(torch.Size([MEAN_DRAWS])).mean(0) for _ in range(2))


def held_by_image(values: int) -> float:
    """Return the most that an image can hold, in nats: P log 256, for P values of 256 levels."""
    return values * math.log(LEVELS)


@checked
def degree_of_collapse(
    rate: float, active: Natural, latent_size: Count, values: Count | None = None
) -> Collapse:
    """Return how far the posterior has collapsed onto the prior.

    Args:
        rate: in nats per image.
        active: number of active dimensions.
        latent_size: the dimension D.
        values: number P of values in an image, if known.

    Returns:
        "beyond" if the rate is not finite, or more than the P log 256 nats that an image holds;
        "full" if no dimension is active or the rate is below 0.05 nats per image;
        "nearly" if the rate is below one bit, 0.69 nats per image;
        "partial" if fewer than half of the dimensions are active;
        else "none".

    Example:
        >>> degree_of_collapse(rate=5.3, active=2, latent_size=10)
        'partial'
        >>> degree_of_collapse(rate=0.35, active=9, latent_size=12)
        'nearly'
    """
    if not math.isfinite(rate) or (values is not None and rate > held_by_image(values)):
        return "beyond"
    if active == 0 or rate < COLLAPSED_RATE:
        return "full"
    if rate < ONE_BIT:
        return "nearly"
    return "partial" if active < latent_size / 2 else "none"


@checked
def verdict(rate: float, active: Natural, latent_size: Count, values: Count | None = None) -> str:
    """Return a sentence on `degree_of_collapse`, with the remedy.

    Example:
        >>> verdict(rate=5.3, active=2, latent_size=2)
        'Not collapsed: 2 of 2 latent dimensions are active (rate 5.30 nats).'
    """
    dimensions = f"latent dimension{'s' * (latent_size != 1)} {'is' if active == 1 else 'are'}"
    units = f"{active} of {latent_size} {dimensions} active"
    sentences: dict[Collapse, str] = {
        "none": f"Not collapsed: {units} (rate {rate:.2f} nats).",
        "partial": f"Partly collapsed: {units}; the others match the prior (rate {rate:.2f} nats).",
        "nearly": (
            f"Nearly collapsed: {units}, but together they carry {rate:.2f} nats about an image, "
            f"less than one bit. {REMEDY}"
        ),
        "full": f"Collapsed: {_what_is_left(rate, active, units)} {REMEDY}",
        "beyond": (
            f"Diverged: a rate of {rate:.3g} nats is more than an image holds{_held(values)}, "
            "whatever the active dimensions. Lower the learning rate, clip the gradient, or raise "
            "beta."
        ),
    }
    return sentences[degree_of_collapse(rate, active, latent_size, values)]


def _what_is_left(rate: float, active: int, units: str) -> str:
    if active == 0 and rate >= COLLAPSED_RATE:
        return (
            f"{units}: the posterior is nearly the same for every image. The rate of {rate:.2f} "
            "nats is its distance from the prior, not information about an image."
        )
    carried = max(round(rate, 2), 0.0)  # An estimate from draws may fall below 0.
    return f"the latent vector carries {carried:.2f} nats about an image, and {units}."


def _held(values: int | None) -> str:
    if values is None:
        return ""
    return f" ({held_by_image(values):,.0f} nats in {values:,} values of {LEVELS} levels)"
