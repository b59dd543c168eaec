"""The importance-weighted log-likelihood against closed forms, image by image."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from pyro.ops.stats import fit_generalized_pareto
from test_exact import SHAPE, D, exact_posterior, linear_likelihood, marginal
from torch import Tensor

from pyro_vae import VAE, _batching, importance, likelihoods, networks, posteriors, priors
from pyro_vae._batching import numbers_per_image
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation.importance import log_likelihood, log_weights, pareto_k, tail_length
from pyro_vae.objectives import IWAE
from pyro_vae.slots import SlotError


@pytest.fixture
def images() -> ImageData:
    return ImageData((torch.rand(23, *SHAPE) * 255).to(torch.uint8))


def linear_vae(change=lambda q: q) -> tuple[VAE, torch.distributions.Distribution]:
    likelihood = linear_likelihood()
    exact = exact_posterior(likelihood)
    vae = VAE(priors.StandardNormal(D).double(), likelihood, lambda x: change(exact(x.double())))
    return vae, marginal(likelihood)


def wide(q):
    return dist.MultivariateNormal(q.mean + 0.05, 1.5 * q.covariance_matrix)


def narrow(q):
    return dist.MultivariateNormal(q.mean + 0.3, 0.05 * q.covariance_matrix)


def test_with_the_exact_posterior_every_weight_is_the_likelihood(images):
    vae, p = linear_vae()
    x = images.as_float().double()
    log_w = log_weights(vae, x, 7)
    assert torch.allclose(log_w, p.log_prob(x.flatten(1)).expand(7, -1), atol=1e-8)
    found = log_likelihood(vae, images, samples=50)
    assert found.errors.max() < 1e-6


def test_with_another_posterior_the_estimate_converges_to_every_images_likelihood(images):
    vae, p = linear_vae(wide)
    found = log_likelihood(vae, images, samples=4000, batch_size=10)
    expected = p.log_prob(images.as_float().double().flatten(1))
    assert ((found.values - expected).abs() < 5 * found.errors).all()
    assert found.errors.max() < 0.05
    assert (found.pareto_k < 0.7).all() and found.untrusted == 0


def test_chunks_and_batches_do_not_change_what_is_estimated(images, monkeypatch):
    vae, p = linear_vae(wide)
    expected = p.log_prob(images.as_float().double().flatten(1))
    for values in (200, 5000, 10**6):
        monkeypatch.setattr(importance, "CHUNK_VALUES", values)
        found = log_likelihood(vae, images, samples=500, batch_size=7)
        assert ((found.values - expected).abs() < 6 * found.errors).all()


def test_memory_is_bounded_by_the_chunk(images, monkeypatch):
    vae, _ = linear_vae(wide)
    seen = []
    decode = vae.likelihood.forward
    monkeypatch.setattr(
        vae.likelihood, "forward", lambda z: (seen.append(z.shape[:-1].numel()), decode(z))[1]
    )
    monkeypatch.setattr(importance, "CHUNK_VALUES", 50 * 12)
    log_likelihood(vae, images, samples=1000, batch_size=10)
    assert max(seen) <= 50


def test_the_standard_error_is_the_spread_of_repeated_estimates(images):
    vae, _ = linear_vae(wide)
    one = images.select(slice(0, 1))
    found = [log_likelihood(vae, one, samples=200, seed=s) for s in range(200)]
    spread = torch.cat([f.values for f in found]).std()
    claimed = torch.cat([f.errors for f in found]).mean()
    assert 0.8 < claimed / spread < 1.25


def test_an_over_confident_posterior_is_not_trusted(images):
    vae, _ = linear_vae(narrow)
    found = log_likelihood(vae, images, samples=2000)
    assert found.pareto_k.median() > 0.7 and found.untrusted > 0.5


def test_pareto_k_of_a_known_tail():
    for k in (0.2, 0.5, 1.0):
        uniform = torch.rand(4000, 1, dtype=torch.double)
        exceedances = ((1 - uniform) ** -k - 1) / k
        log_w = (exceedances + 1).log().sort(0, descending=True).values
        with_threshold = torch.cat([log_w, torch.zeros(1, 1, dtype=torch.double)])
        assert abs(pareto_k(with_threshold).item() - k) < 0.1
        direct, _ = fit_generalized_pareto(exceedances.squeeze(1))
        assert pareto_k(with_threshold).item() == pytest.approx(float(direct), abs=1e-6)


def test_only_the_top_weights_form_the_tail():
    assert tail_length(100) == 20
    assert tail_length(5000) == 212


def test_the_bound_increases_with_k_and_stays_below(images):
    vae, p = linear_vae(wide)
    x = images.as_float().double()[:1].expand(3000, -1, -1, -1)
    exact = p.log_prob(x[0].flatten()).item()
    bounds = [-IWAE(samples=k)(vae, x).loss.item() for k in (1, 4, 16)]
    assert bounds[0] < bounds[1] < bounds[2] < exact + 0.01
    pyro.set_rng_seed(1)
    draws = log_weights(vae, x[:1], 200_000).squeeze(1)
    expected = (draws.view(-1, 4).logsumexp(1) - torch.tensor(4.0).log()).mean().item()
    assert bounds[1] == pytest.approx(expected, abs=0.03)


def test_one_weight_beside_which_others_vanish_is_never_trusted():
    log_w = torch.tensor([[0.0], [-800.0], [-801.0], [-802.0], [-803.0], [-804.0]]).double()
    assert pareto_k(log_w).item() == math.inf
    assert pareto_k(torch.zeros(6, 1).double()).isnan().all()


def test_codes_that_come_again_are_no_sign_of_over_confidence():
    torch.manual_seed(0)
    kinds = torch.linspace(-3, 0, 8).double()
    log_w = kinds[torch.randint(8, (2000, 5))].sort(0, descending=True).values
    largest = log_w[: tail_length(2000) + 1]
    assert (largest[-1] == largest[-2]).all()  # ties at the threshold
    assert not (pareto_k(largest) > 0.7).any()
    few = torch.cat([torch.full((3, 1), 1.0), torch.zeros(60, 1)]).double()
    assert pareto_k(few).isnan().all()


def test_too_few_weights_say_nothing_of_trust(images):
    vae, _ = linear_vae(wide)
    assert log_likelihood(vae, images, samples=20).untrusted is None
    assert log_likelihood(vae, images, samples=25).untrusted is not None


def test_what_a_likelihood_holds_for_each_value_counts(monkeypatch):
    images = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    decoder = networks.MLPDecoder(2, (1, 4, 4))
    likelihood = likelihoods.Categorical(decoder)
    encoder = networks.MLPEncoder((1, 4, 4))
    vae = VAE(priors.StandardNormal(2), likelihood, posteriors.DiagonalNormal(encoder, 2))
    assert numbers_per_image(vae) == 16 * 256
    conv = networks.BatchNormDecoder(2, (1, 8, 8))
    wide = VAE(vae.prior, likelihoods.Normal(conv), vae.posterior)
    wide.posterior = posteriors.DiagonalNormal(networks.BatchNormEncoder((1, 8, 8)), 2)
    before = {name: value.clone() for name, value in wide.train().state_dict().items()}
    assert numbers_per_image(wide) == 32 * 8 * 8  # of the widest layer
    assert wide.training and all(torch.equal(before[k], v) for k, v in wide.state_dict().items())
    vamp = VAE(priors.VampPrior(2, 30), wide.likelihood, wide.posterior)
    assert numbers_per_image(vamp) == 32 * 8 * 8  # not that of its 30 pseudo-inputs
    mixture = VAE(priors.MixtureOfGaussians(2, 5000), likelihood, vae.posterior)
    assert numbers_per_image(mixture) == 2 * 5000
    monkeypatch.setattr(importance, "CHUNK_VALUES", 2 * 16 * 256)
    seen = []
    likelihood.decoder.register_forward_hook(lambda *call: seen.append(call[2].numel()))
    log_likelihood(vae, ImageData(images), samples=3)
    assert max(seen) == 2 * 16 * 256


class Same(VAE):
    """A model whose program is written anew, so that it is run for each chunk."""

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        super().guide(x, beta)


@pytest.mark.parametrize("chunk", [2**23, 3000])
def test_images_are_coded_once_and_the_weights_are_those_of_the_programs(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr(importance, "CHUNK_VALUES", chunk)
    monkeypatch.setattr(_batching, "CACHED_NUMBERS", 5000)
    images = digits.test.select(slice(7))
    vae = small_vae()
    coded: list[int] = []
    vae.posterior.register_forward_hook(lambda *_: coded.append(1))
    known = log_likelihood(vae, images, samples=60)
    once = len(coded)
    run = log_likelihood(Same(vae.prior, vae.likelihood, vae.posterior), images, samples=60)
    for one, other in ((known.values, run.values), (known.errors, run.errors)):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert once < len(coded) - once or chunk == 2**23


class Drawing(posteriors.DiagonalNormal):
    """A posterior that draws whenever it codes images, as one with dropout would."""

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return super().forward(x + torch.rand(()))


def test_processes_that_take_turns_code_each_image_once_and_find_what_one_finds(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importance, "CHUNK_VALUES", 3000)
    images, plain = digits.test.select(slice(7)), small_vae()
    vae = VAE(plain.prior, plain.likelihood, Drawing(networks.MLPEncoder((1, 8, 8)), 2))
    alone = log_likelihood(vae, images, samples=60, batch_size=2)
    coded: list[int] = []
    vae.posterior.register_forward_hook(lambda _m, x, _o: coded.append(len(x[0])))
    shares: list[list[tuple[Tensor, ...]]] = []
    monkeypatch.setattr(importance, "world_size", lambda: 2)
    monkeypatch.setattr(importance, "interleaved", lambda own: shares.append(own) or own)
    for mine in range(2):
        monkeypatch.setattr(importance, "rank", lambda mine=mine: mine)
        coded.clear()
        log_likelihood(vae, images, samples=60, batch_size=2)
        assert coded[-4:] == [2, 2, 2, 1] and sum(coded) == 7 + 2  # two ask for sizes
    turns = [shares[turn % 2][turn // 2] for turn in range(4)]
    assert torch.equal(torch.cat([values for values, *_ in turns]), alone.values)


def test_a_likelihood_that_turns_nan_is_explained_at_any_chunk(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importance, "CHUNK_VALUES", 3000)
    vae, calls = small_vae(), []

    def spoiled(_module: torch.nn.Module, _z: tuple[Tensor], logits: Tensor) -> Tensor:
        calls.append(1)
        return logits * math.nan if len(calls) > 5 else logits

    vae.likelihood.decoder.register_forward_hook(spoiled)
    with pytest.raises(SlotError, match="logits"):
        log_likelihood(vae, digits.test.select(slice(7)), samples=60)
    assert len(calls) > 5
