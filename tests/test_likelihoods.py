"""Likelihoods: normalized, true to their draws, and strict about their data."""

import math

import pytest
import torch
from test_distributions import LEVELS, assert_mean
from torch import nn

from pyro_vae import likelihoods
from pyro_vae.errors import ArgumentError, ArgumentTypeError
from pyro_vae.networks import ConvDecoder, Decoder

FAMILIES = {
    "Bernoulli": likelihoods.Bernoulli,
    "Bernoulli, gray": lambda d: likelihoods.Bernoulli(d, gray_levels=True),
    "ContinuousBernoulli": likelihoods.ContinuousBernoulli,
    "Normal": lambda d: likelihoods.Normal(d, 0.3),
    "Normal, one": lambda d: likelihoods.Normal(d, 0.3, learned=True),
    "Normal, channel": lambda d: likelihoods.Normal(d, 0.3, learned="channel"),
    "Normal, value": lambda d: likelihoods.Normal(d, 0.3, learned="value"),
    "Laplace": lambda d: likelihoods.Laplace(d, 0.2, learned="channel"),
    "StudentT": lambda d: likelihoods.StudentT(d, scale=0.2, learned="value"),
    "DiscretizedLogistic": likelihoods.DiscretizedLogistic,
    "DiscretizedLogistic, fixed": lambda d: likelihoods.DiscretizedLogistic(d, learned=False),
    "DiscretizedLogisticMixture": likelihoods.DiscretizedLogisticMixture,
    "Categorical": likelihoods.Categorical,
}
BY_NAME = {name: name.split(",")[0] for name in FAMILIES}
UNIT = ("ContinuousBernoulli",)
REAL = ("Normal", "Laplace", "StudentT")
ON_LEVELS = ("DiscretizedLogistic", "DiscretizedLogisticMixture", "Categorical")


class Constant(Decoder):
    """A decoder with one linear layer, and so a bias for each value of the image."""

    def __init__(self, latent_size: int, image_shape) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.layers = nn.Linear(latent_size, image_shape[0] * image_shape[1] * image_shape[2])


def points(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Values on which a likelihood of one value is summed, and the weight of each."""
    if BY_NAME[name] in ON_LEVELS:
        return LEVELS, torch.ones(256)
    if BY_NAME[name] == "Bernoulli":
        return torch.tensor([0.0, 1.0]), torch.ones(2)
    low, high = (0.0, 1.0) if BY_NAME[name] in UNIT else (-60.0, 60.0)
    grid = torch.linspace(low, high, 200_001)
    return grid, torch.full_like(grid, (high - low) / 200_000)


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_likelihoods_sum_to_one_and_draw_what_they_say(name):
    p = FAMILIES[name](Constant(1, (1, 1, 1)))(torch.randn(1, 1))
    x, weight = points(name)
    mass = p.log_prob(x[:, None, None, None]).exp() * weight
    assert mass.sum().item() == pytest.approx(1, abs=2e-3)
    draws = p.sample((20_000,))
    assert draws.shape == (20_000, 1, 1, 1, 1)
    draws = draws.flatten()
    # Moments of a bounded function: those of a Student-t need not exist.
    assert_mean(draws.clamp(-1, 2), (mass * x.clamp(-1, 2)).sum())
    assert_mean(draws.clamp(-1, 2) ** 2, (mass * x.clamp(-1, 2) ** 2).sum())
    assert_mean((draws < 0.25).float(), (mass * (x < 0.25)).sum())
    assert p.mean.item() == pytest.approx((mass * x).sum().item(), abs=3e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_likelihoods_have_the_shapes_of_their_slot(name):
    shape = (3, 5, 6)
    likelihood = FAMILIES[name](ConvDecoder(2, shape, channels=(8, 4)))
    z = torch.randn(4, 7, 2)
    p = likelihood(z)
    assert (p.batch_shape, p.event_shape) == ((4, 7), shape)
    assert p.mean.shape == p.sample().shape == (4, 7, *shape)
    assert p.mean.min() >= 0 and p.mean.max() <= 1
    x = p.sample() if BY_NAME[name] not in REAL else torch.rand(4, 7, *shape)
    likelihood.check(x)
    assert torch.allclose(likelihood(z[1]).log_prob(x[1]), p.log_prob(x)[1], rtol=1e-4, atol=1e-3)
    p.log_prob(x).sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in likelihood.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_of_a_value_are_its_own(name):
    """No value's parameters are mixed up with another's: log p(x|z) is a sum over values."""
    shape = (2, 3, 2)
    likelihood = FAMILIES[name](Constant(1, shape))
    wiggle = torch.randn_like(likelihood.decoder.layers.bias)
    likelihood.decoder.layers.bias.data += wiggle
    z = torch.zeros(1, 1)
    x = (likelihood(z).sample() * 255).round().clamp(0, 255) / 255
    x = (x > 0.5).float() if likelihood.support == "binary" else x.clamp(1 / 255, 254 / 255)
    base = likelihood(z).base_dist
    every = base.log_prob(x)
    outputs = likelihood.decoder(z).detach().reshape(likelihood.outputs, *shape)
    for place in [(0, 0, 0), (1, 2, 1)]:
        changed = outputs.clone()
        changed[(slice(None), *place)] = 0.3
        likelihood.decoder.layers.bias.data = changed.flatten()
        likelihood.decoder.layers.weight.data.zero_()
        now = likelihood(z).base_dist.log_prob(x)
        differs = (now - every).abs() > 1e-5
        expected = torch.zeros(shape, dtype=torch.bool)
        expected[place] = True
        assert torch.equal(differs[0], expected)


MEASURES = {
    "Bernoulli": ("binary", "mass"),
    "Bernoulli, gray": ("unit", "none"),
    "ContinuousBernoulli": ("unit", "density"),
    **dict.fromkeys(["Normal", "Laplace", "StudentT"], ("unit", "density")),
    **dict.fromkeys(ON_LEVELS, ("levels", "mass")),
}


@pytest.mark.parametrize("name", MEASURES)
def test_likelihoods_declare_their_data_and_refuse_other_by_name(name):
    likelihood = FAMILIES[name](ConvDecoder(2, (1, 8, 8)))
    support, measure = MEASURES[name]
    assert (likelihood.support, likelihood.measure) == (support, measure)
    binary, level, unit, beyond = (torch.full((1, 1, 8, 8), v) for v in (1.0, 0.2, 0.2005, 1.1))
    accepted = {"binary": [binary], "levels": [binary, level], "unit": [binary, level, unit]}
    for x in (binary, level, unit, beyond, -unit, unit * torch.nan):
        if any(x is y for y in accepted[support]):
            likelihood.check(x)
        else:
            with pytest.raises(likelihoods.SupportError, match=type(likelihood).__name__):
                likelihood.check(x)


def test_every_level_of_real_data_is_a_level(digits):
    likelihoods.Categorical(ConvDecoder(2, (1, 8, 8))).check(digits.train.as_float())
    every = torch.arange(256, dtype=torch.uint8).float() / 255
    likelihoods.Categorical(ConvDecoder(2, (1, 8, 8))).check(every.reshape(1, 1, 16, 16))
    with pytest.raises(likelihoods.SupportError, match="not dequantized"):
        likelihoods.DiscretizedLogistic(ConvDecoder(2, (1, 8, 8))).check(every + 0.3 / 255)


def test_one_learned_scale_one_per_channel_and_one_per_value():
    def make(learned):
        return likelihoods.Normal(ConvDecoder(2, (3, 8, 8)), 0.3, learned=learned)

    assert make(False).scale.shape == make(True).scale.shape == ()
    assert make("channel").scale.shape == (3, 1, 1)
    z, x = torch.randn(5, 2), torch.rand(5, 3, 8, 8)
    for learned in (True, "channel"):
        likelihood = make(learned)
        assert torch.allclose(likelihood.scale, torch.tensor(0.3))
        likelihood(z).log_prob(x).sum().backward()
        assert (likelihood.log_scale.grad != 0).all()
    scales = make("value")(z).base_dist.scale
    assert scales.shape == (5, 3, 8, 8) and len(scales.unique()) > 900
    assert 0.1 < scales.median() < 0.9
    assert "log_scale" not in dict(make(False).named_parameters())


@pytest.mark.parametrize("name", ["Normal, one", "Normal, value", "StudentT", "Laplace"])
def test_scales_that_collapse_stay_above_zero(name):
    likelihood = FAMILIES[name](Constant(1, (2, 2, 2)))
    for outputs in (-1e5, 1e5):
        if isinstance(likelihood.log_scale, nn.Parameter):
            likelihood.log_scale.data.fill_(min(outputs, 10))
        likelihood.decoder.layers.bias.data.fill_(outputs)
        p = likelihood(torch.zeros(1, 1))
        log_prob = p.log_prob(torch.full((1, 2, 2, 2), 0.5))
        assert torch.isfinite(log_prob).all() and torch.isfinite(p.mean).all()


@pytest.mark.parametrize("name", ON_LEVELS)
@pytest.mark.parametrize("outputs", [-1e4, 1e4])
def test_absurd_outputs_keep_the_mass_of_levels_finite(name, outputs):
    likelihood = FAMILIES[name](Constant(1, (1, 2, 2)))
    likelihood.decoder.layers.bias.data.fill_(outputs)
    p = likelihood(torch.zeros(1, 1))
    log_prob = p.log_prob(torch.tensor([0, 3, 99, 255]).reshape(1, 1, 2, 2) / 255)
    assert torch.isfinite(log_prob).all() and torch.isfinite(p.mean).all()
    log_prob.sum().backward()
    assert torch.isfinite(likelihood.decoder.layers.bias.grad).all()


class YourDecoder(nn.Module):
    """A decoder from outside this library that returns a given number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Linear(2, channels * 4)

    def forward(self, z):
        return self.layers(z).reshape(*z.shape[:-1], self.channels, 2, 2)


@torch.no_grad()
@pytest.mark.parametrize("family", [likelihoods.Normal, likelihoods.Laplace, likelihoods.StudentT])
def test_a_decoder_of_standardized_images_is_the_same_model_in_other_units(family):
    decoder, z, x = Constant(2, (1, 2, 2)), torch.randn(5, 2), torch.rand(5, 1, 2, 2)
    ours = family(decoder, scale=0.3, sigmoid=False, standardized=(0.5, 0.25))(z)
    theirs = family(decoder, scale=0.3 / 0.25, sigmoid=False)(z)
    assert torch.allclose(ours.mean, 0.5 + 0.25 * theirs.mean)
    density = theirs.log_prob((x - 0.5) / 0.25) - 4 * math.log(0.25)
    assert torch.allclose(ours.log_prob(x), density, atol=1e-5)


def test_your_own_decoder_must_return_every_parameter():
    z = torch.randn(5, 2)
    assert likelihoods.Normal(YourDecoder(3))(z).event_shape == (3, 2, 2)
    assert likelihoods.Normal(YourDecoder(6), learned="value")(z).event_shape == (3, 2, 2)
    mixture = likelihoods.DiscretizedLogisticMixture(YourDecoder(24), components=4)
    assert mixture(z).event_shape == (2, 2, 2)
    with pytest.raises(
        ArgumentTypeError, match=r"256 parameters.* 256 \* C channels.*\(5, 3, 2, 2\)"
    ):
        likelihoods.Categorical(YourDecoder(3))(z)
    with pytest.raises(ArgumentTypeError, match="YourDecoder does not say how many channels"):
        likelihoods.Normal(YourDecoder(3), learned="channel")


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda d: likelihoods.Normal(d, 0.0),
            "Normal: scale must be a number above 0.0001, got 0",
        ),
        (
            lambda d: likelihoods.Laplace(d, -1.0),
            "Laplace: scale must be a number above 0.0001, got -1",
        ),
        (
            lambda d: likelihoods.StudentT(d, standardized=(0.5, 0.25)),
            r"StudentT: standardized needs sigmoid=False, got standardized=\(0.5, 0.25\)",
        ),
        (
            lambda d: likelihoods.Normal(d, sigmoid=False, standardized=(0.5, 0.0)),
            r"standardized must be a sequence of 2: a number; a number above 0, got \(0.5, 0.0\)",
        ),
        (
            lambda d: likelihoods.StudentT(d, 1.0),
            "StudentT: degrees must be a number above 1, got 1",
        ),
        (
            lambda d: likelihoods.Normal(d, learned="pixel"),
            "true or false, or one of channel, value, got 'pixel'",
        ),
    ],
)
def test_senseless_settings_are_refused_by_name(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(ConvDecoder(2, (1, 8, 8)))


def test_a_mixture_starts_with_its_components_over_the_whole_range():
    p = likelihoods.DiscretizedLogisticMixture(ConvDecoder(2, (1, 8, 8)))(torch.randn(3, 2))
    loc = p.base_dist.component_distribution.loc
    assert loc.min() < 0.3 and loc.max() > 0.7
    levels = p.base_dist.log_prob(LEVELS[:, None, None, None, None])
    assert levels.min() > -12  # no gray value is hopeless at the start
