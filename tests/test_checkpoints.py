"""Saved models come back without the code that made them, and without running any code."""

import pickle

import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae

from pyro_vae import VAE, checkpoints, likelihoods, networks, posteriors, priors
from pyro_vae.checkpoints import CheckpointError
from pyro_vae.configuration import parse
from pyro_vae.module import Module, build, describe


def test_a_model_comes_back_with_its_weights_and_settings(tmp_path):
    vae = small_vae(
        likelihood=likelihoods.Normal(
            networks.ConvDecoder(2, (1, 8, 8)), scale=0.3, learned=True, sigmoid=False
        )
    ).eval()
    checkpoints.save(vae, tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt")
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(vae.reconstruct(x), other.reconstruct(x))
    assert torch.equal(vae.encode(x).variance, other.encode(x).variance)
    assert other.likelihood.scale == vae.likelihood.scale
    assert other.likelihood.sigmoid is False


def test_a_model_of_the_command_line_comes_back(tmp_path):
    """Its numbers are of the parser's own types, which a checkpoint must not name."""
    vae = parse(["--latent-size", "5"]).recipe.build((1, 8, 8))
    checkpoints.save(vae, tmp_path / "vae.pt")
    assert checkpoints.load(tmp_path / "vae.pt").latent_size == 5


def test_what_was_shared_is_shared_again():
    class Pair(Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

    Pair.__module__ = "pyro_vae.networks"
    networks.Pair, Pair.__qualname__ = Pair, "Pair"
    try:
        encoder = networks.ConvEncoder((1, 8, 8))
        pair = build(describe(Pair(encoder, posteriors.DiagonalNormal(encoder, 2))))
        assert pair.first is pair.second.encoder
    finally:
        del networks.Pair


def test_your_own_slot_is_asked_for_by_name(tmp_path):
    def my_prior():
        return dist.Normal(torch.zeros(2), 2.0).to_event(1)

    vae = small_vae(prior=my_prior)
    checkpoints.save(vae, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match=r"prior was made with .*my_prior.*prior=\.\.\."):
        checkpoints.load(tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt", prior=my_prior)
    assert other.prior().variance[0] == 4


def test_your_own_network_within_a_slot_is_asked_for_by_its_slot(tmp_path):
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    encoder.features = 10
    vae = small_vae(posterior=posteriors.DiagonalNormal(encoder, 2))
    checkpoints.save(vae, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match="posterior was made with .*Sequential"):
        checkpoints.load(tmp_path / "vae.pt")
    fresh = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    fresh.features = 10
    posterior = posteriors.DiagonalNormal(fresh, 2)
    other = checkpoints.load(tmp_path / "vae.pt", posterior=posterior)
    assert torch.equal(other.posterior.encoder[1].weight, encoder[1].weight)


def test_a_checkpoint_cannot_name_a_function_to_run(tmp_path):
    vae = small_vae()
    checkpoints.save(vae, tmp_path / "vae.pt")
    contents = torch.load(tmp_path / "vae.pt", weights_only=True)
    contents["slots"]["prior"] = {"class": "os.system", "arguments": {"command": "false"}}
    torch.save(contents, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="os.system"):
        checkpoints.load(tmp_path / "bad.pt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps(priors.Prior)])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="broken.pt"):
        checkpoints.load(path)
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        checkpoints.load(tmp_path / "missing.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "vae.pt"
    checkpoints.save(small_vae(), path)
    before = path.read_bytes()

    def full(contents, partial):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(small_vae(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["vae.pt"]


def test_constants_move_with_the_model():
    vae = VAE(priors.StandardNormal(2), *[small_vae().likelihood, small_vae().posterior])
    assert vae.double().prior().base_dist.loc.dtype == torch.double
