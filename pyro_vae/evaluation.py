"""Evaluation: how good is a model, read from its own model and guide.

Every number is in nats per image and belongs to the true ELBO (beta = 1), whatever weight or bound
the model was trained with. Source of the terms: Fixing a Broken ELBO (Alemi et al., 2018).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn
from tqdm import tqdm

from pyro_vae.data import ImageData
from pyro_vae.objectives import rate
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Evaluation:
    """Averages over images, in nats per image.

    Attributes:
        images: how many images.
        elbo: the evidence lower bound; None for a plain autoencoder, which has none.
        distortion: -E log p(x|z).
        rate: KL(q(z|x) || p(z)); None for a plain autoencoder.
        standard_error: the ELBO's (an autoencoder's: the distortion's), over the images.
    """

    images: int
    elbo: float | None
    distortion: float
    rate: float | None
    standard_error: float

    def weighted(self, beta: float) -> float:
        """The negative ELBO with the rate weighted by beta."""
        return self.distortion + beta * (self.rate or 0.0)

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values, for a JSON file."""
        return asdict(self)


@torch.no_grad()
def evaluate(
    vae: VAE,
    images: ImageData,
    *,
    batch_size: int = 500,
    analytic_kl: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on images, with one draw of z per image.

    The rate is taken in closed form where there is one, unless `analytic_kl` is False. The draws
    follow `seed`; the caller's random numbers and the model's mode are left as found.
    """
    distortions, rates = [], []
    with evaluating(vae), seeded(seed, vae.device):
        starts = range(0, len(images), batch_size)
        for start in tqdm(starts, desc="evaluating", unit="batch", disable=not progress):
            x = images.as_float(slice(start, start + batch_size)).to(vae.device)
            distortion, image_rate = terms(vae, x, analytic_kl=analytic_kl)
            distortions.append(distortion)
            rates.append(image_rate)
    return _summarise(torch.cat(distortions), torch.cat(rates), has_elbo(vae))


def terms(vae: VAE, x: Tensor, analytic_kl: bool = False) -> tuple[Tensor, Tensor]:
    """Distortion and rate of each image, (B,) each, at one draw of z; x: (B, C, H, W)."""
    guide = poutine.trace(vae.guide).get_trace(x)
    model = poutine.trace(poutine.replay(vae.model, guide)).get_trace(x)
    q, p, likelihood = guide.nodes["z"]["fn"], model.nodes["z"]["fn"], model.nodes["x"]["fn"]
    return -likelihood.log_prob(x), rate(q, p, guide.nodes["z"]["value"], analytic_kl)


def has_elbo(vae: VAE) -> bool:
    """Whether the prior is a distribution: a plain autoencoder's flat prior is none."""
    return not isinstance(vae.prior(), dist.ImproperUniform)


def _summarise(distortion: Tensor, rate: Tensor, has_elbo: bool) -> Evaluation:
    n = len(distortion)
    negative_elbo = (distortion + rate if has_elbo else distortion).double()
    return Evaluation(
        images=n,
        elbo=-negative_elbo.mean().item() if has_elbo else None,
        distortion=distortion.double().mean().item(),
        rate=rate.double().mean().item() if has_elbo else None,
        standard_error=negative_elbo.std().item() / n**0.5 if n > 1 else 0.0,
    )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode (batch norm uses its running statistics) within; the mode before, after."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers follow `seed` within; afterwards they go on as if nothing had happened."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
