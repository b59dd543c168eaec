"""One pass of coding and one of decoding over images, with all that pictures need of every image.

A pass gives what the functions of `embeddings` give of the same images and seed: each kind of draw
has random numbers of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pyro_vae import objectives
from pyro_vae._arguments import Seed, checked
from pyro_vae._batching import MOST_NUMBERS, numbers_decoded_at_once, numbers_per_image
from pyro_vae._declared import run_guide, run_model
from pyro_vae._modes import channels_last, evaluating, random_state, seeded, set_random_state
from pyro_vae.analysis.classes import require_as_many
from pyro_vae.data import ImageData
from pyro_vae.evaluation import active_units
from pyro_vae.evaluation.collapse import posterior_means
from pyro_vae.evaluation.fitting import SomeImages, require_images
from pyro_vae.vae import VAE, center

BATCH_SIZE = 500
#: The most floating-point operations for what one picture decodes where it could do with less: some
#: ten seconds of two processor cores.
MOST_OPERATIONS = 2**40
_found_at_once: WeakKeyDictionary[VAE, tuple[tuple[int, ...], tuple[int, ...]]] = (
    WeakKeyDictionary()
)


@dataclass(frozen=True, eq=False)
class Coded:
    """What one pass of coding finds of N images.

    Attributes:
        codes: the codes, (N, D), as those of `embed`.
        draws: a draw from the posterior of each image, (N, D).
        log_posterior: log q(z|x) at these draws, (N,) in nats.
        rates: the rate of each dimension, (N, D) in nats; None if it does not factorize, or if a
            draw is outside the support of the prior.
        active: which dimensions are active, (D,) booleans, as by `active_units_of`.
    """

    codes: Tensor
    draws: Tensor
    log_posterior: Tensor
    rates: Tensor | None
    active: Tensor

    @property
    def rate(self) -> Tensor | None:
        """The mean of `rates`, (D,) in nats per image; None if the rate does not factorize."""
        return None if self.rates is None else self.rates.mean(0)

    def select(self, indices: Tensor) -> "Coded":
        """Return what was found of some of the images; `active` remains that of all."""
        rates = None if self.rates is None else self.rates[indices]
        return Coded(
            self.codes[indices],
            self.draws[indices],
            self.log_posterior[indices],
            rates,
            self.active,
        )


@checked
@torch.no_grad()
def code(vae: VAE, images: SomeImages, *, seed: Seed = 0) -> Coded:
    """Return what one pass of coding finds of N images.

    Args:
        vae: the model.
        images: N images.
        seed: seed of the draws.
    """
    require_images("code", vae, images)
    parts: dict[str, list[Tensor]] = {}
    with running(vae, seed):
        draws, centers, means = (_Randomness(vae.device) for _ in range(3))
        for x in batches_for(vae, images):
            with draws.continued():
                q, z, _ = run_guide(vae, x)
                found = {"draws": z, "log_posterior": q.log_prob(z)}
            if type(vae).guide is not VAE.guide:  # It may draw from another posterior.
                q = vae.encode(x)
            # Not every posterior and prior factorize, nor do all draws lie in a prior's support.
            with suppress(objectives.ObjectiveError, ValueError):
                found["rates"] = objectives.rate_per_dimension(q, vae.prior(), z, analytic=True)
            with centers.continued():
                found["codes"] = center(q)
            with means.continued():
                found |= zip(("means", "others"), posterior_means(q), strict=False)
            for name, part in found.items():
                parts.setdefault(name, []).append(part.cpu())
    whole = {name: torch.cat(part) for name, part in parts.items()}
    rates = whole.get("rates")
    return Coded(
        whole["codes"],
        whole["draws"],
        whole["log_posterior"],
        rates if rates is not None and len(rates) == len(images) else None,
        active_units(whole["means"], whole.get("others")),
    )


@checked
@torch.no_grad()
def terms_at(
    vae: VAE, images: SomeImages, coded: Coded, *, seed: Seed = 0
) -> tuple[Tensor, Tensor]:
    """Return distortion and rate of N coded images at their draws, (N,) each, in nats.

    Args:
        vae: the model.
        images: N images.
        coded: what `code` found of them, with the same seed.
        seed: seed of their pixels, where these are drawn.

    Raises:
        ArgumentError: `coded` is that of another number of images.
    """
    require_as_many(coded.draws, images, "coded")
    found = []
    with running(vae, seed):
        draws = coded.draws.split(images_per_batch(vae))
        for x, z in zip(batches_for(vae, images), draws, strict=True):
            found.append(torch.stack(model_terms(vae, x, z.to(vae.device))).cpu())
    distortion, log_prior = torch.cat(found, 1)
    return distortion, coded.log_posterior - log_prior


def model_terms(vae: VAE, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return distortion and log p(z) of images x (B, C, H, W) at z (B, D), (B,) each, in nats."""
    prior, likelihood, _ = run_model(vae, x, z)
    return -likelihood.log_prob(x), prior.log_prob(z)


@contextmanager
def running(vae: VAE, seed: int) -> Iterator[None]:
    """Run a model for pictures within a block: in evaluation mode, channels last, with a seed."""
    with evaluating(vae), channels_last(vae), seeded(seed, vae.device):
        yield


def batches_for(vae: VAE, images: ImageData) -> Iterator[Tensor]:
    """Yield images as floats on the model's device, (n, C, H, W), as many as memory allows."""
    for x in images.batches(images_per_batch(vae)):
        yield x.to(vae.device)


def images_per_batch(vae: VAE) -> int:
    """Return how many images are coded at once, as many as memory allows."""
    return _at_once(vae)[0]


def codes_per_chunk(vae: VAE) -> int:
    """Return how many latent vectors are decoded at once, as many as a CPU's cache holds."""
    return _at_once(vae)[1]


@torch.no_grad()
def worth_decoding(vae: VAE) -> int:
    """Return how many latent vectors a picture should decode at most: fewer by large networks."""
    with running(vae, 0), FlopCounterMode(display=False) as counted:
        vae.likelihood(vae.zeros(1, vae.latent_size))
    return MOST_OPERATIONS // max(1, counted.get_total_flops())


def _at_once(vae: VAE) -> tuple[int, ...]:
    """Both numbers, which are found once for each model."""
    slots = tuple(map(id, (vae.prior, vae.likelihood, vae.posterior)))
    known, found = _found_at_once.get(vae, ((), (0, 0)))
    if known != slots:
        each = numbers_per_image(vae)
        numbers = MOST_NUMBERS, numbers_decoded_at_once(vae.device, MOST_NUMBERS)
        found = tuple(max(1, min(BATCH_SIZE, most // each)) for most in numbers)
        _found_at_once[vae] = slots, found
    return found


class _Randomness:
    """The random numbers of one kind of draw, which draws of other kinds leave alone."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.state = device, random_state(device)

    @contextmanager
    def continued(self) -> Iterator[None]:
        """Draw from these random numbers within a block; then continue with those before it."""
        before = random_state(self.device)
        set_random_state(self.state, self.device)
        try:
            yield
        finally:
            self.state = random_state(self.device)
            set_random_state(before, self.device)
