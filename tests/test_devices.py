"""No operation mixes two devices, and no training step waits for one.

No second device is needed: see `one_device.py`.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from one_device import MixedError, OneDevice
from test_slots import SHAPE, build, combinations
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from pyro_vae import VAE, data, evaluate, fit, likelihoods, posteriors, priors
from pyro_vae.analysis import Subject, draw
from pyro_vae.analysis.pages import explorer
from pyro_vae.data import Dataset
from pyro_vae.distributions import HypersphereUniform, PowerSpherical, spheres
from pyro_vae.evaluation import log_weights
from pyro_vae.objectives import ELBO, IWAE, Capacity, FreeBits, Objective, TotalCorrelation
from pyro_vae.recipes import RECIPES, fashion_conv
from pyro_vae.training import loop
from pyro_vae.training.finiteness import Watch
from pyro_vae.training.optimizers import make_optimizer
from pyro_vae.training.settings import TrainingSettings
from pyro_vae.training.state import State
from pyro_vae.training.step import Step

OBJECTIVES = {
    "ELBO": ELBO(),
    "ELBO, closed form": ELBO(analytic_kl=True),
    "ELBO, particles": ELBO(particles=3),
    "FreeBits": FreeBits(),
    "Capacity": Capacity(),
    "TotalCorrelation": TotalCorrelation(images=100),
    "IWAE": IWAE(samples=3),
    "IWAE, doubly reparameterized": IWAE(samples=3, doubly_reparameterized=True),
    "PIWAE": IWAE(samples=3, repeats=2, partial=True),
    "PIWAE, doubly reparameterized": IWAE(
        samples=3, repeats=2, partial=True, doubly_reparameterized=True
    ),
    "CIWAE": IWAE(samples=3, elbo_weight=0.5),
}


@pytest.fixture(autouse=True)
def without_validation() -> Iterator[None]:
    """Validation waits for the values that it checks, at every step."""
    with pyro.validation_enabled(False):
        yield


#: As published and with its autoencoder, too; the deepest networks are quick once.
VARIANTS = [
    pytest.param(
        name, variant, marks=[pytest.mark.slow] * (name == "cifar_resnet" and variant != "ours")
    )
    for name in RECIPES
    for variant in ("ours", "as published", "autoencoder")
]


def images(count: int = 4, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(count, *shape, device="meta")


def step(vae: VAE, x: Tensor, objective: Objective, beta: float = 0.5) -> None:
    """Take one step, as `fit` does."""
    optimizer = torch.optim.Adam(vae.parameters())
    bound = objective(vae, x, beta)
    optimizer.zero_grad()
    bound.loss.backward()
    clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    assert {term.device.type for term in bound} == {"meta"}
    assert all(p.grad is None or p.grad.is_meta for p in vae.parameters())


@pytest.mark.parametrize("support, prior, posterior, likelihood", combinations())
def test_every_combination_keeps_to_one_device(support, prior, posterior, likelihood, digits):
    vae = build(support, prior, posterior, likelihood).to("meta")
    given = digits.test.select(slice(0, 4))
    if likelihood == "Bernoulli":
        given = given.binarized_once()
    x = images()
    with OneDevice() as device:
        for analytic in (True, False):
            step(vae, x, ELBO(analytic_kl=analytic))
        assert device.operations > 100 and not device.reads
        if support != "point":
            assert log_weights(vae, x, 3).is_meta
            assert vae.sample(2).is_meta
        assert vae.reconstruct(x).is_meta
        assert vae.likelihood(vae.posterior(x).sample()).sample().is_meta
        found = evaluate(vae, given, samples=30)
    assert found.images == 4 and (found.elbo is None) == (support == "point")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_keeps_to_one_device_and_waits_for_nothing(name):
    vae = small_vae().to("meta")
    with OneDevice() as device:
        for beta in (1.0,) if "reparameterized" in name or "PIWAE" in name else (0.0, 0.5, 1.0):
            step(vae, images(), OBJECTIVES[name], beta)
    assert device.operations > 100 and not device.reads


def own_step(vae: VAE, objective: Objective) -> Step:
    """The step of `fit`, at the beginning of an epoch."""
    settings = TrainingSettings(optimizer=partial(torch.optim.Adam, fused=False), clip=1.0)
    _, annealing, schedule = settings.parts()
    optimizer = make_optimizer(settings, vae.parameters())
    schedule.start(optimizer, 1e-3)
    state = State(vae, optimizer, schedule, None, Watch(vae, 64), 1e-3)
    state.watch.start_epoch(0)
    return Step(state, objective, annealing, settings, steps=3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_step_of_fit_reads_nothing_after_the_first_batch(name):
    """With validation, as it is by default: the first batch is validated, and no other."""
    step = own_step(small_vae().to("meta"), OBJECTIVES[name])
    with pyro.validation_enabled(True), OneDevice() as device:
        step(images(), 0)
        assert device.reads
        device.reads.clear()
        for before in (1, 2):
            step(images(), before)
    assert not device.reads


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_every_recipe_keeps_to_one_device_and_waits_for_nothing(name, variant):
    recipe = RECIPES[name].as_published() if variant == "as published" else RECIPES[name]
    recipe = recipe.as_autoencoder() if variant == "autoencoder" else recipe
    vae, x = recipe.build(recipe.image_shape).to("meta"), images(3, recipe.image_shape)
    objective = recipe.objective()  # type: ignore[call-arg]
    with OneDevice() as device:
        step(vae, x, objective, recipe.beta)
        assert device.operations > 100 and not device.reads
        assert vae.reconstruct(x).is_meta
        if variant != "autoencoder":
            assert vae.sample(2).is_meta and log_weights(vae, x, 2).is_meta


@pytest.mark.filterwarnings("ignore:.*meta parameter")
def test_a_whole_training_keeps_to_one_device(digits, tmp_path, monkeypatch):
    """The loop, the checkpoints, the averaged weights and a VampPrior that starts at images."""
    monkeypatch.setattr(loop, "choose_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(Watch, "check", lambda *_: None)  # It reads flags that are infinite.
    vae = small_vae(prior=priors.VampPrior(2, components=5))
    part = digits.train.select(slice(0, 50))
    train = partial(
        fit, vae, part, validation=part, batch_size=20, clip=1.0, average=0.9, folder=tmp_path,
        optimizer=partial(torch.optim.Adam, fused=False), progress=False,
    )  # fmt: skip
    with OneDevice():
        history, again = train(epochs=1), train(epochs=2, resume=True)
    assert (len(history), len(again)) == (1, 2) and vae.device.type == "meta"


@pytest.mark.parametrize("posterior", ["PowerSpherical", "FullNormal", "DiagonalNormal"])
def test_tensors_are_made_where_they_are_needed_whatever_torchs_default_device(posterior, digits):
    """With the model on the CPU, and all that does not say where it is made elsewhere."""
    sphere = posterior == "PowerSpherical"
    prior = "HypersphereUniform" if sphere else "StandardNormal"
    vae = build("sphere" if sphere else "real", prior, posterior, "Categorical")
    few, x = digits.test.select(slice(0, 8)), digits.test.as_float(slice(0, 8))

    def results() -> tuple[Any, ...]:
        torch.default_generator.manual_seed(0)
        bound = ELBO()(vae, x)
        bound.loss.backward()
        return evaluate(vae, few, samples=100), vae.reconstruct(x), vae.sample(2), bound.loss

    expected = results()
    with torch.device("meta"), OneDevice():
        found = results()
    assert found[0] == expected[0]
    assert all(torch.equal(one, other) for one, other in zip(found[1:], expected[1:], strict=True))


def test_data_training_and_pictures_stay_on_the_cpu_whatever_torchs_default_device(tmp_path):
    """It is as after `torch.set_default_device("cuda")`, with a model that is kept on the CPU."""
    vae = small_vae()
    with torch.device("meta"), OneDevice() as elsewhere:
        digits = data.load("digits")
        few = Dataset("few", digits.train.select(slice(60)), digits.test.select(slice(40)))
        settings = {"epochs": 1, "average": 0.9, "clip": 1.0, "progress": False}
        history = fit(
            vae, few.train, validation=few.test, device="cpu", folder=tmp_path, **settings
        )
        subject = Subject(vae, few, history, autoencoder=vae)
        written = draw(subject, tmp_path / "pictures", progress=False)
        explorer.html(vae, few.test)
    assert len(written) > 30 and math.isfinite(history[-1]["train_loss"])
    assert not elsewhere.reads and not elsewhere.operations


def test_where_a_device_has_no_double_precision_the_cpu_computes(monkeypatch):
    """As on Apple's MPS: values move there and back, and none is left."""
    monkeypatch.setattr(spheres, "precise", lambda x: x.cpu().double())
    with OneDevice():
        q = PowerSpherical(images(3, (4,)), images(3, ()))
        p = HypersphereUniform(torch.zeros(4, device="meta"))
        z = q.rsample((2,))
        for each in (z, q.log_prob(z), q.entropy(), torch.distributions.kl_divergence(q, p)):
            assert each.is_meta and each.dtype == torch.float32


# -------------------------------------------------------------------- what the tests would find

CPU, AWAY = torch.device("cpu"), torch.device("meta")
MIXTURES: dict[str, Callable[[], Any]] = {
    "sum": lambda: torch.ones(3, device=AWAY) + torch.ones(3),
    "sum with a number in a tensor": lambda: torch.ones(3, device=AWAY) + torch.ones(()),
    "choice": lambda: torch.where(torch.ones(3, device=AWAY) > 0, 1.0, torch.ones(3)),
    "matrix product": lambda: torch.ones(3, 3) @ torch.ones(3, 3, device=AWAY),
    "batched product": lambda: torch.ones(2, 3, 3, device=AWAY) @ torch.ones(2, 3, 3),
    "linear layer": lambda: nn.Linear(3, 4).to(AWAY)(torch.ones(2, 3)),
    "convolution": lambda: nn.Conv2d(1, 2, 3).to(AWAY)(torch.ones(2, 1, 8, 8)),
    "normalization": lambda: F.batch_norm(
        torch.ones(3, 3, device=AWAY), torch.zeros(3), torch.ones(3), training=True
    ),
    "index": lambda: torch.ones(3, 3, device=AWAY)[torch.arange(2)],
    "gather": lambda: torch.ones(3, 3, device=AWAY).gather(-1, torch.zeros(3, 1).long()),
    "index_add": lambda: torch.ones(3, 9, device=AWAY).index_add(
        -1, torch.arange(3, device=AWAY), torch.ones(3, 3)
    ),
    "cat": lambda: torch.cat([torch.ones(3, device=AWAY), torch.ones(3)]),
    "stack": lambda: torch.stack([torch.ones((), device=AWAY), torch.ones(())]),
    "in place": lambda: torch.ones(3, device=AWAY).mul_(torch.ones(3)),
}


@pytest.mark.parametrize("kind", MIXTURES)
def test_every_kind_of_mixing_is_found(kind):
    with OneDevice(), pytest.raises(MixedError):
        MIXTURES[kind]()


def test_copies_are_no_mixing_and_reads_are_kept():
    x = torch.ones(3, device="meta")
    with OneDevice() as device:
        assert torch.ones(3).to("meta").is_meta and x.double().is_meta and not device.reads
        assert x.sum().item() == 1 and x.tolist() == [1, 1, 1]
        assert bool((x > 0).all()) and not bool((x > 0).any())
        assert x.cpu().device == CPU and torch.zeros(3).copy_(x).sum() == 3
    assert len(device.reads) == 6


class LostPrior(priors.StandardNormal):
    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, torch.ones(2)).to_event(1)


class LostLikelihood(likelihoods.Normal):
    def forward(self, z: Tensor) -> dist.TorchDistribution:
        return super().forward(z @ torch.eye(2))


class LostPosterior(posteriors.DiagonalNormal):
    def forward(self, x: Tensor) -> dist.TorchDistribution:
        q = super().forward(x)
        return dist.Normal(q.mean[torch.arange(len(x))], q.stddev).to_event(1)


class LostObjective(ELBO):
    def _bound(self, *args: Any, **kwargs: Any) -> Any:
        bound = super()._bound(*args, **kwargs)
        return bound._replace(loss=bound.loss * torch.ones(1))


def with_lost(slot: str) -> VAE:
    vae = small_vae()
    made = {
        "prior": lambda: LostPrior(2),
        "likelihood": lambda: LostLikelihood(vae.likelihood.decoder),
        "posterior": lambda: LostPosterior(vae.posterior.encoder, 2),
    }
    return small_vae(**{slot: made[slot]()} if slot in made else {})


@pytest.mark.parametrize("slot", ["prior", "likelihood", "posterior", "objective"])
def test_one_tensor_on_the_cpu_is_found_wherever_it_is(slot):
    vae = with_lost(slot).to("meta")
    with OneDevice(), pytest.raises(MixedError):
        step(vae, images(), LostObjective() if slot == "objective" else ELBO())


def test_pyros_own_flat_distribution_is_found():
    """Its zeros are on the CPU, so that no autoencoder could be trained on a GPU."""
    flat = dist.ImproperUniform(constraints.real_vector, (), (2,))
    autoencoder = fashion_conv.as_autoencoder().build(SHAPE)
    vae = VAE(lambda: flat, autoencoder.likelihood, autoencoder.posterior).to("meta")
    with OneDevice(), pytest.raises(MixedError):
        step(vae, images(), ELBO())
    with OneDevice():
        step(autoencoder.to("meta"), images(), ELBO())


def test_pyros_own_estimators_are_found_to_wait():
    vae = small_vae().to("meta")
    for family, waits in ((pyro.infer.Trace_ELBO, 3), (pyro.infer.TraceMeanField_ELBO, 1)):
        with OneDevice() as device:
            family().differentiable_loss(vae.model, vae.guide, images())
        assert len(device.reads) > waits
