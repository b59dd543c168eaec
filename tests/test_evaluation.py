"""What evaluation says: units, collapse, bits per dimension; and what pixels become."""

import math
import re

import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae

from pyro_vae import VAE, evaluate, likelihoods, networks, posteriors, priors
from pyro_vae.analysis import embeddings
from pyro_vae.data import ImageData
from pyro_vae.evaluation import active_units_of, bits_per_dimension, verdict
from pyro_vae.vae import mean_of


def posterior_of(variances, rate_scale=1.0):
    """A posterior whose mean varies over images by the given variances, (D,)."""
    spread = torch.tensor(variances).sqrt()

    def posterior(x):
        # The images' labels are hidden in their first pixel: +1 and -1 in equal parts.
        sign = (x[:, 0, 0, :1] > 0.5).float() * 2 - 1
        return dist.Normal(sign * spread, rate_scale).to_event(1)

    return posterior


@pytest.fixture
def halves() -> ImageData:
    images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    images[::2, 0, 0, 0] = 255
    return ImageData(images)


def test_rates_per_dimension_and_active_units(halves):
    variances = [1.0, 0.02, 0.005, 0.0]
    vae = small_vae(latent_size=4, posterior=posterior_of(variances))
    found = evaluate(vae, halves)
    # KL(N(m, 1) || N(0, 1)) = m^2 / 2, and m^2 is the variance of the means here.
    assert found.rate_per_dimension == pytest.approx([v / 2 for v in variances], abs=1e-6)
    assert found.rate == pytest.approx(sum(variances) / 2, abs=1e-5)
    assert found.active_units == 2 and found.latent_size == 4


def test_collapse_is_said_in_words(halves):
    collapsed = evaluate(small_vae(latent_size=3, posterior=posterior_of([0.0] * 3)), halves)
    assert collapsed.verdict.startswith("Collapsed") and "0 of 3" in collapsed.verdict
    healthy = evaluate(small_vae(latent_size=3, posterior=posterior_of([1.0] * 3)), halves)
    assert healthy.verdict.startswith("Not collapsed") and "3 of 3" in healthy.verdict
    assert verdict(5.0, 2, 10).startswith("Partly collapsed")


def test_where_distributions_do_not_factorize_there_are_no_rates_per_dimension(halves):
    def full(x):
        return dist.MultivariateNormal(torch.zeros(len(x), 2), torch.eye(2))

    found = evaluate(small_vae(posterior=full), halves)
    assert found.rate_per_dimension is None and found.rate == pytest.approx(0, abs=1e-5)


def test_bits_per_dimension_of_known_likelihoods(halves):
    class Mass(torch.nn.Module):
        measure = "mass"

    class Density(torch.nn.Module):
        measure = "density"

    vae = small_vae()
    # A uniform choice among 256 levels takes 8 bits a value; so does a uniform density.
    vae.likelihood = Mass()
    assert bits_per_dimension(vae, halves, 64 * math.log(256)) == pytest.approx(8)
    vae.likelihood = Density()
    assert bits_per_dimension(vae, halves.with_pixels("dequantized"), 0.0) == pytest.approx(8)
    assert bits_per_dimension(vae, halves, 0.0) is None


def test_a_bernoulli_is_a_mass_of_binary_values_and_nothing_proper_of_gray_ones(halves, digits):
    vae, one_bit = small_vae(), 64 * math.log(2)  # its likelihood is meant for gray levels
    for binary in (halves, digits.test.with_pixels("binarized")):
        assert bits_per_dimension(vae, binary, one_bit) == pytest.approx(1)
    assert bits_per_dimension(vae, digits.test, one_bit) is None


def test_the_log_likelihood_takes_fewer_bits_than_the_bound(halves):
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(16, 8))
    vae = small_vae(likelihood=likelihoods.DiscretizedLogistic(decoder))
    found = evaluate(vae, halves, samples=200)
    expected = -found.log_likelihood / (64 * math.log(2))
    assert found.log_likelihood_bits == pytest.approx(expected)
    assert found.log_likelihood_bits < found.bits_per_dimension


def test_the_bound_and_the_log_likelihood_are_shown_with_the_same_sign(halves):
    found = evaluate(small_vae(), halves, samples=20)
    shown = dict(re.findall(r"^ *(ELBO|log p\(x\)).*? +(-?[\d.]+)  nats", str(found), re.MULTILINE))
    assert shown == {"ELBO": f"{found.elbo:.2f}", "log p(x)": f"{found.log_likelihood:.2f}"}
    assert found.as_dict()["negative_log_likelihood"] == -found.log_likelihood


def test_random_numbers_are_left_as_found_whatever_the_pixels_are(digits):
    few = digits.test.select(slice(20))
    for pixels in ("gray", "binarized", "dequantized"):
        likelihood = likelihoods.Normal(networks.ConvDecoder(2, (1, 8, 8), channels=(8,)))
        vae, before = small_vae(likelihood=likelihood), torch.get_rng_state()
        evaluate(vae, few.with_pixels(pixels))
        assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="images is empty"):
        evaluate(small_vae(), few.select(slice(0, 0)))


def test_noise_alone_activates_no_unit(digits):
    class Noise(torch.nn.Module):
        def forward(self, x):
            scale = torch.ones(len(x), 40)
            spread = torch.zeros(40).index_fill(0, torch.arange(3), 1.0)
            base = dist.TransformedDistribution(
                dist.Normal(x[:, 0, 4, 4:5] * spread, scale),
                [torch.distributions.transforms.TanhTransform()],
            )
            return base.to_event(1)

    vae = small_vae(latent_size=40, posterior=Noise())
    assert mean_of(vae.encode(digits.test.as_float(slice(2)))) is None
    for n in (100, len(digits.train)):
        images = digits.train.select(slice(n))
        assert evaluate(vae, images).active_units <= 3
        assert not active_units_of(vae, images)[3:].any()
    assert evaluate(vae, digits.train).active_units == 3


def test_binarized_pixels_are_drawn_anew_and_their_mean_is_the_level():
    images = ImageData(torch.full((400, 1, 8, 8), 64, dtype=torch.uint8), pixels="binarized")
    first, second = images.as_float(), images.as_float()
    assert set(first.unique().tolist()) == {0.0, 1.0} and not torch.equal(first, second)
    error = math.sqrt(0.25 * 0.75 / first.numel())
    assert abs(first.mean().item() - 64 / 255) < 5 * error


def test_binarized_once_is_the_same_for_ever():
    images = ImageData(torch.randint(0, 256, (1500, 1, 4, 4)).to(torch.uint8))
    once = images.binarized_once(seed=3)
    assert torch.equal(once.as_float(), once.as_float())
    assert torch.equal(once.images, images.binarized_once(seed=3).images)
    assert not torch.equal(once.images, images.binarized_once(seed=4).images)
    assert set(once.as_float().unique().tolist()) == {0.0, 1.0}
    assert (once.images[images.images == 255] == 255).all()
    assert (once.images[images.images == 0] == 0).all()


def test_dequantized_pixels_fill_their_level():
    images = ImageData(torch.tensor([0, 7, 255], dtype=torch.uint8).expand(500, 1, 1, 3).clone())
    drawn = images.with_pixels("dequantized").as_float() * 256
    assert drawn.max() < 256 and drawn.min() >= 0
    assert torch.equal(drawn.floor().to(torch.uint8), images.images)
    within = (drawn - drawn.floor()).flatten()
    assert abs(within.mean().item() - 0.5) < 5 * math.sqrt(1 / 12 / 1500)


def binary(posterior: type) -> VAE:
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    return small_vae(prior=priors.Bernoulli(2), posterior=posterior(encoder, 2))


@pytest.mark.parametrize("posterior", [posteriors.Bernoulli, posteriors.StraightThroughBernoulli])
def test_binary_codes_have_a_rate_in_closed_form(halves, posterior):
    vae = binary(posterior)
    q = vae.posterior(halves.as_float())
    p = q.base_dist.probs
    by_hand = p * (2 * p).log() + (1 - p) * (2 * (1 - p)).log()
    found = evaluate(vae, halves)
    assert found.rate_per_dimension == pytest.approx(by_hand.mean(0).tolist(), abs=1e-6)
    parts = embeddings.mean_rate_per_dimension(vae, halves)
    assert parts.tolist() == pytest.approx(by_hand.mean(0).tolist(), abs=1e-6)
    # Untrained probabilities near 1/2 are the same for all images; draws of them are not.
    assert found.active_units == 0 and "Collapsed" in found.verdict


def test_draws_of_a_collapsed_posterior_are_no_active_units(digits):
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    vae = small_vae(posterior=posteriors.InverseAutoregressiveFlow(encoder, 2))
    with torch.no_grad():
        for head in (vae.posterior.mean, vae.posterior.log_scale, vae.posterior.context):
            head.weight.zero_()
    assert evaluate(vae, digits.train).active_units == 0


def brightness(x):
    """A posterior of the user's own: the brightness of both halves, without noise."""
    return dist.Delta(x.mean((1, 3)).unflatten(1, (2, -1)).mean(2)).to_event(1)


@pytest.mark.parametrize("own", [False, True])
def test_a_delta_has_no_density_to_take_a_rate_of(halves, own):
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    vae = small_vae(posterior=brightness if own else posteriors.Delta(encoder, 2))
    found = evaluate(vae, halves, samples=50)
    assert (found.elbo, found.rate, found.log_likelihood) == (None, None, None)
    assert found.distortion > 0 and "has no density" in found.verdict


def test_a_vamp_prior_in_training_is_left_as_it_was(digits):
    encoder = networks.BatchNormEncoder((1, 8, 8), channels=(8,), strides=(2,))
    vae = small_vae(
        prior=priors.VampPrior(2, 5), posterior=posteriors.DiagonalNormal(encoder, 2)
    ).train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    evaluate(vae, digits.test)
    assert vae.latent_size == 2 and embeddings.draw_prior(vae, 3).shape == (3, 2)
    embeddings.prior_log_density(vae, torch.zeros(3, 2))
    assert vae.training
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())


def test_data_off_the_support_is_refused_by_name(halves):
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(16, 8))
    vae = small_vae(likelihood=likelihoods.Bernoulli(decoder))
    gray = ImageData(halves.images // 2)
    with pytest.raises(likelihoods.SupportError, match="Bernoulli"):
        evaluate(vae, gray)
