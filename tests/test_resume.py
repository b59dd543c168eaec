"""A training stopped after any step continues as if it had never been stopped, bit for bit."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import small_vae
from PIL import Image

from pyro_vae import annealing, checkpoints, data, fit, networks, objectives, posteriors, priors
from pyro_vae._settings import made
from pyro_vae.data import Dataset
from pyro_vae.data.options import LoadOptions
from pyro_vae.data.resizing import resized
from pyro_vae.errors import ArgumentError
from pyro_vae.objectives import ELBO, Objective
from pyro_vae.recipes import RECIPES
from pyro_vae.schedules import OneCycle, Plateau
from pyro_vae.training import Run, Stopped, TrainingError
from pyro_vae.training.interval import Interval
from pyro_vae.training.step_log import read_steps
from pyro_vae.training.stopping import SIGNALS

STEPS = 5  # Of an epoch.


@pytest.fixture(autouse=True)
def signals_that_arrive() -> Iterator[None]:
    """Let signals arrive, which are ignored where the tests run under nohup, and stay so there."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Interrupted(Objective):
    """An objective during whose n-th step a signal arrives; it also counts the steps."""

    def __init__(self, inner: Objective, step: int, number: int = signal.SIGINT) -> None:
        self.inner, self.step, self.number = inner, step, number
        self.made = 0

    def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        if torch.is_grad_enabled():
            self.made += 1
            if self.made == self.step:
                os.kill(os.getpid(), self.number)
        return self.inner(vae, x, beta, elapsed)


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    slots: dict[str, Callable[[], Any]] = field(default_factory=dict)
    objective: Callable[[], Objective] = ELBO
    pixels: str = "gray"
    settings: dict[str, Any] = field(default_factory=dict)


def batch_norm() -> posteriors.Posterior:
    encoder = networks.BatchNormEncoder((1, 8, 8), channels=(4, 4), strides=(2, 2))
    return posteriors.DiagonalNormal(encoder, 2)


CASES = {
    "plain": Case(),
    "binarized": Case(pixels="binarized"),
    "dequantized": Case(pixels="dequantized"),
    "averaged": Case(settings={"average": 0.9, "clip": 1.0}),
    "Plateau and batch norm": Case(
        {"posterior": batch_norm}, settings={"schedule": partial(Plateau, patience=0)}
    ),
    "VampPrior and IWAE": Case(
        {"prior": lambda: priors.VampPrior(2, components=5)}, partial(objectives.IWAE, samples=3)
    ),
    "Capacity and annealing": Case(
        objective=partial(objectives.Capacity, nats=5.0),
        settings={"annealing": annealing.Linear(0.5), "schedule": OneCycle},
    ),
    "the last weights": Case(settings={"keep": "last", "new_draws": True}),
    "another optimizer": Case(settings={"optimizer": torch.optim.NAdam}),
}


def trained(case: Case, images: Dataset, folder: Path, stop: int = 0, **options: Any) -> Objective:
    """Train three epochs of `STEPS` steps; a signal arrives in step `stop`, if that is not 0."""
    torch.manual_seed(0)
    vae = small_vae(**{slot: make() for slot, make in case.slots.items()})
    objective = Interrupted(case.objective(), stop, options.pop("number", signal.SIGINT))
    part = images.map(lambda each: each.with_pixels(case.pixels))
    settings = {"epochs": 3, "batch_size": 20, "learning_rate": 3e-3} | case.settings | options
    fit(vae, part.train, validation=part.test, objective=objective, folder=folder, device="cpu",
        progress=False, **settings)  # fmt: skip
    return objective


def left_by(folder: Path) -> list[np.ndarray]:
    """What a training left that must not depend on whether it was stopped."""
    run, found = Run(folder), []
    for path in (run.weights, run.last):
        contents = checkpoints.contents(path)
        found += [value.numpy() for value in contents["weights"].values()]
    history = [{k: v for k, v in r.items() if "seconds" not in k} for r in contents["history"]]
    found += [np.array(sorted(record.items())) for record in history]
    found += [contents["random"]["cpu"].numpy()]
    state = contents["optimizer"]["state"].values()
    found += [v.numpy() for each in state for v in each.values() if torch.is_tensor(v)]
    return [*found, read_steps([run.steps(epoch) for epoch in (1, 2, 3)])]


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    train, test = digits.train.select(slice(0, 90)), digits.test.select(slice(0, 40))
    return replace(digits, train=train, test=test)


def same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_training_stopped_after_any_step_ends_as_if_never_stopped(name, few, tmp_path):
    """Twice: in the middle of an epoch, and in the last step before a validation."""
    case = CASES[name]
    trained(case, few, tmp_path / "whole")
    with pytest.raises(Stopped):
        trained(case, few, tmp_path / "parts", stop=3)
    with pytest.raises(Stopped):
        trained(case, few, tmp_path / "parts", stop=2 * STEPS - 3, resume=True)
    made = trained(case, few, tmp_path / "parts", resume=True).made
    assert made == STEPS  # None is made twice.
    assert same(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("published", [False, True], ids=["ours", "as published"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_resumes_exactly(name, published, digits, tmp_path):
    recipe = RECIPES[name].as_published() if published else RECIPES[name]
    channels, side, _ = recipe.image_shape
    few = resized(digits.limit(60), LoadOptions(size=side, channels=channels))
    train, test = few.train, few.test.select(slice(0, 20))
    if recipe.pixels == "binarized-once":
        train, test = train.binarized_once(0), test.binarized_once(1)
    else:
        train, test = train.with_pixels(recipe.pixels), test.with_pixels(recipe.pixels)

    def run(folder: Path, stop: int = 0, resume: bool = False) -> None:
        torch.manual_seed(0)
        settings = recipe.training | {"epochs": 3, "batch_size": 20}
        settings["objective"] = Interrupted(made(settings["objective"]), stop)
        fit(recipe.build(train.image_shape), train, validation=test, folder=folder, resume=resume,
            device="cpu", progress=False, **settings)  # fmt: skip

    run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop=5)
    run(tmp_path / "parts", resume=True)
    assert same(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))


def test_images_that_are_streamed_by_workers_resume_exactly(few, tmp_path):
    for part, images in (("train", few.train), ("test", few.test)):
        (tmp_path / "images" / part / "all").mkdir(parents=True)
        for i, image in enumerate(images.levels()):
            path = tmp_path / "images" / part / "all" / f"{i:03d}.png"
            Image.fromarray(image[0].numpy()).save(path)
    streamed = data.load(tmp_path / "images", stream=True)
    trained(CASES["binarized"], streamed, tmp_path / "whole")
    with pytest.raises(Stopped):
        trained(CASES["binarized"], streamed, tmp_path / "parts", stop=8)
    trained(CASES["binarized"], streamed, tmp_path / "parts", resume=True)
    assert same(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_scheduler_and_a_closed_terminal_stop_a_training_as_ctrl_c_does(few, tmp_path, number):
    with pytest.raises(Stopped) as stopped:
        trained(CASES["plain"], few, tmp_path, stop=7, number=number)
    assert stopped.value.number == number
    assert len(checkpoints.contents(Run(tmp_path).last)["unfinished"]["totals"]["bounds"]) == 2


def test_signals_go_back_to_whoever_had_them(few, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    trained(CASES["plain"], few, tmp_path, epochs=1)
    assert signal.getsignal(signal.SIGTERM) is before


class Failing(Interrupted):
    """Stops without any signal, as where the power fails."""

    def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        if torch.is_grad_enabled() and self.made + 1 == self.step:
            raise SystemExit
        return super().__call__(vae, x, beta, elapsed)


def test_at_most_the_interval_is_repeated(few, tmp_path, monkeypatch):
    trained(CASES["plain"], few, tmp_path / "whole")
    with monkeypatch.context() as changed, pytest.raises(SystemExit):
        changed.setattr("test_resume.Interrupted", Failing)
        trained(CASES["plain"], few, tmp_path / "parts", stop=9, checkpoint_every="2 steps")
    made = trained(CASES["plain"], few, tmp_path / "parts", resume=True).made
    assert made == 3 * STEPS - 8 + 1  # The eighth, which came after the last checkpoint.
    assert same(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))


@pytest.mark.parametrize("written", ["soon", "0", "-5min", "1.5 steps", "5 days", ""])
def test_an_interval_is_steps_or_a_time(written, few, tmp_path):
    with pytest.raises(ArgumentError, match="checkpoint_every must be a number of steps"):
        trained(CASES["plain"], few, tmp_path, checkpoint_every=written)
    assert not list(tmp_path.iterdir())


def test_an_interval_of_time_passes_with_the_clock(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    interval = Interval("1.5min")
    assert not interval.passed()
    now = 90.0
    assert interval.passed() and not interval.passed()


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(few, tmp_path):
    trained(CASES["plain"], few, tmp_path / "whole")
    with pytest.raises(Stopped):
        trained(CASES["plain"], few, tmp_path / "parts", stop=8)
    last = Run(tmp_path / "parts").last
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.warns(UserWarning, match=r"last\.pt is not a readable.*last\.previous\.pt"):
        trained(CASES["plain"], few, tmp_path / "parts", resume=True)
    assert same(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))
    assert last.with_name("last.damaged.pt").read_bytes() == content


def test_a_training_overwrites_no_other(few, tmp_path):
    trained(CASES["plain"], few, tmp_path, epochs=1)
    before = Run(tmp_path).weights.read_bytes()
    with pytest.raises(TrainingError, match="already holds a training"):
        trained(CASES["plain"], few, tmp_path, epochs=1)
    for path in (Run(tmp_path).last, Run(tmp_path).last.with_name("last.previous.pt")):
        path.unlink()
    with pytest.raises(TrainingError, match="already holds a training"):
        trained(CASES["plain"], few, tmp_path, epochs=1)
    left = Run(tmp_path).weights.read_bytes()
    assert left == before
