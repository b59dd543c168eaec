"""Names of earlier versions keep working, with a warning that points at the line to change."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from conftest import small_vae

import pyro_vae.vae
from pyro_vae import checkpoints, distributions, likelihoods, networks, objectives, priors, slots
from pyro_vae._module import Module
from pyro_vae._spelling import RENAMED, current, old_names

SHAPE = (1, 8, 8)


@contextmanager
def warning_here(old: str, new: str) -> Iterator[None]:
    """Expect one warning, which names both and points into this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (warning,) = caught
    assert str(warning.message) == f"{old} is now called {new}."
    assert (warning.category, warning.filename) == (FutureWarning, __file__)


# ------------------------------------------------------------------------------- arguments


def decoder() -> networks.Decoder:
    return networks.MLPDecoder(2, SHAPE)


ARGUMENTS = {
    "Bernoulli": (lambda **given: likelihoods.Bernoulli(decoder(), **given), "grey_levels", True),
    "Normal": (
        lambda **given: likelihoods.Normal(decoder(), sigmoid=False, **given),
        "standardised",
        (0.5, 0.25),
    ),
    "Laplace": (
        lambda **given: likelihoods.Laplace(decoder(), sigmoid=False, **given),
        "standardised",
        (0.5, 0.25),
    ),
    "StudentT": (
        lambda **given: likelihoods.StudentT(decoder(), sigmoid=False, **given),
        "standardised",
        (0.5, 0.25),
    ),
    "ResNetEncoder": (
        lambda **given: networks.ResNetEncoder(SHAPE, (4,), **given),
        "standardised",
        (0.5, 0.25),
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_taken_by_their_old_names(name, tmp_path):
    make, old, value = ARGUMENTS[name]
    new = RENAMED[old]
    with warning_here(old, new):
        made = make(**{old: value})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = make(**{new: value})
    if old == "standardised":
        assert made.standardized == expected.standardized == value
    else:
        assert (made.support, made.measure) == (expected.support, expected.measure)
        assert made.support == "unit"
    if isinstance(made, likelihoods.Likelihood):  # A checkpoint has today's name.
        checkpoints.save(small_vae(likelihood=made), tmp_path / "vae.pt")
        saved = checkpoints.contents(tmp_path / "vae.pt")["slots"]["likelihood"]["arguments"]
        assert new in saved and old not in saved


def test_every_class_with_a_renamed_argument_takes_the_old_one():
    found = set()
    for module in (likelihoods, networks):
        for name, kind in vars(module).items():
            if not isinstance(kind, type) or not issubclass(kind, Module) or name.startswith("_"):
                continue
            if set(inspect.signature(kind).parameters) & set(RENAMED.values()):
                found.add(name)
    assert found == set(ARGUMENTS)


def test_an_unknown_argument_is_still_refused():
    with pytest.raises(TypeError, match="greylevels"):
        likelihoods.Bernoulli(decoder(), greylevels=True)  # type: ignore[call-arg]


def test_a_checkpoint_with_old_names_is_read_without_a_warning(tmp_path):
    gray = likelihoods.Bernoulli(networks.ConvDecoder(2, SHAPE), gray_levels=True)
    checkpoints.save(small_vae(likelihood=gray), tmp_path / "vae.pt")
    saved = checkpoints.contents(tmp_path / "vae.pt")
    arguments = saved["slots"]["likelihood"]["arguments"]
    arguments["grey_levels"] = arguments.pop("gray_levels")
    torch.save(saved, tmp_path / "old.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae = checkpoints.load(tmp_path / "old.pt")
    assert vae.likelihood.support == "unit"


def test_settings_are_translated_at_every_depth():
    old = {
        "likelihood": {"init_args": {"grey_levels": True}},
        "pixels": "binarised",
        "name": "grey",
    }
    new = {
        "likelihood": {"init_args": {"gray_levels": True}},
        "pixels": "binarized",
        "name": "grey",
    }
    assert current(old) == current(new) == new


@pytest.mark.parametrize(
    "objective",
    [
        objectives.ELBO(),
        objectives.FreeBits(),
        objectives.Capacity(nats=5.0),
        objectives.TotalCorrelation(),
        objectives.IWAE(samples=2),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_objectives_take_the_elapsed_training_by_its_old_name(objective):
    vae, x = small_vae(), torch.rand(4, *SHAPE)
    with torch.random.fork_rng():
        expected = objective(vae, x, elapsed=0.25)
    with warning_here("progress", "elapsed"):
        found = objective(vae, x, progress=0.25)
    assert torch.equal(found.loss, expected.loss)


# --------------------------------------------------------------------------- functions, classes


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (distributions, "GreyBernoulli", distributions.GrayBernoulli),
        (pyro_vae.vae, "centre", pyro_vae.vae.center),
        (slots, "table", slots.overview),
        (checkpoints, "read", checkpoints.contents),
    ],
)
def test_what_was_renamed_is_found_by_its_old_name(module, old, new):
    with warning_here(f"{module.__name__}.{old}", new.__name__):
        assert getattr(module, old) is new
    with pytest.raises(AttributeError, match=f"{module.__name__}.* no attribute 'nothing'"):
        module.nothing  # noqa: B018
    # Importing by the old name works, too.
    with pytest.warns(FutureWarning, match=new.__name__):
        exec(f"from {module.__name__} import {old}", {})


def test_old_names_are_those_of_one_module():
    find = old_names("somewhere", {"table": slots.overview})
    with pytest.raises(AttributeError, match="module 'somewhere' has no attribute 'tables'"):
        find("tables")


# ------------------------------------------------------------------------------------ methods


def test_a_prior_that_defines_start_from_is_initialized_by_it():
    with warning_here("Mine.start_from", "initialize"):

        class Mine(priors.StandardNormal):
            def start_from(self, images: torch.Tensor) -> None:
                self.seen = images

    images = torch.rand(3, *SHAPE)
    mine = Mine(2)
    mine.initialize(images)
    assert mine.seen is images


def test_a_prior_that_defines_both_keeps_its_own_and_is_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(priors.StandardNormal):
            seen = ""

            def start_from(self, images: torch.Tensor) -> None:
                self.seen = "old"

            def initialize(self, images: torch.Tensor) -> None:
                self.seen = "new"

    both = Both(2)
    both.initialize(torch.rand(3, *SHAPE))
    assert both.seen == "new"


def test_a_vamp_prior_starts_by_its_old_name():
    vae, images = small_vae(prior=priors.VampPrior(2, 3)), torch.rand(3, *SHAPE)
    with warning_here("VampPrior.start_from", "initialize"):
        vae.prior.start_from(images)
    rows = [int((images == u).flatten(1).all(1).nonzero()) for u in vae.prior.pseudo_inputs]
    assert sorted(rows) == [0, 1, 2]


def test_a_vamp_prior_of_before_may_extend_the_start():
    with pytest.warns(FutureWarning, match=r"Extended\.start_from is now called initialize"):

        class Extended(priors.VampPrior):
            def start_from(self, images: torch.Tensor) -> None:
                super().start_from(images.flip(-1))

    vae, images = small_vae(prior=Extended(2, 3)), torch.rand(3, *SHAPE)
    with pytest.warns(FutureWarning, match="initialize"):
        vae.prior.initialize(images)
    started = {tuple(u.flatten().tolist()) for u in vae.prior.pseudo_inputs}
    assert started == {tuple(x.flatten().tolist()) for x in images.flip(-1)}


def test_the_nearest_training_images_are_found_by_their_former_names():
    from pyro_vae.analysis import samples

    with warning_here("pyro_vae.analysis.samples.nearest_neighbours", "nearest_neighbors"):
        assert samples.nearest_neighbours is samples.nearest_neighbors
    with warning_here("pyro_vae.analysis.samples.nearest", "nearest_training_images"):
        assert samples.nearest is samples.nearest_training_images
