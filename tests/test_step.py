"""One step: what it computes, what it still checks, and what it leaves alone."""

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae import VAE, fit, likelihoods, networks
from pyro_vae.data import Dataset, ImageData
from pyro_vae.objectives import (
    ELBO,
    IWAE,
    Capacity,
    FreeBits,
    ObjectiveError,
    TotalCorrelation,
)
from pyro_vae.training import TrainingError
from pyro_vae.training.strays import all_inside

#: Those that take their terms from the distributions at z and x, not from whole programs.
OBJECTIVES = [
    FreeBits(),
    Capacity(),
    TotalCorrelation(images=100),
    IWAE(samples=3, repeats=2),
    IWAE(samples=3, doubly_reparameterized=True),
]


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
    for weight in (1e-12, 1.0):
        pyro.set_rng_seed(0)
        vae = seen(weight=weight)
        before = vae.level.item()
        fit(vae, few, epochs=2, batch_size=16, learning_rate=0.01, progress=False)
        assert vae.runs >= 8
        learned.append(abs(vae.level.item() - before))
    assert learned[0] < 0.001 and learned[1] > 0.02


class Leaving(nn.Module):
    """A posterior whose draws are positive in the first three batches of a mode, then negative."""

    def __init__(self, leaves_in_training: bool | None) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.full((2,), 8.0))
        self.seen, self.leaves_in_training = 0, leaves_in_training

    def train(self, mode: bool = True) -> "Leaving":
        self.seen = 0
        return super().train(mode)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        self.seen += 1
        out = self.seen > 3 and self.training == self.leaves_in_training
        return dist.Normal((-self.at if out else self.at).expand(len(x), 2), 0.1).to_event(1)


class Positive(nn.Module):
    """A prior of positive numbers."""

    def forward(self) -> dist.TorchDistribution:
        return dist.Exponential(torch.ones(2)).to_event(1)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(samples=2), FreeBits(analytic_kl=False)])
@pytest.mark.parametrize("in_training", [True, False])
def test_draws_that_leave_the_priors_support_later_are_refused(digits, objective, in_training):
    few = digits.train.select(slice(160))
    vae = VAE(Positive(), small_vae().likelihood, Leaving(in_training))
    settings = {"epochs": 1, "batch_size": 16, "objective": objective, "progress": False}
    where = r"\(epoch 1/1, step [4-9]" if in_training else r"\(validation of epoch 1/1\)"
    with pytest.raises(TrainingError, match="outside the prior's.*" + where):
        fit(vae, few, validation=few, **settings)
    staying = VAE(Positive(), vae.likelihood, Leaving(None))
    assert math.isfinite(fit(staying, few, validation=few, **settings)[-1]["train_loss"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_that_knows_z_and_x_alone_says_so_of_further_sites(digits, objective):
    few = digits.train.select(slice(64))
    with pytest.raises(ObjectiveError, match="this model also has mean: train it with ELBO"):
        fit(seen(), few, epochs=1, objective=objective, progress=False)


class Weighted(VAE):
    """A model that counts every image three times, or only every other one."""

    masked = False

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        every_other = torch.arange(len(x)) % 2 == 0
        weighted = (
            pyro.poutine.mask(mask=every_other) if self.masked else pyro.poutine.scale(scale=3)
        )
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", self.prior())
            mean = pyro.deterministic("mean", z.mean(-1))  # It counts for nothing.
            with weighted:
                pyro.sample("x", self.likelihood(z + 0 * mean[..., None]), obs=x)


@pytest.mark.parametrize("masked", [True, False])
def test_weights_and_masks_count_in_the_elbo_and_are_refused_elsewhere(digits, masked):
    slots, x, bounds = small_vae(), digits.test.as_float(slice(20)), []
    for kind in (VAE, Weighted):
        vae = kind(slots.prior, slots.likelihood, slots.posterior)
        vae.masked = masked
        torch.manual_seed(0)
        bounds.append(ELBO()(vae, x))
    plain, weighted = bounds
    ratio = float(weighted.distortion / plain.distortion)
    assert 0.4 < ratio < 0.6 if masked else ratio == pytest.approx(3)
    for objective in OBJECTIVES:
        with pytest.raises(
            ObjectiveError, match="this model weighs or masks x: train it with ELBO"
        ):
            objective(vae, x)


class Shifted(VAE):
    """A model and a guide of its own, with the sites of `VAE`."""

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(torch.full((2,), 3.0), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(z - 3), obs=x)

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        with pyro.plate("images", len(x)):
            q = self.posterior(x)
            pyro.sample("z", dist.Normal(q.mean + 3, q.stddev).to_event(1))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_runs_the_model_and_the_guide(digits, objective):
    """Moved by 3, in prior, likelihood and posterior alike, the model is the same."""
    slots, x, bounds = small_vae(), digits.test.as_float(slice(20)), []
    for kind in (VAE, Shifted):
        vae = kind(slots.prior, slots.likelihood, slots.posterior)
        torch.manual_seed(0)
        bounds.append(torch.stack(objective(vae, x)).detach())
    torch.testing.assert_close(*bounds, rtol=1e-4, atol=1e-3)


def test_an_observation_that_leaves_its_support_later_is_still_refused(digits: Dataset):
    vae = seen()
    vae.outside = 7
    with pytest.raises(TrainingError, match="outside a distribution's support"):
        fit(vae, digits.train.select(slice(160)), epochs=1, batch_size=16, progress=False)


@pytest.mark.parametrize(
    "support",
    [
        constraints.unit_interval,
        constraints.interval(torch.tensor([0.0, -2.0]), 1.0),
        constraints.half_open_interval(-1, 1.0),
        constraints.positive,
        constraints.nonnegative,
        constraints.less_than(0.5),
        constraints.real,
        constraints.boolean,
        constraints.nonnegative_integer,
        constraints.simplex,
    ],
    ids=repr,
)
def test_values_are_inside_a_support_where_it_says_so_of_each(support):
    edges = torch.tensor(
        [-math.inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, math.inf, math.nan]
    )
    pairs = torch.cartesian_prod(edges, edges)
    expected = [bool(support.check(pair).all()) for pair in pairs]
    assert [bool(all_inside(support, pair)) for pair in pairs] == expected
    assert any(expected) and not all(expected)
    assert all_inside(support, torch.zeros(0, 2))


def test_images_that_leave_the_support_after_the_first_ones_are_refused():
    levels = torch.zeros(1200, 1, 8, 8, dtype=torch.uint8)
    levels[1100:] = 100  # Only the first thousand are looked at before the training.
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(8, 4))
    vae = small_vae(likelihood=likelihoods.Bernoulli(decoder))
    torch.manual_seed(0)
    with pytest.raises(TrainingError, match="an image outside the likelihood's"):
        fit(vae, ImageData(levels), epochs=1, batch_size=100, progress=False)


@pytest.mark.parametrize("likelihood", [likelihoods.Normal, likelihoods.Laplace])
def test_the_first_batch_alone_is_validated_whatever_the_supports(digits, monkeypatch, likelihood):
    """Real values leave no flags: of the batches after the first one there is nothing to read."""
    batches: list[int] = []
    validate = torch.distributions.Distribution._validate_sample

    def counted(self: Any, value: Tensor) -> None:
        nonlocal batches
        batches.append(len(value))
        validate(self, value)

    few = digits.train.select(slice(70))
    vae = small_vae(likelihood=likelihood(networks.ConvDecoder(2, (1, 8, 8), channels=(8, 4))))
    settings = {"epochs": 1, "batch_size": 10, "progress": False}
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_sample", counted)
    fit(vae, few.select(slice(20)), validation=few.select(slice(20)), **settings)
    of_two, batches = len(batches), []
    fit(vae, few, validation=few, **settings)
    assert len(batches) == of_two > 0


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
