"""Encoding and decoding in batches, draws from the prior, terms of the ELBO.

All functions run the model in evaluation mode, with the given seed, and return tensors on the CPU.
The code of an image is the latent vector that represents it: the mean of its posterior, or one draw
where the posterior has no mean.
"""

import math
from collections.abc import Iterator

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from pyro_vae import objectives
from pyro_vae._arguments import Codes, Count, Seed, Vector, checked, in_short
from pyro_vae._batching import numbers_per_code
from pyro_vae._declared import run_guide
from pyro_vae._modes import evaluating, seeded
from pyro_vae._spelling import old_names
from pyro_vae.analysis.classes import require_as_many
from pyro_vae.analysis.passes import batches_for, codes_per_chunk, model_terms, running
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation import has_elbo, terms
from pyro_vae.evaluation.fitting import SomeImages, require_images
from pyro_vae.vae import VAE, center

#: The most numbers held at once while the prior's density is computed.
PRIOR_NUMBERS = 2**24


@checked
@torch.no_grad()
def embed(vae: VAE, images: SomeImages, *, draw: bool = False, seed: Seed = 0) -> Tensor:
    """Return the codes of N images, (N, D).

    Args:
        vae: the model.
        images: N images.
        draw: return a draw from each posterior instead of its mean; together the draws follow the
            aggregate posterior.
        seed: seed of the draws.

    Example:
        >>> from pyro_vae import VAE, data, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> embed(vae, data.load("digits").test).shape
        torch.Size([180, 2])
    """
    require_images("embed", vae, images)
    with running(vae, seed):
        posteriors = (vae.encode(x) for x in batches_for(vae, images))
        return torch.cat([(q.sample() if draw else center(q)).cpu() for q in posteriors])


@checked
@torch.no_grad()
def decode(vae: VAE, z: Codes, *, seed: Seed = 0) -> Tensor:
    """Return the images in [0, 1], (N, C, H, W), that latent vectors (N, D) decode to.

    If the support of the prior is a sphere, the vectors are normalized first: points of a grid or
    a straight line leave the sphere, where the decoder was never trained.

    Args:
        vae: the model.
        z: latent vectors, (N, D).
        seed: seed of the draws from a likelihood that has no mean.
    """
    with running(vae, seed):
        z = z.to(vae.device, torch.float32)
        if on_sphere(vae):
            z = torch.nn.functional.normalize(z, dim=-1)
        return _decoded(vae, z)


@checked
@torch.no_grad()
def reconstruct(
    vae: VAE, images: SomeImages, *, codes: Codes | None = None, seed: Seed = 0
) -> Tensor:
    """Return the reconstructions of N images, (N, C, H, W) in [0, 1].

    Args:
        vae: the model.
        images: N images.
        codes: their codes, (N, D), if they are known: the images are then not coded again.
        seed: seed of the draws from distributions that have no mean.
    """
    if codes is not None:
        require_as_many(codes, images)
        with running(vae, seed):
            return _decoded(vae, codes.to(vae.device))
    require_images("reconstruct", vae, images)
    with running(vae, seed):
        return torch.cat([vae.reconstruct(x).cpu() for x in batches_for(vae, images)])


def _decoded(vae: VAE, z: Tensor) -> Tensor:
    return torch.cat([vae.images(part).cpu() for part in z.split(codes_per_chunk(vae))])


@checked
@torch.no_grad()
def draw_prior(vae: VAE, n: Count, *, seed: Seed = 0) -> Tensor:
    """Return n draws from the prior, (n, D).

    Raises:
        ArgumentError: the prior cannot be sampled, as the flat prior of an autoencoder.
    """
    try:
        with evaluating(vae), seeded(seed, vae.device):
            return vae.prior().sample((n,)).cpu()
    except NotImplementedError as error:
        raise ArgumentError(f"The prior of this model cannot be sampled: {error}") from error


@checked
@torch.no_grad()
def prior_log_density(vae: VAE, z: Codes) -> Tensor:
    """Return log p(z) of latent vectors (N, D), (N,) in nats.

    Raises:
        ArgumentError: a latent vector is outside the support of the prior.
    """
    at_once = max(1, PRIOR_NUMBERS // numbers_per_code(vae))
    with evaluating(vae):
        prior = vae.prior()
        parts = z.to(vae.device, torch.float32).split(at_once)
        try:
            return torch.cat([prior.log_prob(part).cpu() for part in parts])
        except ValueError as error:  # torch's own would print all the values.
            raise ArgumentError(
                "prior_log_density: z must be latent vectors (N, D) in the support of the prior, "
                f"got {in_short(z)}."
            ) from error


@checked
@torch.no_grad()
def terms_of(
    vae: VAE, images: SomeImages, *, draws: Count = 1, seed: Seed = 0
) -> tuple[Tensor, Tensor]:
    """Return distortion and rate of N images at draws from their posteriors, (draws, N) in nats."""
    require_images("terms_of", vae, images)
    found = []
    with running(vae, seed):
        for x in batches_for(vae, images):
            pairs = [torch.stack(pair) for pair in _terms_at_draws(vae, x, draws)]
            found.append(torch.stack(pairs, 1).cpu())
    distortion, rate = torch.cat(found, 2)
    return distortion, rate


def _terms_at_draws(vae: VAE, x: Tensor, draws: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield distortion and rate of each image at each draw; the images are coded once."""
    if type(vae).guide is not VAE.guide:  # Its draws may follow from other draws of the guide's.
        yield from (terms(vae, x) for _ in range(draws))
        return
    q, z, _ = run_guide(vae, x)
    for k in range(draws):
        z = q() if k else z
        log_q = q.log_prob(z)  # A flow knows the density of its last draw alone.
        distortion, log_p = model_terms(vae, x, z)
        yield distortion, log_q - log_p


@checked
def elbo_and_log_likelihood(
    vae: VAE, images: SomeImages, *, draws: Count = 1, seed: Seed = 0
) -> tuple[Tensor, Tensor]:
    """Return the ELBO and an estimate of log p(x) of each image, (N,) each, in nats.

    They are the mean of log p(x, z) - log q(z|x) over draws from the posterior, and the logarithm
    of the mean of p(x, z) / q(z|x): Importance Weighted Autoencoders (Burda et al., 2016), equation
    8. A plain autoencoder has neither: both are then log p(x|z).

    Args:
        vae: the model.
        images: N images.
        draws: number of draws from each posterior.
        seed: seed of the draws.
    """
    distortion, rate = terms_of(vae, images, draws=draws, seed=seed)
    bounds = -distortion - rate if has_elbo(vae) else -distortion
    return bounds.mean(0), bounds.logsumexp(0) - math.log(draws)


@checked
@torch.no_grad()
def mean_rate_per_dimension(vae: VAE, images: SomeImages, *, seed: Seed = 0) -> Tensor | None:
    """Return the rate of each latent dimension, (D,) in nats per image; they sum to the rate.

    The result is None unless both the prior and the posterior factorize over dimensions.
    """
    require_images("mean_rate_per_dimension", vae, images)
    found = []
    with running(vae, seed):
        for x in batches_for(vae, images):
            posterior = vae.encode(x)
            try:
                rates = objectives.rate_per_dimension(
                    posterior, vae.prior(), posterior.sample(), analytic=True
                )
            except objectives.ObjectiveError:
                return None
            found.append(rates.cpu())
    return torch.cat(found).mean(0)


@checked
def leading(codes: Codes, rate: Vector | None = None, count: Count = 2) -> list[int]:
    """Return the most informative latent dimensions, in ascending order.

    Args:
        codes: codes of N images, (N, D); ranked by their variance if there is no rate.
        rate: the rate of each dimension, (D,) in nats per image, see `mean_rate_per_dimension`.
        count: number of dimensions; all are returned if there are fewer.

    Example:
        >>> leading(torch.zeros(5, 4), rate=torch.tensor([0.1, 2.0, 0.0, 3.0]))
        [1, 3]
    """
    values = codes.var(0, correction=0) if rate is None else rate
    return sorted(values.argsort(descending=True, stable=True)[:count].tolist())


def factors_of(distribution: dist.TorchDistribution) -> dist.TorchDistribution | None:
    """Return the D independent factors of a distribution over (D,); None if it has none."""
    try:
        return objectives.factors(distribution)
    except objectives.ObjectiveError:
        return None


@checked
def on_sphere(vae: VAE) -> bool:
    """Return whether the support of a model's prior is a sphere."""
    try:
        return vae.prior().support is constraints.sphere
    except NotImplementedError:  # A distribution need not declare its support.
        return False


#: The name of version 0.1 still works, with a warning.
__getattr__ = old_names(__name__, {"rate_per_dimension": mean_rate_per_dimension})
