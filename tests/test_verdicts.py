"""Numbers agree with their words: the verdict on collapse, and warnings of odd data."""

import logging
import math

import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae

from pyro_vae import evaluate, fit
from pyro_vae.analysis import Subject
from pyro_vae.analysis.pages.report import warnings
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation import verdict
from pyro_vae.evaluation.collapse import degree_of_collapse, held_by_image
from pyro_vae.training import Record

QUICK = {"epochs": 1, "progress": False}


def halves() -> ImageData:
    """Images of two kinds: their first pixel is black or white."""
    images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    images[::2, 0, 0, 0] = 255
    return ImageData(images)


def signed(spread: float, offset: float, scale: float = 1.0, size: int = 12, active: int = 12):
    """A posterior whose mean tells the two kinds apart by ± `spread`, around an offset."""

    def posterior(x):
        sign = (x[:, 0, 0, :1] > 0.5).float() * 2 - 1
        means = torch.where(torch.arange(size) < active, spread, 0.0) * sign + offset
        return dist.Normal(means, torch.full_like(means, scale)).to_event(1)

    return posterior


def test_a_rate_without_an_active_unit_is_no_information():
    # The posterior is the same for every image, and far from the prior: 12 * 0.7669^2 / 2 nats.
    vae = small_vae(latent_size=12, posterior=signed(0.0, 0.7669))
    found = evaluate(vae, halves())
    assert found.rate == pytest.approx(3.53, abs=0.01) and found.active_units == 0
    assert found.verdict.startswith("Collapsed: 0 of 12")
    assert "3.53 nats is its distance from the prior, not information" in found.verdict
    assert "carries" not in found.verdict


def test_units_that_share_less_than_one_bit_have_nearly_collapsed():
    vae = small_vae(latent_size=12, posterior=signed((2 * 0.35 / 9) ** 0.5, 0.0, active=9))
    found = evaluate(vae, halves())
    assert found.rate == pytest.approx(0.35, abs=1e-4) and found.active_units == 9
    assert found.verdict.startswith("Nearly collapsed: 9 of 12")
    assert "0.35 nats about an image, less than one bit" in found.verdict
    assert degree_of_collapse(math.log(2), 9, 12) == "none"


@pytest.mark.parametrize("offset", [1e7, 1e30])
def test_a_rate_beyond_what_an_image_holds_is_no_success(offset):
    vae = small_vae(latent_size=12, posterior=signed(1.0, offset))
    found = evaluate(vae, halves())
    assert found.verdict.startswith("Diverged") and "Not collapsed" not in found.verdict
    assert f"{held_by_image(64):,.0f} nats in 64 values of 256 levels" in found.verdict
    subject = Subject(vae, Dataset("halves", halves(), halves()))
    numbers = found.as_dict() | {"rate": 9e14}
    assert ("A rate beyond what an image holds", verdict(9e14, found.active_units, 12, 64)) in (
        warnings(subject, numbers)
    )


def test_the_limit_is_what_an_image_holds():
    most = held_by_image(64)
    assert degree_of_collapse(most, 2, 2, 64) == "none"
    assert degree_of_collapse(math.nextafter(most, math.inf), 2, 2, 64) == "beyond"
    assert degree_of_collapse(math.nan, 2, 2) == "beyond"


def fitted(images: ImageData, validation: ImageData | None, caplog) -> str:
    caplog.set_level(logging.WARNING, "pyro_vae")
    fit(small_vae(), images, validation=validation, **QUICK)
    return caplog.text


def test_a_validation_set_of_two_is_warned_of(digits, caplog):
    some = digits.train.select(slice(40))
    said = fitted(some, digits.test.select(slice(2)), caplog)
    assert "Only 2 images validate: the best epoch" in said
    caplog.clear()
    assert not fitted(some, digits.test.select(slice(10)), caplog)


def test_constant_data_are_warned_of(caplog):
    constant = ImageData(torch.full((20, 1, 8, 8), 7, dtype=torch.uint8))
    said = fitted(constant, None, caplog)
    assert "All training images are the same: there is nothing to learn" in said


def test_a_callback_may_end_a_training(digits):
    class Last:
        ended: list[tuple[int, object]] = []

        def __call__(self, vae, record: Record) -> None:
            self.epoch = record["epoch"]

        def after_training(self, vae, history, folder) -> None:
            self.ended.append((len(history), folder))
            assert not vae.training and self.epoch == len(history)

    fit(small_vae(), digits.train.select(slice(64)), callbacks=[Last()], **QUICK)
    assert Last.ended == [(1, None)]
