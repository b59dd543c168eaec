"""Evaluation mode and seeds hold within a block; afterward all is as it was before."""

import pytest
import torch

from pyro_vae._modes import evaluating, random_state, seeded, set_random_state


def test_random_numbers_follow_the_seed_and_then_continue_as_if_there_had_been_none():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with pytest.raises(KeyError), seeded(0, torch.device("cpu")):
        first = torch.rand(2)
        raise KeyError
    assert torch.equal(torch.rand(4), expected)
    with seeded(0, torch.device("cpu")):
        assert torch.equal(torch.rand(2), first)


def test_a_devices_own_random_numbers_are_put_back_too(monkeypatch):
    """There is no such device here: its generator is replaced by a number."""
    at = {"mps": torch.tensor([7])}
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device="mps": at["mps"])
    monkeypatch.setattr(
        torch.mps, "set_rng_state", lambda state, device="mps": at.update(mps=state)
    )
    with pytest.raises(KeyError), seeded(0, torch.device("mps")):
        at["mps"] = torch.tensor([99])
        raise KeyError
    assert at["mps"].item() == 7
    saved = random_state(torch.device("mps"))
    at["mps"] = torch.tensor([5])
    set_random_state(saved, torch.device("mps"))
    assert at["mps"].item() == 7
    set_random_state(
        random_state(torch.device("cpu")), torch.device("mps")
    )  # The state of a run on a CPU.


def test_evaluation_mode_ends_where_it_began():
    layer = torch.nn.Dropout().train()
    with evaluating(layer):
        assert not layer.training
    assert layer.training
