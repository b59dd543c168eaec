"""Channels last: equal to rounding, resumed exactly, and nothing of it is left behind."""

from pathlib import Path

import pytest
import torch
from conftest import small_vae

from pyro_vae import VAE, checkpoints, fit
from pyro_vae._modes import channels_last
from pyro_vae.data import Dataset
from pyro_vae.training import Run, Stopped


def trained(images, **settings) -> VAE:
    torch.manual_seed(0)
    vae = small_vae()
    given = {"epochs": 3, "batch_size": 20, "learning_rate": 3e-3, "progress": False} | settings
    torch.manual_seed(1)
    fit(vae, images, **given)
    return vae


def test_weights_are_laid_out_anew_within_a_block_and_as_before_after_it():
    vae = small_vae()
    weights = [weight for weight in vae.parameters() if weight.dim() == 4]
    before = [weight.detach().clone() for weight in weights]
    with channels_last(vae):
        several = [weight for weight in weights if min(weight.shape[:2]) > 1]
        assert several
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in several)
    assert all(weight.is_contiguous() for weight in weights)
    assert all(map(torch.equal, weights, before))


def test_a_training_is_equal_to_rounding_and_leaves_no_layout_behind(digits: Dataset):
    few = digits.train.select(slice(100))
    one, other = (trained(few, memory_format=name) for name in ("contiguous", "channels_last"))
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert theirs.is_contiguous()
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_resumed_training_equals_one_that_was_not_stopped(
    digits: Dataset, tmp_path: Path, optimizer: type[torch.optim.Optimizer]
):
    few = digits.train.select(slice(100))
    settings = {"memory_format": "channels_last", "optimizer": optimizer, "average": 0.9}
    whole = trained(few, folder=tmp_path / "whole", **settings)

    def stop(vae: VAE, record) -> None:
        if record["epoch"] == 2:
            raise Stopped(2)

    with pytest.raises(Stopped):
        trained(few, folder=tmp_path / "run", callbacks=[stop], **settings)
    saved = checkpoints.contents(Run(tmp_path / "run").last)
    assert all(weight.is_contiguous() for weight in saved["weights"].values())
    resumed = trained(few, folder=tmp_path / "run", resume=True, **settings)
    for mine, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_block_within_another_leaves_the_layout_of_the_outer_one():
    network = torch.nn.Conv2d(3, 4, 3)
    with channels_last(network):
        with channels_last(network):
            pass
        assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.weight.is_contiguous()


def test_weights_of_one_channel_say_by_their_strides_which_layout_is_meant():
    """Kernels read them, and so does the sum of gradients over processes."""
    network = torch.nn.Conv2d(1, 4, 3)
    before, x = network.weight.clone(), torch.rand(2, 1, 8, 8)
    assert network.weight.stride() == (9, 9, 3, 1)
    with channels_last(network):
        assert network.weight.stride() == (9, 1, 3, 1)
        network(x).sum().backward()
        assert network.weight.grad.stride() == network.weight.stride()
    assert network.weight.stride() == (9, 9, 3, 1) and torch.equal(network.weight, before)
