"""Evaluation: how good is a model, read from its own model and guide.

Every number is in nats per image and belongs to the true ELBO (beta = 1), whatever weight or bound
the model was trained with. Source of the terms: Fixing a Broken ELBO (Alemi et al., 2018); of the
active units: Importance Weighted Autoencoders (Burda et al., 2016), section 5.2.
"""

import math
from contextlib import suppress
from dataclasses import asdict, dataclass

import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor
from tqdm import tqdm

from pyro_vae.batching import images_at_once
from pyro_vae.data import ImageData
from pyro_vae.distributions import has_density
from pyro_vae.evaluation_table import table
from pyro_vae.importance import LogLikelihood, log_likelihood
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.modes import evaluating, seeded
from pyro_vae.objectives import ObjectiveError, rate, rate_per_dimension
from pyro_vae.slots import check_support
from pyro_vae.vae import VAE, mean_of

#: A latent dimension is active where its posterior mean varies more than this over the images.
ACTIVE_VARIANCE = 0.01
#: Draws that estimate a posterior's mean where it is not known.
MEAN_DRAWS = 16


@dataclass(frozen=True)
class Evaluation:
    """Averages over images, in nats per image unless said otherwise.

    Attributes:
        images: how many images.
        elbo: the evidence lower bound; None for a plain autoencoder, which has none.
        distortion: -E log p(x|z).
        rate: KL(q(z|x) || p(z)); None for a plain autoencoder.
        standard_error: the ELBO's (an autoencoder's: the distortion's), over the images.
        rate_per_dimension: the rate's parts, if posterior and prior factorise.
        latent_size: the dimension D.
        active_units: dimensions whose posterior mean varies over the images by more than 0.01.
        verdict: whether the posterior collapsed onto the prior, in words.
        measure: what the likelihood gives to images: "mass", "density", "none" that is proper, or
            None if it does not say.
        bits_per_dimension: the negative ELBO's, if the likelihood says how to compute it.
        samples: importance samples per image for what follows; 0: none, and None below.
        log_likelihood: importance-weighted estimate of log p(x).
        log_likelihood_bits: the same in bits per dimension, where there are such.
        log_likelihood_error: its standard error over the images.
        sampling_error: the average standard error of an image's estimate, from its weights.
        untrusted: the part of all images whose weights have a Pareto k above 0.7; None also where
            there were too few of them.
    """

    images: int
    elbo: float | None
    distortion: float
    rate: float | None
    standard_error: float
    rate_per_dimension: list[float] | None
    latent_size: int
    active_units: int
    verdict: str
    measure: str | None = None
    bits_per_dimension: float | None = None
    samples: int = 0
    log_likelihood: float | None = None
    log_likelihood_bits: float | None = None
    log_likelihood_error: float | None = None
    sampling_error: float | None = None
    untrusted: float | None = None

    def weighted(self, beta: float) -> float:
        """The negative ELBO with the rate weighted by beta."""
        return self.distortion + beta * (self.rate or 0.0)

    @property
    def negative_log_likelihood(self) -> float | None:
        """The estimate of -log p(x), which is positive where p(x|z) is a mass."""
        return None if self.log_likelihood is None else -self.log_likelihood

    def as_dict(self) -> dict[str, float | int | str | list[float] | None]:
        """Plain values, for a JSON file."""
        return {**asdict(self), "negative_log_likelihood": self.negative_log_likelihood}

    def __str__(self) -> str:
        return table(self.as_dict())


def evaluate(
    vae: VAE,
    images: ImageData,
    *,
    samples: int = 0,
    batch_size: int = 500,
    analytic_kl: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on images.

    The draws follow `seed`; the caller's random numbers and the model's mode are left as found.

    Args:
        vae: the model.
        images: N images.
        samples: importance samples per image for the log-likelihood; 0: no such estimate.
        batch_size: images at once.
        analytic_kl: take the rate in closed form where there is one, else at one draw of z.
        seed: of the draws.
        progress: show progress bars.
    """
    if len(images) == 0:
        raise ValueError("There are no images to evaluate on.")
    with seeded(seed, vae.device):
        check_support(vae, images)
    found = _collect(vae, images, batch_size, analytic_kl, seed, progress)
    distortion, image_rate = found["distortion"], found["rate"]
    proper, latent_size = has_elbo(vae), found["means"].shape[1]
    negative_elbo = distortion + image_rate if proper else distortion
    per_dimension = found["rates"].mean(0) if "rates" in found else None
    active = int(active_units(found["means"], found.get("others")).sum())
    mean_rate = image_rate.mean().item()
    estimate = None
    if samples and proper:
        estimate = log_likelihood(vae, images, samples=samples, seed=seed, progress=progress)
    return Evaluation(
        images=len(images),
        elbo=-negative_elbo.mean().item() if proper else None,
        distortion=distortion.mean().item(),
        rate=mean_rate if proper else None,
        standard_error=_standard_error(negative_elbo),
        rate_per_dimension=per_dimension.tolist() if proper and per_dimension is not None else None,
        latent_size=latent_size,
        active_units=active,
        verdict=verdict(mean_rate, active, latent_size) if proper else _without_elbo(vae),
        measure=measure_of(vae.likelihood, images),
        bits_per_dimension=(
            bits_per_dimension(vae, images, negative_elbo.mean().item()) if proper else None
        ),
        **_summary(vae, images, estimate),
    )


@torch.no_grad()
def terms(vae: VAE, x: Tensor, analytic_kl: bool = False) -> tuple[Tensor, Tensor]:
    """Distortion and rate of each image, (B,) each, at one draw of z; x: (B, C, H, W)."""
    q, p, likelihood, z = _sites(vae, x)
    return -likelihood.log_prob(x), rate(q, p, z, analytic_kl)


def has_prior(vae: VAE) -> bool:
    """Whether the prior is a distribution: an autoencoder's flat prior is none."""
    with evaluating(vae), seeded(0, vae.device):
        return has_density(vae.prior())


@torch.no_grad()
def has_elbo(vae: VAE) -> bool:
    """Whether prior and posterior have densities; a flat prior and a Delta posterior have none."""
    if not has_prior(vae):
        return False
    with evaluating(vae), seeded(0, vae.device):
        return has_density(vae.posterior(vae.zeros(1, *vae.image_shape)))


def active_units(means: Tensor, others: Tensor | None = None) -> Tensor:
    """Which dimensions say something of the image, (D,) booleans.

    A unit is active where its posterior mean varies by more than 0.01 over the images. Importance
    Weighted Autoencoders (Burda et al., 2016), section 5.2.

    Args:
        means: posterior means of N images, (N, D), or estimates of them, from draws.
        others: estimates from other draws. The covariance of the two is the variance of the
            means; three standard errors of it are granted to chance.
    """
    means = means.double()
    estimates = means if others is None else others.double()
    products = (means - means.mean(0)) * (estimates - estimates.mean(0))
    chance = 0.0 if others is None else 3 * products.std(0) / len(products) ** 0.5
    return products.mean(0) > ACTIVE_VARIANCE + chance


@torch.no_grad()
def active_units_of(vae: VAE, images: ImageData, *, seed: int = 0) -> Tensor:
    """Which dimensions of a model's codes are active on images, (D,) booleans."""
    found = []
    with evaluating(vae), seeded(seed, vae.device):
        for x in images.batches(images_at_once(vae, 500)):
            found.append(_means(vae.encode(x.to(vae.device))))
    return active_units(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def _means(q: dist.Distribution) -> tuple[Tensor, ...]:
    """A posterior's mean, (B, D), or where it is not known two estimates of it."""
    mean = mean_of(q)
    if mean is not None:
        return (mean,)
    return tuple(q.sample(torch.Size([MEAN_DRAWS])).mean(0) for _ in range(2))


NO_PRIOR = "A plain autoencoder: no prior, so no ELBO, no rate and no samples."
NO_DENSITY = "A posterior without a density: no ELBO and no rate, the distortion alone."


def verdict(rate: float, active: int, latent_size: int) -> str:
    """Whether the posterior collapsed onto the prior, in a sentence."""
    units = f"{active} of {latent_size} latent dimensions are active"
    if active == 0 or rate < 0.05:
        return (
            f"Collapsed: the code says {rate:.2f} nats about an image and {units}. Lower beta, "
            "anneal it, use free bits, or weaken the decoder."
        )
    if active < latent_size / 2:
        return f"Partly collapsed: {units}; the others repeat the prior (rate {rate:.2f} nats)."
    return f"Not collapsed: {units} (rate {rate:.2f} nats)."


def _without_elbo(vae: VAE) -> str:
    return NO_DENSITY if has_prior(vae) else NO_PRIOR


def measure_of(likelihood: object, images: ImageData) -> str | None:
    """What a likelihood gives to the values of images: "mass", "density", or "none" that is proper.

    A Bernoulli that is meant for grey levels is a proper mass where there are none. None: a
    likelihood of the user's own does not say.
    """
    if isinstance(likelihood, Bernoulli) and _binary(images):
        return "mass"
    return getattr(likelihood, "measure", None)


def _binary(images: ImageData, count: int = 1000) -> bool:
    """Whether the first images have values 0 and 1 alone."""
    if images.pixels == "dequantised":
        return False
    levels = images.levels(slice(count))
    return images.pixels == "binarised" or bool(((levels == 0) | (levels == 255)).all())


def bits_per_dimension(vae: VAE, images: ImageData, nats: float) -> float | None:
    """Bits per value of an image, from -log p(x) in nats; None where that is not defined.

    For a likelihood of the levels themselves, nats / (P ln 2); for a density on [0, 1] of
    dequantised levels, (nats + P ln 256) / (P ln 2).
    """
    values = math.prod(images.image_shape)
    measure = measure_of(vae.likelihood, images)
    if measure == "mass" and images.pixels != "dequantised":
        return nats / (values * math.log(2))
    if measure == "density" and images.pixels == "dequantised":
        return (nats + values * math.log(256)) / (values * math.log(2))
    return None


@torch.no_grad()
def _collect(
    vae: VAE, images: ImageData, batch_size: int, analytic_kl: bool, seed: int, progress: bool
) -> dict[str, Tensor]:
    """What is known of each image: distortion, rate, rates per dimension, posterior mean."""
    found: dict[str, list[Tensor]] = {}
    with evaluating(vae), seeded(seed, vae.device):
        batch_size = images_at_once(vae, batch_size)
        count = math.ceil(len(images) / batch_size)
        batches = images.batches(batch_size)
        for x in tqdm(batches, "evaluating", count, unit="batch", disable=not progress):
            x = x.to(vae.device)
            q, p, likelihood, z = _sites(vae, x)
            parts = {"distortion": -likelihood.log_prob(x), "rate": rate(q, p, z, analytic_kl)}
            parts |= zip(("means", "others"), _means(q), strict=False)
            with suppress(ObjectiveError):  # Not every posterior and prior factorise.
                parts["rates"] = rate_per_dimension(q, p, z, analytic_kl)
            for name, part in parts.items():
                found.setdefault(name, []).append(part.cpu().double())
    return {name: torch.cat(parts) for name, parts in found.items()}


def _sites(
    vae: VAE, x: Tensor
) -> tuple[dist.Distribution, dist.Distribution, dist.Distribution, Tensor]:
    """q(z|x), p(z) and p(x|z) as the guide and the model declare them, and a draw z, (B, D)."""
    guide = poutine.trace(vae.guide).get_trace(x)
    model = poutine.trace(poutine.replay(vae.model, guide)).get_trace(x)
    z = guide.nodes["z"]
    return z["fn"], model.nodes["z"]["fn"], model.nodes["x"]["fn"], z["value"]


def _standard_error(values: Tensor) -> float:
    return values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0


def _summary(
    vae: VAE, images: ImageData, estimate: LogLikelihood | None
) -> dict[str, float | int | None]:
    if estimate is None:
        return {}
    return {
        "samples": estimate.samples,
        "log_likelihood": estimate.mean,
        "log_likelihood_bits": bits_per_dimension(vae, images, -estimate.mean),
        "log_likelihood_error": estimate.standard_error,
        "sampling_error": estimate.errors.mean().item(),
        "untrusted": estimate.untrusted,
    }
