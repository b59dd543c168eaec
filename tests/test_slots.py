"""The slots: any prior with any likelihood and posterior, and clear errors where they misfit."""

import copy
import math
import warnings
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae

from pyro_vae import (
    VAE,
    annealing,
    checkpoints,
    evaluate,
    fit,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    schedules,
)
from pyro_vae._modes import seeded
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError, ArgumentTypeError
from pyro_vae.priors import Prior
from pyro_vae.slots import ScoreFunctionWarning, SlotError, check_slots, overview

SHAPE, D = (1, 8, 8), 3

# ------------------------------------------------------------------------------- the matrix

PRIORS = {
    "real": {
        "StandardNormal": priors.StandardNormal,
        "Normal": partial(priors.Normal, learned=True),
        "Laplace": partial(priors.Laplace, learned=True),
        "MixtureOfGaussians": partial(priors.MixtureOfGaussians, components=5),
        "VampPrior": partial(priors.VampPrior, components=5),
        "NormalizingFlow": partial(priors.NormalizingFlow, transforms=1, hidden=16),
    },
    "sphere": {
        "HypersphereUniform": priors.HypersphereUniform,
        "VampPrior": partial(priors.VampPrior, components=5),
    },
    "binary": {
        "Bernoulli": priors.Bernoulli,
        "VampPrior": partial(priors.VampPrior, components=5),
    },
    "point": {"Flat": priors.Flat},
}
POSTERIORS = {
    "real": {
        "DiagonalNormal": posteriors.DiagonalNormal,
        "FullNormal": posteriors.FullNormal,
        "Laplace": posteriors.Laplace,
        "InverseAutoregressiveFlow": partial(
            posteriors.InverseAutoregressiveFlow, transforms=1, hidden=16, context=4
        ),
        "PlanarFlow": partial(posteriors.PlanarFlow, transforms=2),
    },
    "sphere": {"PowerSpherical": posteriors.PowerSpherical},
    "binary": {
        "StraightThroughBernoulli": posteriors.StraightThroughBernoulli,
        "Bernoulli": posteriors.Bernoulli,
    },
    "point": {"Delta": posteriors.Delta},
}
LIKELIHOODS = {
    "Bernoulli": likelihoods.Bernoulli,
    "ContinuousBernoulli": likelihoods.ContinuousBernoulli,
    "Normal": partial(likelihoods.Normal, learned="channel"),
    "Laplace": partial(likelihoods.Laplace, learned="value"),
    "StudentT": partial(likelihoods.StudentT, learned=True),
    "DiscretizedLogistic": likelihoods.DiscretizedLogistic,
    "DiscretizedLogisticMixture": partial(likelihoods.DiscretizedLogisticMixture, components=3),
    "Categorical": likelihoods.Categorical,
}
GRAY = "ContinuousBernoulli"


def combinations() -> list:
    """Every prior x every likelihood, and every posterior x every prior of its support.

    The quick ones hold every class at least once.
    """
    found, quick = {}, set()
    for support, of_prior in PRIORS.items():
        first = next(iter(POSTERIORS[support]))
        for prior in of_prior:
            for likelihood in LIKELIHOODS:
                found[support, prior, first, likelihood] = None
            for posterior in POSTERIORS[support]:
                found[support, prior, posterior, GRAY] = None
                if posterior == first or prior in ("StandardNormal", "Bernoulli"):
                    quick.add((support, prior, posterior, GRAY))
    quick |= {("real", "StandardNormal", "DiagonalNormal", name) for name in LIKELIHOODS}
    return [
        pytest.param(*key, id="-".join(key[1:]), marks=() if key in quick else pytest.mark.slow)
        for key in found
    ]


def build(support: str, prior: str, posterior: str, likelihood: str) -> VAE:
    encoder = networks.ConvEncoder(SHAPE, channels=(4, 8))
    decoder = networks.ConvDecoder(D, SHAPE, channels=(8, 4))
    return VAE(
        PRIORS[support][prior](D),
        LIKELIHOODS[likelihood](decoder),
        POSTERIORS[support][posterior](encoder, D),
    )


@pytest.fixture(scope="module")
def images(digits) -> ImageData:
    return digits.train.select(slice(0, 320))


@pytest.mark.parametrize("support, prior, posterior, likelihood", combinations())
def test_every_combination_trains_and_is_judged(
    support, prior, posterior, likelihood, images, tmp_path
):
    """50 steps on real digits: the loss falls, nothing is NaN, and a checkpoint has it all."""
    vae = build(support, prior, posterior, likelihood)
    if likelihood == "Bernoulli":
        images = images.binarized_once()
    start = images.as_float(slice(0, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScoreFunctionWarning)
        check_slots(vae, start)
        history = fit(vae, images, epochs=5, batch_size=32, learning_rate=1e-2, progress=False)
    losses = [record["train_loss"] for record in history]
    assert all(math.isfinite(loss) for loss in losses) and losses[-1] < losses[0] - 1
    assert all(torch.isfinite(weights).all() for weights in vae.parameters())
    assert all(any(p.grad is not None for p in part.parameters()) for part in trained(vae))

    reached = evaluate(vae, images)
    assert math.isfinite(reached.distortion)
    if support == "point":
        assert reached.elbo is None
    else:
        assert -reached.elbo == pytest.approx(reached.distortion + reached.rate, rel=1e-4)
        assert vae.sample(4).shape == (4, *SHAPE) and vae.sample(4).min() >= 0
    assert torch.isfinite(vae.reconstruct(start)).all()

    checkpoints.save(vae, tmp_path / "vae.pt")
    for other in (checkpoints.load(tmp_path / "vae.pt"), copy.deepcopy(vae)):
        assert evaluate(other, images) == reached
        with seeded(1, vae.device):
            expected = vae.reconstruct(start)
        with seeded(1, vae.device):
            assert torch.equal(other.reconstruct(start), expected)


def trained(vae: VAE) -> list:
    """The slots that have parameters."""
    parts = (vae.prior, vae.likelihood, vae.posterior)
    return [part for part in parts if list(part.parameters())]


def test_the_quick_combinations_hold_every_class():
    quick = [c.values for c in combinations() if not c.marks]
    for place, slot in ((1, PRIORS), (2, POSTERIORS)):
        every = {name for names in slot.values() for name in names}
        assert {values[place] for values in quick} == every
    assert {values[3] for values in quick} == set(LIKELIHOODS)
    known = {
        "prior": {name for names in PRIORS.values() for name in names},
        "posterior": {name for names in POSTERIORS.values() for name in names},
        "likelihood": set(LIKELIHOODS),
    }
    for slot, names in known.items():
        assert {row.name for row in overview() if row.slot == slot} == names


# ------------------------------------------------------------------------------- what fits


def normal(x, batch=(), size=2):
    return dist.Normal(torch.zeros(*batch, size), 1.0).to_event(1)


def pixels(z, shape=SHAPE, event=3):
    return dist.Normal(torch.zeros(*z.shape[:-1], *shape), 1.0).to_event(event)


GOOD = {
    "prior": lambda: normal(None),
    "posterior": lambda x: normal(x, (len(x),)),
    "likelihood": pixels,
}


def test_plain_functions_that_fit_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_slots(VAE(**GOOD), torch.rand(5, *SHAPE))


MISFITS = {
    "no distribution": (
        {"posterior": lambda x: x.flatten(1)},
        r"posterior does not fit.*batch shape \(5,\), event shape \(2,\).*Tensor of shape \(5, 64",
    ),
    "nothing": ({"prior": lambda: None}, r"prior does not fit: prior\(\).*returned .*NoneType"),
    "torch's": (
        {"prior": lambda: torch.distributions.Normal(torch.zeros(2), 1.0)},
        r"prior does not fit.*returned Normal of.*It is torch's.*pyro\.distributions",
    ),
    "prior without event": (
        {"prior": lambda: dist.Normal(torch.zeros(2), 1.0)},
        r"prior does not fit.*batch shape \(\), event shape \(D,\).*"
        r"Normal of batch shape \(2,\), event shape \(\)\. Is \.to_event\(1\) missing",
    ),
    "prior with a batch": ({"prior": lambda: normal(None, (3,))}, r"prior.*batch shape \(3,\)"),
    "posterior of another size": (
        {"posterior": lambda x: normal(x, (len(x),), 3)},
        r"posterior.*batch shape \(5,\), event shape \(2,\), but returned Normal of .*shape \(3,\)",
    ),
    "posterior for one image": ({"posterior": normal}, r"posterior.*returned Normal of.*\(\), eve"),
    "likelihood without events": (
        {"likelihood": partial(pixels, event=0)},
        r"likelihood.*z with shape \(5, 2\).*event shape \(1, 8, 8\).*\.to_event\(3\) missing",
    ),
    "likelihood of other images": (
        {"likelihood": partial(pixels, shape=(1, 7, 8))},
        r"likelihood.*event shape \(1, 8, 8\), but returned Normal .*event shape \(1, 7, 8\)",
    ),
    "likelihood without particles": (
        {"likelihood": lambda z: pixels(z.flatten(0, -2))},
        r"likelihood.*z with shape \(2, 5, 2\).*batch shape \(2, 5\)",
    ),
    "another support": (
        {"prior": priors.HypersphereUniform(2)},
        r"posterior and the prior do not fit.*Normal.*outside the support.*HypersphereUniform",
    ),
    "codes for a density": (
        {"prior": priors.Bernoulli(2)},
        r"posterior and the prior do not fit.*Normal.*outside the support.*Bernoulli",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_are_named_with_what_was_returned_and_what_was_expected(name):
    slots, message = MISFITS[name]
    vae = VAE(**{**GOOD, **slots})
    with pytest.raises(SlotError, match=message):
        check_slots(vae, torch.rand(5, *SHAPE))


def test_a_score_function_posterior_is_announced():
    encoder = networks.ConvEncoder(SHAPE, channels=(4,))
    slots = {"prior": priors.Bernoulli(2), "posterior": posteriors.Bernoulli(encoder, 2)}
    with pytest.warns(ScoreFunctionWarning, match="Bernoulli, is not reparameterized.*high var"):
        check_slots(small_vae(**slots), torch.rand(5, *SHAPE))


def test_an_error_of_a_slots_own_is_reported_in_full():
    class Picky(dist.Normal):
        def log_prob(self, value):
            raise ValueError("only on Sundays")

    def likelihood(z):
        return Picky(torch.zeros(*z.shape[:-1], *SHAPE), 1.0).to_event(3)

    with pytest.raises(SlotError, match="likelihood, Picky .*these images: only on Sundays"):
        check_slots(VAE(**{**GOOD, "likelihood": likelihood}), torch.rand(5, *SHAPE))


def test_checking_changes_nothing():
    vae = small_vae().train()
    before = torch.get_rng_state()
    check_slots(vae, torch.rand(5, *SHAPE, generator=torch.Generator()))
    assert torch.equal(before, torch.get_rng_state()) and vae.training


# ------------------------------------------------------------------------------- the table


def test_the_table_has_every_class_with_its_equation_and_source():
    rows = overview()
    assert len({(row.slot, row.name) for row in rows}) == len(rows) == 26
    for row in rows:
        assert row.equation and "`" not in row.equation and len(row.summary) > 3
        assert "math" not in row.summary
        assert any(year in row.source for year in map(str, range(2006, 2026))), row
        assert "(" in row.source and not row.source.endswith(".")


def test_every_class_of_the_table_needs_only_what_recipes_give_it():
    encoder, decoder = networks.ConvEncoder(SHAPE), networks.ConvDecoder(2, SHAPE)
    given = {"prior": (2,), "posterior": (encoder, 2), "likelihood": (decoder,)}
    modules = {"prior": priors, "posterior": posteriors, "likelihood": likelihoods}
    for row in overview():
        made = getattr(modules[row.slot], row.name)(*given[row.slot])
        assert isinstance(made, torch.nn.Module)
    assert issubclass(priors.Flat, Prior)


def test_parameters_that_the_model_does_not_hold_are_refused():
    outside = torch.nn.Linear(2, 64)

    def likelihood(z):
        return dist.Normal(outside(z).unflatten(-1, SHAPE), 1.0).to_event(3)

    vae = VAE(**{**GOOD, "likelihood": likelihood})
    message = (
        r"likelihood uses 2 parameters that are not registered in the model.*\(64, 2\).*nn.Module"
    )
    with pytest.raises(SlotError, match=message):
        check_slots(vae, torch.rand(5, *SHAPE))
    outside.requires_grad_(False)
    check_slots(vae, torch.rand(5, *SHAPE))


def test_a_likelihood_that_cannot_score_the_images_is_named():
    def likelihood(z):
        return dist.Bernoulli(logits=torch.zeros(*z.shape[:-1], *SHAPE)).to_event(3)

    vae = VAE(**{**GOOD, "likelihood": likelihood})
    message = "likelihood, Bernoulli .*cannot score these images: they lie outside its support"
    with pytest.raises(SlotError, match=message):
        check_slots(vae, torch.rand(5, *SHAPE))
    check_slots(vae, torch.rand(5, *SHAPE).round())


def test_a_likelihood_under_which_the_images_cannot_occur_is_refused():
    def likelihood(z):
        return dist.Beta(torch.full((*z.shape[:-1], *SHAPE), 2.0), 2.0).to_event(3)

    vae = VAE(**{**GOOD, "likelihood": likelihood})
    with pyro.validation_enabled(False), pytest.raises(SlotError, match="cannot occur.*dequant"):
        check_slots(vae, torch.rand(5, *SHAPE).round())
    check_slots(vae, 0.1 + 0.8 * torch.rand(5, *SHAPE))


class Folding(torch.nn.Module):
    """A decoder that takes latent vectors (N, D) alone, as many programs write it."""

    def __init__(self, outputs: int = 1, fold: bool = True) -> None:
        super().__init__()
        self.layers, self.outputs = torch.nn.Linear(2, 64 * outputs), outputs
        self.unflatten, self.fold = torch.nn.Unflatten(1, (outputs, 8, 8)), fold

    def forward(self, z):
        x = self.layers(z)
        return x.view(-1, self.outputs, 8, 8) if self.fold else self.unflatten(x)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_network_without_leading_dimensions_is_a_decoder_of_any_likelihood(name, fold, images):
    make, few = LIKELIHOODS[name], images.select(slice(0, 24))
    if name == "Bernoulli":
        few = few.binarized_once()
    if name == "Normal":
        make = likelihoods.Normal
    outputs = make(networks.MLPDecoder(2, SHAPE)).outputs
    likelihood = make(Folding(outputs, fold))
    vae = small_vae(likelihood=likelihood)
    check_slots(vae, few.as_float())
    fit(vae, few, epochs=1, objective=objectives.IWAE(samples=3), progress=False)
    assert math.isfinite(evaluate(vae, few, samples=3).log_likelihood)
    z = torch.randn(2, 3, 4, 2)
    unfolded, folded = likelihood(z), likelihood(z.flatten(0, 2))
    assert unfolded.batch_shape == (2, 3, 4)
    torch.testing.assert_close(vae.images(z).flatten(0, 2), vae.images(z.flatten(0, 2)))
    assert folded.batch_shape == (24,)


@pytest.mark.parametrize("fold", [True, False])
def test_a_likelihood_of_ones_own_is_told_how_to_fold_and_unfold(fold):
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = Folding(fold=fold)

        def forward(self, z):
            return dist.Normal(self.network(z), 1.0).to_event(3)

    class AsTold(Own):
        def forward(self, z):
            network = self.network
            x = network(z.reshape(-1, z.shape[-1]))
            x = x.reshape(*z.shape[:-1], *x.shape[-3:])
            return dist.Normal(x, 1.0).to_event(3)

    with pytest.raises(SlotError) as refused:
        check_slots(small_vae(likelihood=Own()), torch.rand(5, *SHAPE))
    assert "shape (2, 5, 2)" in str(refused.value)
    assert "x = network(z.reshape(-1, z.shape[-1]))" in str(refused.value)
    assert "x = x.reshape(*z.shape[:-1], *x.shape[-3:])" in str(refused.value)
    check_slots(small_vae(likelihood=AsTold()), torch.rand(5, *SHAPE))


def test_a_slot_that_fails_is_named_with_its_input():
    encoder = networks.MLPEncoder(SHAPE)
    vae = small_vae(prior=priors.StandardNormal(3), posterior=posteriors.DiagonalNormal(encoder, 3))
    with pytest.raises(SlotError, match=r"Bernoulli, fails at an input of shape \(5, 3\)"):
        check_slots(vae, torch.rand(5, *SHAPE))


ENCODER, DECODER = networks.MLPEncoder(SHAPE), networks.MLPDecoder(2, SHAPE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: objectives.ELBO(particles=0),
            "ELBO: particles must be a whole number, 1 or more, got 0",
        ),
        (lambda: schedules.Plateau(factor=2), "factor must be a number above 0 and below 1, got 2"),
        (
            lambda: schedules.Plateau(least_gain=-1.0),
            "Plateau: least_gain must be a number, 0 or more, or None, got -1.0",
        ),
        (
            lambda: schedules.Plateau(patience=-1),
            "Plateau: patience must be a whole number, 0 or more, got -1",
        ),
        (
            lambda: objectives.FreeBits(nats=-1),
            "FreeBits: nats must be a number, 0 or more, got -1",
        ),
        (
            lambda: objectives.Capacity(nats=-1.0),
            "Capacity: nats must be a number, 0 or more, got -1.0",
        ),
        (
            lambda: objectives.IWAE(samples=0),
            "IWAE: samples must be a whole number, 1 or more, got 0",
        ),
        (
            lambda: objectives.IWAE(elbo_weight=1.5),
            "elbo_weight must be a number, 0 or more and at most 1, got 1.5",
        ),
        (lambda: annealing.Cyclical(cycles=0), "cycles must be a whole number, 1 or more, got 0"),
        (
            lambda: annealing.Cyclical(rise=0.0),
            "rise must be a number above 0 and at most 1, got 0.0",
        ),
        (
            lambda: schedules.OneCycle(warm_up=1.0),
            "warm_up must be a number, 0 or more and below 1, got 1.0",
        ),
        (
            lambda: schedules.Plateau(stop_below=-0.1),
            "stop_below must be a number, 0 or more, got -0.1",
        ),
        (
            lambda: objectives.Capacity(rise=0),
            "Capacity: rise must be a number above 0 and at most 1, got 0",
        ),
        (
            lambda: posteriors.DiagonalNormal(ENCODER, 2, spread="log_std"),
            "spread must be one of log_variance, log_scale, got 'log_std'",
        ),
        (
            lambda: priors.VampPrior(2, components=0),
            "VampPrior: components must be a whole number, 1 or more",
        ),
        (
            lambda: priors.MixtureOfGaussians(2, 0),
            "MixtureOfGaussians: components must be a whole number, 1 or",
        ),
        (
            lambda: priors.NormalizingFlow(2, family="nsf"),
            "family must be one of spline, affine, got 'nsf'",
        ),
        (lambda: priors.NormalizingFlow(2, passes=1), "passes must be at least 2, got 1"),
        (
            lambda: priors.NormalizingFlow(1, passes=0),
            "passes must be a whole number, 1 or more, or None, got 0",
        ),
        (
            lambda: likelihoods.DiscretizedLogisticMixture(DECODER, 0),
            "components must be a whole number",
        ),
    ],
)
def test_settings_out_of_their_range_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: objectives.ELBO(particles=1),
        lambda: objectives.FreeBits(nats=0.0),
        lambda: objectives.Capacity(nats=0.0, rise=1.0),
        lambda: objectives.IWAE(samples=1, repeats=1, elbo_weight=1.0),
        lambda: annealing.Linear(warm_up=1.0),
        lambda: annealing.Cyclical(cycles=1, rise=1.0),
        lambda: schedules.OneCycle(warm_up=0.0),
        lambda: schedules.Plateau(patience=0, stop_below=0.0, least_gain=0.0),
        lambda: priors.VampPrior(2, components=1),
        lambda: priors.MixtureOfGaussians(2, components=1),
        lambda: priors.NormalizingFlow(2, passes=2),
        lambda: priors.NormalizingFlow(1, passes=1),
        lambda: priors.HypersphereUniform(2),
        lambda: posteriors.PowerSpherical(ENCODER, 2),
        lambda: likelihoods.DiscretizedLogisticMixture(DECODER, components=1),
    ],
)
def test_settings_at_the_edge_of_their_range_are_accepted(make):
    make()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "beta must be a number, 0 or more, got -1.0"),
        (
            {"batch_size": 0},
            "batch_size must be a whole number, 1 or more and at most 1,000,000, got 0",
        ),
        ({"keep": "bst"}, "keep must be one of best, last, got 'bst'"),
    ],
)
def test_a_training_refuses_settings_out_of_their_range(digits, settings, message):
    with pytest.raises(ArgumentError, match=message):
        fit(small_vae(), digits.train, **{"epochs": 1, "progress": False} | settings)
    with pytest.raises(ArgumentTypeError, match="images must be ImageData.*got Dataset"):
        fit(small_vae(), digits)


def test_sizes_from_numpy_are_saved(tmp_path):
    vae = small_vae(prior=priors.StandardNormal(np.int64(2)))
    checkpoints.save(vae, tmp_path / "vae.pt")
    assert checkpoints.load(tmp_path / "vae.pt").latent_size == 2
