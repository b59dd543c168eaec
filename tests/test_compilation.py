"""Compiled networks: equal to rounding, in one graph each, and gone afterward."""

import copy
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from conftest import small_vae
from test_networks import PUBLISHED, pair
from torch import nn
from torch.distributions import Distribution

from pyro_vae import VAE, fit
from pyro_vae.data import Dataset
from pyro_vae.objectives import ELBO
from pyro_vae.training import loop
from pyro_vae.training.compilation import compiled
from pyro_vae.vae import networks_of

#: It traces graphs and differentiates them as the compiler does, and calls no C++ compiler.
BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def from_nothing(caplog) -> Iterator[None]:
    torch.compiler.reset()
    caplog.set_level("WARNING")  # PyTorch writes thousands of lines below it.
    validated = Distribution._validate_args
    yield
    Distribution.set_default_validate_args(validated)  # A first compilation switches it off.


def is_compiled(vae: VAE) -> list[bool]:
    return [network._compiled_call_impl is not None for network in networks_of(vae)]


def test_networks_are_compiled_within_a_block_and_not_after_it():
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    exact = vae.reconstruct(x)
    with compiled(vae, x, BACKEND):
        assert all(is_compiled(vae))
        assert not any(is_compiled(copy.deepcopy(vae)))
        torch.testing.assert_close(vae.reconstruct(x), exact)
    assert not any(is_compiled(vae))


@pytest.mark.slow
def test_distributions_are_validated_after_a_first_compilation_as_before():
    program = """
import torch
from pyro_vae import VAE, likelihoods, networks, posteriors, priors
from pyro_vae.training.compilation import compiled
shape, x = (1, 8, 8), torch.rand(2, 1, 8, 8)
vae = VAE(
    priors.StandardNormal(2),
    likelihoods.Normal(networks.MLPDecoder(2, shape)),
    posteriors.DiagonalNormal(networks.MLPEncoder(shape), 2),
)
with compiled(vae, x, "eager"):
    torch.distributions.Normal(torch.zeros(1), -torch.ones(1))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ValueError: Expected parameter scale" in done.stderr, done.stderr


def test_random_numbers_and_running_statistics_remain():
    encoder, _ = pair("BatchNorm", (1, 8, 8))
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    vae.posterior.encoder = encoder
    before, state = copy.deepcopy(vae.state_dict()), torch.get_rng_state()
    vae.train()
    with compiled(vae, x, "eager"):
        assert vae.posterior.encoder.training
        assert all(parameter.grad is None for parameter in vae.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in vae.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("MLP", "Conv") else pytest.mark.slow)
        for name in PUBLISHED
    ],
)
def test_every_network_is_one_graph_whatever_the_batch(name):
    for module, inputs in zip(
        pair(name, (3, 16, 16)), (torch.rand(4, 3, 16, 16), torch.rand(4, 3)), strict=True
    ):
        exact = [module.eval()(inputs[:size]) for size in (4, 3, 2)]
        module.compile(backend="eager", fullgraph=True)
        for size, expected in zip((4, 3, 2), exact, strict=True):
            torch.testing.assert_close(module(inputs[:size]), expected)
        module.train()
        module(inputs)


def test_statistics_that_a_network_assigns_anew_remain():
    class Running(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x):
            self.mean = 0.9 * self.mean + 0.1 * x.mean()
            return self.inner(x)

    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    vae.posterior.encoder = Running(vae.posterior.encoder)
    vae.requires_grad_(False)  # There is nothing to differentiate, either.
    with compiled(vae, x, "eager"):
        assert all(is_compiled(vae)) and vae.posterior.encoder.mean == 0


def test_a_network_may_make_statistics_at_its_first_call():
    class Late(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x):
            if not hasattr(self, "first"):
                self.register_buffer("first", x.mean())
            return self.inner(x)

    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    vae.posterior.encoder = Late(vae.posterior.encoder)
    with compiled(vae, x, "eager"):
        assert all(is_compiled(vae)) and vae.posterior.encoder.first == x.mean()


@pytest.mark.parametrize("always", [True, False])
def test_networks_that_cannot_be_compiled_are_run_as_they_are(caplog, always):
    """They cannot at all, or only without gradients, which a training needs."""
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)

    def no_compiler(graph, inputs):
        if always or torch.is_grad_enabled():
            raise RuntimeError("No C++ compiler was found.")
        return graph.forward

    with compiled(vae, x, no_compiler):
        assert not any(is_compiled(vae))
        vae.reconstruct(x)
        ELBO()(vae, x).loss.backward()
    (said,) = caplog.messages
    assert "not compiled" in said and "No C++ compiler was found." in said


def test_python_that_breaks_the_graph_is_run_in_pieces():
    class Prints(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.calls = inner, 0

        def forward(self, x):
            torch._dynamo.graph_break()
            return self.inner(x)

    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    exact = vae.reconstruct(x)
    vae.posterior.encoder = Prints(vae.posterior.encoder)
    with compiled(vae, x, BACKEND):
        assert all(is_compiled(vae))
        torch.testing.assert_close(vae.reconstruct(x), exact)


def test_the_seconds_of_a_compilation_are_those_of_the_first_epoch(digits: Dataset, monkeypatch):
    def slow(graph, inputs):
        time.sleep(0.2)  # It is called for both networks, in both modes.
        return graph.forward

    monkeypatch.setattr(loop, "compiled", partial(compiled, backend=slow))
    few, settings = digits.train.select(slice(8)), {"batch_size": 4, "progress": False}
    history = fit(small_vae(), few, epochs=2, compile=True, **settings)
    first, second = (each["seconds"] - each["train_seconds"] for each in history)
    assert first > 0.8 and first > 4 * second


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:This processor has no bfloat16")
def test_a_compiled_training_equals_one_that_is_not(digits: Dataset, precision, caplog):
    few = digits.train.select(slice(100))
    vaes = []
    for compile in (False, True):
        torch.manual_seed(0)
        vae = small_vae()
        settings = {"epochs": 2, "batch_size": 40, "learning_rate": 3e-3, "progress": False}
        fit(vae, few, validation=few, compile=compile, precision=precision, **settings)
        vaes.append(vae)
    assert not caplog.messages
    tolerance = {"rtol": 1e-3, "atol": 1e-4 if precision == "float32" else 1e-2}
    for mine, theirs in zip(*(vae.parameters() for vae in vaes), strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)
