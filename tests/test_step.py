"""One step: what it computes, what it still checks, and what it leaves alone."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from torch import Tensor

from pyro_vae import VAE, fit, likelihoods, networks
from pyro_vae.data import Dataset, ImageData
from pyro_vae.training import TrainingError


class Seen(VAE):
    """A model that counts how often its program runs, and observes one thing more."""

    def __init__(self, *slots, weight: float = 1.0) -> None:
        super().__init__(*slots)
        self.runs, self.weight, self.outside = 0, weight, math.inf
        self.level = torch.nn.Parameter(torch.tensor(0.2))

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        self.runs += 1
        super().model(x, beta)
        values = x.mean((1, 2, 3)) if self.runs < self.outside else 2 + x.mean((1, 2, 3))
        with pyro.plate("more", len(x)), pyro.poutine.scale(scale=self.weight):
            pyro.sample("mean", dist.Beta(self.level.exp(), torch.ones(())), obs=values)


def seen(**settings) -> Seen:
    vae = small_vae()
    return Seen(vae.prior, vae.likelihood, vae.posterior, **settings)


def test_every_step_runs_the_program_and_its_further_sites_count(digits: Dataset):
    few, learned = digits.train.select(slice(64)), []
    for weight in (0.0, 1.0):
        pyro.set_rng_seed(0)
        vae = seen(weight=weight) if weight else Seen(*slots_of(small_vae()), weight=1e-9)
        before = vae.level.item()
        fit(vae, few, epochs=2, batch_size=16, learning_rate=0.01, progress=False)
        assert vae.runs >= 8
        learned.append(abs(vae.level.item() - before))
    assert learned[1] > 0.02


def slots_of(vae: VAE):
    return vae.prior, vae.likelihood, vae.posterior


def test_an_observation_that_leaves_its_support_later_is_still_refused(digits: Dataset):
    vae = seen()
    vae.outside = 7
    with pytest.raises(TrainingError, match="outside a distribution's support"):
        fit(vae, digits.train.select(slice(160)), epochs=1, batch_size=16, progress=False)


def test_images_that_leave_the_support_after_the_first_ones_are_refused():
    levels = torch.zeros(1200, 1, 8, 8, dtype=torch.uint8)
    levels[1100:] = 100  # Only the first thousand are looked at before the training.
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(8, 4))
    vae = small_vae(likelihood=likelihoods.Bernoulli(decoder))
    torch.manual_seed(0)
    with pytest.raises(TrainingError, match="an image outside the likelihood's"):
        fit(vae, ImageData(levels), epochs=1, batch_size=100, progress=False)


def test_validation_is_as_it_was_after_a_training(digits: Dataset):
    few = digits.train.select(slice(64))
    for enabled in (True, False):
        with pyro.validation_enabled(enabled):
            fit(small_vae(), few, epochs=1, batch_size=16, progress=False)
            assert dist.util.is_validation_enabled() == enabled
    with pytest.raises(ValueError, match="scale"):
        dist.Normal(0.0, -1.0)


def test_a_program_of_its_own_is_announced_and_one_within_a_step_is_not():
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    with pyro.poutine.trace(param_only=True) as announced:
        vae.guide(x)
    assert announced.trace.param_nodes
    with pyro.poutine.trace(param_only=True) as announced, vae.unannounced():
        vae.guide(x)
    assert not announced.trace.param_nodes
