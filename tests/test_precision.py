"""The precision of the networks: what computes in it, what does not, and what is left behind."""

import statistics
from copy import deepcopy

import pytest
import torch
from conftest import small_vae
from torch import Tensor, nn

from pyro_vae import fit, likelihoods, networks, priors
from pyro_vae.data import Dataset
from pyro_vae.training import Stopped
from pyro_vae.training.precision import in_precision
from pyro_vae.vae import VAE, networks_of

pytestmark = pytest.mark.filterwarnings("ignore:This processor has no bfloat16")


def levels_vae() -> VAE:
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(8, 4))
    return small_vae(likelihood=likelihoods.DiscretizedLogistic(decoder))


def test_the_networks_compute_in_it_and_the_distributions_do_not():
    vae, seen = levels_vae(), []
    for network in networks_of(vae):
        network.layers[0].register_forward_hook(lambda *given: seen.append(given[-1].dtype))
    x = (torch.arange(256) / 255).view(4, 1, 8, 8)
    with in_precision(vae, "bfloat16"):
        q = vae.posterior(x)
        z = q.mean
        p = vae.likelihood(z)
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert z.dtype == q.variance.dtype == p.log_prob(x).dtype == torch.float32
    assert not torch.equal(vae.posterior(x).mean, z)  # It made a difference,
    torch.testing.assert_close(vae.posterior(x).mean, z, rtol=0.05, atol=0.02)  # of its size.


class Two(nn.Module):
    """An encoder that returns two tensors, and is called by the name of its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 2), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self.first(x.flatten(1)), self.second(x.flatten(1))
        return first, {"second": second, "larger": first > second}


def test_every_output_is_cast_back_however_a_network_is_called():
    vae = levels_vae()
    vae.posterior.encoder = Two()
    with in_precision(vae, "bfloat16"):
        first, more = vae.posterior.encoder(x=torch.rand(3, 1, 8, 8))
    assert first.dtype == more["second"].dtype == torch.float32
    assert more["larger"].dtype == torch.bool
    assert torch.equal(first, first.bfloat16().float())  # They were computed in it.


def test_tf32_is_asked_for_within_the_block_alone():
    before = torch.get_float32_matmul_precision()
    with in_precision(levels_vae(), "tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


def test_double_precision_is_left_alone():
    vae, x = levels_vae().double(), (torch.arange(256) / 255).double().view(4, 1, 8, 8)
    exact = vae.posterior(x).mean
    with in_precision(vae, "bfloat16"):
        assert torch.equal(vae.posterior(x).mean, exact) and exact.dtype == torch.float64


def test_log_probabilities_of_bfloat16_parameters_would_be_off():
    vae, x = levels_vae(), (torch.arange(256) / 255).view(4, 1, 8, 8)
    z = torch.zeros(4, 2)
    exact = vae.likelihood(z).log_prob(x)
    with in_precision(vae, "bfloat16"):
        close = vae.likelihood(z).log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        loc, log_scale = vae.likelihood.decoded(z)
    assert loc.dtype == torch.bfloat16
    rough = likelihoods.distributions.DiscretizedLogistic(
        loc.sigmoid(), 0.1 * log_scale.exp()
    ).to_event(3)
    assert (close - exact).abs().max() < 1
    assert (rough.log_prob(x).float() - exact).abs().max() > 2 * (close - exact).abs().max()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_nothing_of_it_is_left_behind(precision, digits: Dataset):
    vae, before = levels_vae(), torch.get_float32_matmul_precision()

    def stop(vae: VAE, record) -> None:
        if len(stopped):
            raise Stopped(2)
        stopped.append(True)

    stopped: list[bool] = []
    few = digits.train.select(slice(32))
    fit(vae, few, epochs=1, precision=precision, progress=False)
    with pytest.raises(Stopped):
        fit(vae, few, epochs=3, precision=precision, callbacks=[stop], progress=False)
    assert not any("forward" in vars(network) for network in networks_of(vae))
    assert torch.get_float32_matmul_precision() == before
    assert all(p.dtype == torch.float32 for p in vae.parameters())


def test_a_network_that_fails_leaves_no_autocast_behind():
    vae = small_vae()
    with in_precision(vae, "bfloat16"), pytest.raises(RuntimeError):
        vae.posterior(torch.zeros(2, 3, 8, 8))
    assert not torch.is_autocast_enabled("cpu")


def test_a_copy_of_a_network_computes_with_its_own_weights():
    vae, x = small_vae(), torch.rand(2, 1, 8, 8)
    with in_precision(vae, "bfloat16"):
        copy, before = deepcopy(vae), vae.posterior(x).mean
        for weights in copy.parameters():
            torch.nn.init.zeros_(weights)
        assert torch.equal(copy.posterior(x).mean, torch.zeros(2, 2))
        assert torch.equal(vae.posterior(x).mean, before) and before.any()


def test_what_a_network_computes_itself_is_kept():
    vae, x = small_vae(), torch.rand(2, 1, 8, 8)
    encoder = vae.posterior.encoder
    encoder.forward = forward = lambda x: type(encoder).forward(encoder, 0 * x)
    with in_precision(vae, "bfloat16"):
        found = vae.posterior(x).mean
        assert torch.equal(found, vae.posterior(0 * x).mean)
    assert encoder.forward is forward


def test_a_network_is_one_graph_in_it():
    vae, x = small_vae(), torch.rand(2, 1, 8, 8)
    with in_precision(vae, "bfloat16"):
        exact = vae.posterior(x).mean
        vae.posterior.encoder.compile(backend="eager", fullgraph=True)
        torch.testing.assert_close(vae.posterior(x).mean, exact)


def test_a_network_that_two_slots_share_is_cast_once():
    vae = small_vae(prior=priors.VampPrior(2, components=3))
    with in_precision(vae, "bfloat16"):
        assert vae.prior().log_prob(torch.zeros(5, 2)).dtype == torch.float32
    assert len(networks_of(vae)) == 2


@pytest.mark.slow
def test_the_validation_loss_is_the_same_within_the_noise_of_seeds(digits: Dataset):
    train, validation = digits.split(200)
    reached: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for precision, losses in reached.items():
        for seed in range(3):
            torch.manual_seed(seed)
            settings = {"epochs": 15, "learning_rate": 3e-3, "precision": precision}
            history = fit(levels_vae(), train, validation=validation, progress=False, **settings)
            losses.append(min(record["validation_loss"] for record in history))
    spread = statistics.stdev(reached["float32"])
    means = [statistics.mean(losses) for losses in reached.values()]
    assert abs(means[0] - means[1]) < max(2 * spread, 0.5)
