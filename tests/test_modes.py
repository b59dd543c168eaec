"""Evaluation mode and seeds hold within a block; afterward all is as it was before."""

from contextlib import contextmanager

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


def test_a_gpus_own_random_numbers_are_seeded_and_put_back_and_no_others(monkeypatch):
    """There is none here: a number stands for the generator of each of two."""
    at, current = [7, 8], [0]

    @contextmanager
    def using(device):
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    def put(state, device):
        at[device.index] = state

    def seed(number):
        at[current[0]] = number

    monkeypatch.setattr(torch.cuda, "device", using)
    monkeypatch.setattr(torch.cuda, "manual_seed", seed)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: at[device.index])
    monkeypatch.setattr(torch.cuda, "set_rng_state", put)
    second = torch.device("cuda", 1)
    with seeded(3, second):
        assert at == [7, 3]
        at[1] = 99
    assert at == [7, 8] and current == [0]
    saved = random_state(second)
    at[1] = 5
    set_random_state(saved, second)
    assert at == [7, 8]


def test_a_seed_on_the_cpu_leaves_every_gpu_alone(monkeypatch):
    """`torch.manual_seed` would seed them all, even those not yet started, for good."""
    seeds = []
    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, seeds.append)
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    with seeded(3, torch.device("cpu")):
        first = torch.rand(2)
    assert not seeds
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), first) and seeds


def test_evaluation_mode_ends_where_it_began():
    layer = torch.nn.Dropout().train()
    with evaluating(layer):
        assert not layer.training
    assert layer.training


def test_a_part_that_was_frozen_in_evaluation_mode_stays_in_it():
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()).train()
    network[0].eval()
    with evaluating(network):
        assert not network.training and not network[1].training
    assert network.training and network[1].training and not network[0].training
