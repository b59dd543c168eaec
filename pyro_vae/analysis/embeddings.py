"""Images to codes, codes to images, draws from the prior: in batches, in evaluation mode, seeded.

A code is the posterior's mean, or one draw where it has none. Everything comes back on the CPU.
"""

import math
from collections.abc import Iterator

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from pyro_vae import objectives
from pyro_vae.batching import images_at_once, numbers_per_code
from pyro_vae.data import ImageData
from pyro_vae.evaluation import has_elbo, terms
from pyro_vae.modes import evaluating, seeded
from pyro_vae.vae import VAE, centre

BATCH_SIZE = 500
#: Numbers that scoring codes under a prior may hold at once.
PRIOR_NUMBERS = 2**24


@torch.no_grad()
def embed(vae: VAE, images: ImageData, *, draw: bool = False, seed: int = 0) -> Tensor:
    """The codes of N images, (N, D).

    Args:
        vae: the model.
        images: N images.
        draw: a draw from each posterior in place of its mean; such draws together follow the
            aggregate posterior.
        seed: of the draws.
    """
    with evaluating(vae), seeded(seed, vae.device):
        posteriors = (vae.encode(x) for x in _batches(vae, images))
        return torch.cat([(q.sample() if draw else centre(q)).cpu() for q in posteriors])


@torch.no_grad()
def decode(vae: VAE, z: Tensor, *, seed: int = 0) -> Tensor:
    """The images in [0, 1], (N, C, H, W), of latent vectors (N, D).

    Where the prior lives on a sphere, of the vectors' directions: a grid or a straight way leaves
    the sphere, and what lies inside it means nothing.
    """
    with evaluating(vae), seeded(seed, vae.device):
        z = z.to(vae.device, torch.float32)
        if _on_sphere(vae):
            z = torch.nn.functional.normalize(z, dim=-1)
        batches = z.split(images_at_once(vae, BATCH_SIZE))
        return torch.cat([vae.images(batch).cpu() for batch in batches])


@torch.no_grad()
def reconstruct(vae: VAE, images: ImageData, *, seed: int = 0) -> Tensor:
    """N images coded and decoded again, (N, C, H, W) in [0, 1]."""
    with evaluating(vae), seeded(seed, vae.device):
        return torch.cat([vae.reconstruct(x).cpu() for x in _batches(vae, images)])


@torch.no_grad()
def draw_prior(vae: VAE, n: int, *, seed: int = 0) -> Tensor:
    """n draws from the prior, (n, D).

    Raises:
        ValueError: the prior cannot be sampled (the flat prior of an autoencoder).
    """
    try:
        with evaluating(vae), seeded(seed, vae.device):
            return vae.prior().sample((n,)).cpu()
    except NotImplementedError as error:
        raise ValueError(f"no samples from this model's prior: {error}") from error


@torch.no_grad()
def prior_log_density(vae: VAE, z: Tensor) -> Tensor:
    """log p(z) of latent vectors (N, D), (N,) in nats, some at a time.

    Raises:
        ValueError: they lie outside the prior's support.
    """
    at_once = max(1, PRIOR_NUMBERS // numbers_per_code(vae))
    with evaluating(vae):
        prior = vae.prior()
        parts = z.to(vae.device, torch.float32).split(at_once)
        return torch.cat([prior.log_prob(part).cpu() for part in parts])


@torch.no_grad()
def terms_of(
    vae: VAE, images: ImageData, *, draws: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Distortion and rate of each image at draws from its posterior, (draws, N) each, in nats."""
    found = []
    with evaluating(vae), seeded(seed, vae.device):
        for x in _batches(vae, images):
            pairs = [torch.stack(terms(vae, x)) for _ in range(draws)]
            found.append(torch.stack(pairs, 1).cpu())
    distortion, rate = torch.cat(found, 2)
    return distortion, rate


def elbo_and_log_likelihood(
    vae: VAE, images: ImageData, *, draws: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The ELBO and an estimate of log p(x) of each image, (N,) each, in nats.

    The mean, over draws from the posterior, of log p(x, z) - log q(z|x), and the logarithm of the
    mean of p(x, z)/q(z|x): Importance Weighted Autoencoders (Burda et al., 2016), equation 8. A
    plain autoencoder has neither: both are then log p(x|z).
    """
    distortion, rate = terms_of(vae, images, draws=draws, seed=seed)
    bounds = -distortion - rate if has_elbo(vae) else -distortion
    return bounds.mean(0), bounds.logsumexp(0) - math.log(draws)


@torch.no_grad()
def rate_per_dimension(vae: VAE, images: ImageData, *, seed: int = 0) -> Tensor | None:
    """The rate of each latent dimension, (D,) in nats per image; they add up to the rate.

    None where the posterior or the prior is no product over dimensions: a rate has no parts then.
    """
    total = 0.0
    with evaluating(vae), seeded(seed, vae.device):
        for x in _batches(vae, images):
            posterior = vae.encode(x)
            try:
                rates = objectives.rate_per_dimension(
                    posterior, vae.prior(), posterior.sample(), analytic=True
                )
            except objectives.ObjectiveError:
                return None
            total = total + rates.sum(0).cpu()
    return total / len(images)


def leading(codes: Tensor, rate: Tensor | None = None, count: int = 2) -> list[int]:
    """The `count` dimensions that say most, or all if there are fewer, in their own order.

    Args:
        codes: (N, D); by their variance, where there is no rate.
        rate: (D,) in nats per image, `rate_per_dimension`.
        count: how many.
    """
    values = codes.var(0, correction=0) if rate is None else rate
    return sorted(values.argsort(descending=True, stable=True)[:count].tolist())


def factors_of(distribution: dist.Distribution) -> dist.Distribution | None:
    """The D independent parts of a distribution over (D,), or None where it has none."""
    try:
        return objectives.factors(distribution)
    except objectives.ObjectiveError:
        return None


def _on_sphere(vae: VAE) -> bool:
    try:
        return vae.prior().support is constraints.sphere
    except NotImplementedError:  # The user's own need not know its support.
        return False


def _batches(vae: VAE, images: ImageData) -> Iterator[Tensor]:
    for x in images.batches(images_at_once(vae, BATCH_SIZE)):
        yield x.to(vae.device)
