"""Numbers that are not finite are seen, named and never kept."""

import json
import math
import warnings
from dataclasses import replace
from itertools import count

import pyro
import pytest
import torch
from conftest import small_vae

from pyro_vae import VAE, checkpoints, fit
from pyro_vae._tensors import not_finite
from pyro_vae.objectives import ELBO, Bound
from pyro_vae.schedules import Constant, Plateau
from pyro_vae.training import Run, TrainingError
from pyro_vae.training.finiteness import Watch

STEPS = 5  # Of an epoch.


class Spoiled(ELBO):
    """An ELBO whose `spoil` changes the bound of one training step, counted over all from 1."""

    def __init__(self, at: int, spoil, times: int = 1) -> None:
        super().__init__()
        self.at, self.spoil, self.times, self.made = at, spoil, times, 0

    def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        bound = super().__call__(vae, x, beta, elapsed)
        if not torch.is_grad_enabled():
            return bound
        self.made += 1
        if self.made < self.at or self.times == 0:
            return bound
        self.times -= 1
        return self.spoil(bound, vae)


def infinite_slope(bound: Bound, vae) -> Bound:
    """A finite loss whose gradient in the posterior is not finite: a root at 0."""
    weight = next(vae.posterior.parameters())
    return bound._replace(loss=bound.loss + ((weight - weight.detach()).abs().sum()).sqrt())


def infinite_distortion(bound: Bound, vae) -> Bound:
    return bound._replace(loss=bound.loss * math.inf, distortion=bound.distortion * math.inf)


def infinite_rate(bound: Bound, vae) -> Bound:
    return bound._replace(loss=bound.loss * math.nan, rate=bound.rate * math.nan)


def huge_gradient(bound: Bound, vae) -> Bound:
    return bound._replace(loss=bound.loss * 1e35)


def trained(digits, folder, objective, **settings):
    images = replace(digits, train=digits.train.select(slice(0, 100)))
    vae = small_vae()
    settings = {"epochs": 3, "batch_size": 20, "learning_rate": 1e-3} | settings
    history = fit(
        vae, images.train, validation=images.test.select(slice(0, 20)), objective=objective,
        folder=folder, device="cpu", progress=False, **settings,
    )  # fmt: skip
    return vae, history


@pytest.mark.parametrize(
    "spoil, named",
    [
        (infinite_slope, r"gradient of posterior\.\S+ is not, in the posterior.*a root"),
        (infinite_distortion, "the distortion is not finite.*likelihood"),
        (infinite_rate, "the rate is not finite.*posterior"),
    ],
)
@pytest.mark.parametrize("step", [7, 2 * STEPS])
def test_the_step_and_the_slot_are_named_and_the_last_good_weights_are_kept(
    digits, tmp_path, spoil, named, step
):
    """The last step of an epoch once spoiled the best weights after a finite loss."""
    number = step - STEPS
    with pytest.raises(TrainingError, match=rf"{named}.*\(epoch 2/3, step {number}\)"):
        trained(digits, tmp_path, Spoiled(step, spoil))
    run = Run(tmp_path)
    kept = checkpoints.contents(run.weights)
    assert kept["epoch"] == 1
    assert all(value.isfinite().all() for value in kept["weights"].values())
    assert len(json.loads(run.history.read_text())) == 1
    assert len(checkpoints.contents(run.last)["history"]) == 1


def test_weights_that_overflow_in_the_last_step_are_not_kept(digits, tmp_path):
    """Loss and gradient are finite: only the step is too long."""
    settings = {"optimizer": torch.optim.SGD, "schedule": Constant, "learning_rate": 1e5}
    with pytest.raises(TrainingError, match=r"diverged.*(weights|gradient|loss)"):
        trained(digits, tmp_path, Spoiled(STEPS, huge_gradient), **settings)
    kept = checkpoints.contents(Run(tmp_path).weights)
    assert kept["epoch"] == 0


def test_a_loss_that_runs_away_is_warned_of_once(digits, tmp_path):
    settings = {"optimizer": torch.optim.SGD, "schedule": Constant, "learning_rate": 1e-6}

    class Rising(ELBO):
        made = 0

        def __call__(self, vae, x, beta=1.0, elapsed=1.0):
            bound = super().__call__(vae, x, beta, elapsed)
            self.made += torch.is_grad_enabled()
            return Bound(*(10**self.made * term for term in bound))

    with pytest.warns(UserWarning, match="has risen from .* the training is diverging") as seen:
        trained(digits, tmp_path, Rising(), epochs=1, **settings)
    assert len([each for each in seen if "diverging" in str(each.message)]) == 1


def test_a_sound_training_is_not_warned_of(digits, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(digits, tmp_path, ELBO())


@pytest.mark.parametrize("schedule", [Constant, Plateau])
def test_a_rollback_continues_from_the_last_checkpoint_at_half_the_learning_rate(
    digits, tmp_path, schedule
):
    spoiled = Spoiled(7, infinite_slope)
    with pytest.warns(UserWarning, match="Back to epoch 1, at 0.5 times"):
        vae, history = trained(digits, tmp_path, spoiled, on_nan="rollback", schedule=schedule)
    assert spoiled.made == 7 + 2 * STEPS
    assert [record["learning_rate"] for record in history] == [1e-3, 5e-4, 5e-4]
    assert [record.get("rollbacks", 0) for record in history] == [0, 1, 1]
    assert all(value.isfinite().all() for value in vae.state_dict().values())


class Noting(VAE):
    """A model that notes a number of each latent vector, which counts for nothing."""

    def model(self, x, beta=1.0):
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.deterministic("norm", z.norm(dim=-1))
            pyro.sample("x", self.likelihood(z), obs=x)


def test_what_a_model_notes_is_not_taken_for_an_observation(digits):
    slots, x = small_vae(), digits.train.select(slice(0, 100))
    vae, steps = Noting(slots.prior, slots.likelihood, slots.posterior), count(1)

    def spoil_the_fourth(module, inputs, output):
        spoiled = len(output) == 20 and next(steps) == 4
        return output * math.nan if spoiled else output

    vae.posterior.encoder.register_forward_hook(spoil_the_fourth)
    with pytest.raises(TrainingError, match=r"training diverged.*\(epoch 1/1, step 4\)"):
        fit(vae, x, epochs=1, batch_size=20, progress=False)


def test_of_two_failures_the_first_is_told():
    layer, flags, finite = torch.nn.Linear(1, 1), [[True], [True], [False]], torch.zeros(3)
    for first, named in ((1, "gradient of weight.*step 2"), (2, "outside.*step 3")):
        watch = Watch(layer, 1)
        watch.start_epoch(0)
        for step, inside in enumerate(flags):
            for parameter in layer.parameters():
                parameter.grad = torch.full_like(parameter, math.nan if step >= first else 0.0)
            watch.see(step, list(map(torch.tensor, inside)))
        with pytest.raises(TrainingError, match=named):
            watch.check([finite] * 3, "epoch 1/1")


def test_rollbacks_are_bounded(digits, tmp_path):
    spoiled = Spoiled(7, infinite_slope, times=-1)
    with pytest.warns(UserWarning, match="Back to epoch 1"), pytest.raises(TrainingError):
        trained(digits, tmp_path, spoiled, on_nan="rollback")
    assert spoiled.made == 7 + 5  # The first step after each return fails again.


def test_a_rollback_goes_back_within_an_epoch_too(digits, tmp_path):
    spoiled = Spoiled(9, infinite_slope)
    with pytest.warns(UserWarning, match="Back to epoch 1"):
        trained(digits, tmp_path, spoiled, on_nan="rollback", checkpoint_every="2 steps")
    assert spoiled.made == 3 * STEPS + 2  # The steps 8 and 9 are made again.


def test_a_run_that_rolled_back_resumes_at_its_lower_learning_rate(digits, tmp_path):
    with pytest.warns(UserWarning, match="Back to"):
        trained(
            digits, tmp_path, Spoiled(7, infinite_slope), on_nan="rollback", schedule=Constant,
            epochs=2,
        )  # fmt: skip
    images = digits.train.select(slice(0, 100))
    history = fit(
        small_vae(), images, folder=tmp_path, resume=True, epochs=3, batch_size=20,
        schedule=Constant, learning_rate=1e-3, device="cpu", progress=False,
    )  # fmt: skip
    assert history[-1]["learning_rate"] == 5e-4


def test_what_is_not_finite_is_named_whatever_its_type():
    weights = {
        "sound": torch.ones(2),
        "large": torch.tensor([1e300], dtype=torch.float64),
        "nan": torch.tensor([0.0, math.nan]),
        "complex": torch.tensor([complex(0, math.inf)]),
        "whole": torch.tensor([1]),
        "empty": torch.zeros(0),
    }
    assert not_finite(weights) == ["nan", "complex"]
