"""The evidence lower bound of a trained model and its parts, read from its model and guide.

Every number is in nats per image and belongs to the true ELBO (beta = 1), whatever weight or bound
the model was trained with. Source of the terms: Fixing a Broken ELBO (Alemi et al., 2018).
"""

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_vae._arguments import Count, Images, Natural, Seed, checked
from pyro_vae._batching import images_at_once
from pyro_vae._declared import run_guide, run_model
from pyro_vae._modes import evaluating, seeded
from pyro_vae._progress import hidden, tqdm
from pyro_vae.data import ImageData
from pyro_vae.distributions import has_density
from pyro_vae.evaluation.bits import bits_per_dimension, measure_of
from pyro_vae.evaluation.collapse import active_units, posterior_means, verdict
from pyro_vae.evaluation.fitting import AnyImages, as_images, require_batch, require_images
from pyro_vae.evaluation.importance import LogLikelihood, log_likelihood
from pyro_vae.evaluation.table import as_html, as_text
from pyro_vae.objectives import ObjectiveError, rate, rate_per_dimension
from pyro_vae.processes import rank as own_rank
from pyro_vae.processes import world_size
from pyro_vae.processes.group import interleaved
from pyro_vae.slots import check_support
from pyro_vae.vae import VAE

NO_PRIOR = "This is a plain autoencoder: it has no prior, so no ELBO, no rate and no samples."
NO_DENSITY = "The posterior has no density: there is no ELBO and no rate, only the distortion."


@dataclass(frozen=True)
class Evaluation:
    """Averages over images, in nats per image unless said otherwise.

    Attributes:
        images: number of images.
        elbo: the evidence lower bound; None for a plain autoencoder, which has none.
        distortion: -E log p(x|z).
        rate: KL(q(z|x) || p(z)); None for a plain autoencoder.
        standard_error: that of the ELBO over the images (of an autoencoder: of the distortion).
        rate_per_dimension: the parts of the rate, if the posterior and the prior factorize.
        latent_size: the dimension D.
        active_units: dimensions whose posterior mean varies over the images by more than 0.01.
        verdict: a sentence that says whether the posterior collapsed onto the prior.
        measure: what the likelihood assigns to images: a "mass", a "density", "none" that is
            normalized, or None if it does not say.
        bits_per_dimension: the negative ELBO in bits per value of an image, where defined.
        samples: importance samples per image for the estimates below, which are None if it is 0.
        log_likelihood: the importance-weighted estimate of log p(x).
        log_likelihood_bits: the same in bits per dimension, where defined.
        log_likelihood_error: its standard error over the images.
        sampling_error: the average standard error of an image's estimate, from its weights.
        untrusted: the fraction of images whose weights have a Pareto k above 0.7; None also where
            there were too few weights.
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
        """Return the negative ELBO with the rate weighted by beta."""
        return self.distortion + beta * (self.rate or 0.0)

    @property
    def negative_log_likelihood(self) -> float | None:
        """The estimate of -log p(x), which is positive where p(x|z) is a mass."""
        return None if self.log_likelihood is None else -self.log_likelihood

    def as_dict(self) -> dict[str, float | int | str | list[float] | None]:
        """Return plain values, for a JSON file."""
        return {**asdict(self), "negative_log_likelihood": self.negative_log_likelihood}

    def __str__(self) -> str:
        return as_text(self.as_dict())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(self.as_dict())


@checked
def evaluate(
    vae: VAE,
    images: AnyImages,
    *,
    samples: Natural = 0,
    batch_size: Count = 500,
    analytic_kl: bool = True,
    seed: Seed = 0,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on images.

    The draws follow `seed`; random state and training mode are left as they were. Several processes
    that call it share the images, and return the same numbers as one would.

    Args:
        vae: the model.
        images: N images: `ImageData`, or a tensor or an array (N, C, H, W) of bytes, or of floats
            in [0, 1].
        samples: importance samples per image for the log-likelihood; 0: no estimate.
        batch_size: largest number of images at once.
        analytic_kl: take the rate in closed form where there is one, not at one draw of z.
        seed: seed of the draws.
        progress: show progress bars.

    Raises:
        ArgumentError: there are no images, or they are not of the model's shape and precision.
        ArgumentTypeError: they are something else.
        SupportError: the images are outside the likelihood's support.

    Example:
        >>> from pyro_vae import VAE, data, evaluate, likelihoods, networks, posteriors, priors
        >>> _ = torch.manual_seed(0)
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Bernoulli(networks.MLPDecoder(2, (1, 8, 8)), gray_levels=True),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> found = evaluate(vae, data.load("digits").test)
        >>> found.images, abs(found.elbo + found.distortion + found.rate) < 1e-9
        (180, True)
    """
    images = as_images("evaluate", images)
    require_images("evaluate", vae, images)
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
        verdict=(
            verdict(mean_rate, active, latent_size, math.prod(images.image_shape))
            if proper
            else _without_elbo(vae)
        ),
        measure=measure_of(vae.likelihood, images),
        bits_per_dimension=(
            bits_per_dimension(vae, images, negative_elbo.mean().item()) if proper else None
        ),
        **_summary(vae, images, estimate),
    )


@checked
@torch.no_grad()
def terms(vae: VAE, x: Images, analytic_kl: bool = False) -> tuple[Tensor, Tensor]:
    """Return distortion and rate of each image, (B,) each, at one draw of z; x: (B, C, H, W)."""
    require_batch("terms", vae, x)
    drawn = run_guide(vae, x)
    p, likelihood, _ = run_model(vae, x, drawn)
    return -likelihood.log_prob(x), rate(drawn.posterior, p, drawn.z, analytic_kl)


@checked
def has_prior(vae: VAE) -> bool:
    """Return whether the prior is a distribution; the flat prior of an autoencoder is not one."""
    with evaluating(vae), seeded(0, vae.device):
        return has_density(vae.prior())


@checked
@torch.no_grad()
def has_elbo(vae: VAE) -> bool:
    """Return whether prior and posterior have densities; a flat prior and a Delta have none."""
    if not has_prior(vae):
        return False
    with evaluating(vae), seeded(0, vae.device):
        return has_density(vae.posterior(vae.zeros(1, *vae.image_shape)))


def _without_elbo(vae: VAE) -> str:
    return NO_DENSITY if has_prior(vae) else NO_PRIOR


@torch.no_grad()
def _collect(
    vae: VAE, images: ImageData, batch_size: int, analytic_kl: bool, seed: int, progress: bool
) -> dict[str, Tensor]:
    """Return distortion, rate, rates per dimension and posterior mean of each image.

    Processes take the batches in turn. Each draws for all of them, since draws follow one another.
    """
    own: list[dict[str, Tensor]] = []
    with evaluating(vae), seeded(seed, vae.device):
        batch_size = images_at_once(vae, batch_size)
        count = math.ceil(len(images) / batch_size)
        batches = images.batches(batch_size)
        bar = tqdm(batches, "evaluating", count, unit="batch", disable=hidden(progress))
        for turn, x in enumerate(bar):
            x = x.to(vae.device)
            drawn = run_guide(vae, x)
            if turn % world_size() != own_rank():
                continue
            q, z, _ = drawn
            p, likelihood, _ = run_model(vae, x, drawn)
            parts = {"distortion": -likelihood.log_prob(x), "rate": rate(q, p, z, analytic_kl)}
            parts |= zip(("means", "others"), posterior_means(q), strict=False)
            with suppress(ObjectiveError):  # Not every posterior and prior factorize.
                parts["rates"] = rate_per_dimension(q, p, z, analytic_kl)
            own.append(parts)
    # A device is waited for once, at the end, and has perhaps no double precision.
    found = interleaved([{name: part.cpu() for name, part in parts.items()} for parts in own])
    return {name: torch.cat([parts[name] for parts in found]).double() for name in found[0]}


def _standard_error(values: Tensor) -> float:
    return values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0


def _summary(vae: VAE, images: ImageData, estimate: LogLikelihood | None) -> dict[str, Any]:
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
