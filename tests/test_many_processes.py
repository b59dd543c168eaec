"""Several processes train as one would: the same losses and weights, and nobody waits forever."""

import io
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from in_processes import in_processes, results, started
from torch import Tensor, nn

from pyro_vae import (
    VAE,
    annealing,
    checkpoints,
    data,
    evaluate,
    fit,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    processes,
    schedules,
)
from pyro_vae.commands import main
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.processes import ProcessError
from pyro_vae.processes.group import own_draws
from pyro_vae.processes.shares import share
from pyro_vae.training import Run, Stopped, TrainingError, choose_device, device
from pyro_vae.training.step_log import read_steps

#: 3 processes share 141 images unevenly, in 20 batches of 7, and one image: two then have none.
IMAGES, BATCH = 141, 7
#: Adam's, where gradients are 0 but for their rounding: those of a bias before batch normalization.
ROUNDING = 1e-4


class Doubles(ImageData):
    """Images in double precision."""

    def _to_float(self, levels: Tensor) -> Tensor:
        return super()._to_float(levels).double()


class NoiseOfImages(dist.Normal):
    """A Normal whose draws follow from the images: the same ones, whoever draws them."""

    def __init__(self, loc: Tensor, scale: Tensor, x: Tensor | None = None) -> None:
        super().__init__(loc, scale)
        self.x = x

    def expand(self, batch_shape, _instance=None):
        found = NoiseOfImages(self.loc.expand(batch_shape), self.scale.expand(batch_shape))
        found.x = self.x
        return found

    def rsample(self, sample_shape=torch.Size()):
        shape, noise = (*sample_shape, self.loc.shape[-1]), []
        for image in self.x:
            seed = int.from_bytes(image.detach().numpy().tobytes()[-999:], "little") % 2**61
            noise.append(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
        return self.loc + self.scale * torch.stack(noise, -2).double()


class Posterior(posteriors.DiagonalNormal):
    """A posterior whose draws follow from the images."""

    def forward(self, x: Tensor):
        normal = super().forward(x).base_dist
        return NoiseOfImages(normal.loc, normal.scale, x).to_event(1)


def batch_norm() -> dict[str, Any]:
    shape, few = (1, 8, 8), {"channels": (4, 4), "strides": (2, 2)}
    return {
        "posterior": Posterior(networks.BatchNormEncoder(shape, **few), 2),
        "likelihood": likelihoods.Bernoulli(
            networks.BatchNormDecoder(2, shape, **few), gray_levels=True
        ),
    }


#: Slots and settings of each training.
CASES: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "ELBO": (dict, {"objective": objectives.ELBO, "clip": 5.0}),
    "ELBO of two particles": (dict, {"objective": partial(objectives.ELBO, particles=2)}),
    "FreeBits": (dict, {"objective": partial(objectives.FreeBits, nats=0.05)}),
    "Capacity": (dict, {"objective": partial(objectives.Capacity, nats=3.0), "beta": 4.0}),
    "TotalCorrelation": (dict, {"objective": objectives.TotalCorrelation, "beta": 6.0}),
    "IWAE": (dict, {"objective": partial(objectives.IWAE, samples=3, doubly_reparameterized=True)}),
    "batch norm": (batch_norm, {"average": 0.9, "epsilon": ROUNDING}),
    "batch norm and IWAE": (
        batch_norm,
        {"objective": partial(objectives.IWAE, samples=3), "epsilon": ROUNDING},
    ),
    "VampPrior over batch norm": (
        lambda: batch_norm() | {"prior": priors.VampPrior(2, components=4)},
        {"annealing": partial(annealing.Linear, 0.5), "epsilon": ROUNDING},
    ),
}


def digits(first: int, last: int) -> Doubles:
    return Doubles(data.load("digits").train.images[first:last])


def model(slots: Callable[[], dict[str, Any]] = dict) -> VAE:
    torch.manual_seed(0)
    encoder = networks.ConvEncoder((1, 8, 8), channels=(4, 8))
    return small_vae(**{"posterior": Posterior(encoder, 2)} | slots()).double()


def trained(name: str, folder: Path | None = None, **settings: Any) -> dict[str, Any]:
    """The losses and the weights of an epoch of 21 steps."""
    slots, own = CASES[name]
    vae = model(slots)
    given = {"epochs": 1, "batch_size": BATCH, "learning_rate": 3e-3} | own | settings
    history = fit(
        vae, digits(0, IMAGES), validation=digits(200, 220), folder=folder, progress=False, **given
    )
    losses = [record[f"{p}_loss"] for record in history for p in ("train", "validation")]
    # Processes cannot be sent tensors that share memory with others.
    weights = {name: value.numpy().copy() for name, value in vae.state_dict().items()}
    return {"losses": losses, "weights": weights}


def all_trained(folder: Path) -> dict[str, Any]:
    return {name: trained(name, folder / name.replace(" ", "_")) for name in CASES}


def close(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=tolerance)
    assert ours["weights"].keys() == theirs["weights"].keys()
    for name, value in ours["weights"].items():
        np.testing.assert_allclose(
            value, theirs["weights"][name], rtol=tolerance, atol=tolerance, err_msg=name
        )


def equal(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    same = [np.array_equal(v, theirs["weights"][name]) for name, v in ours["weights"].items()]
    return ours["losses"] == theirs["losses"] and all(same)


@pytest.fixture(scope="module")
def by_one(tmp_path_factory) -> dict[str, Any]:
    return all_trained(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def by_three(tmp_path_factory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("three")
    return in_processes(3, all_trained, folder, folder)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_weights_are_those_of_one_process(name, by_one, by_three):
    for each in by_three:
        close(each[name], by_one[name])
        assert equal(each[name], by_three[0][name])  # No process drifts from the others.


def test_the_first_process_alone_writes_what_one_would(by_one, by_three, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    one, three = Run(base / "one0" / "IWAE"), Run(base / "three0" / "IWAE")
    left = [sorted(p.relative_to(r.folder) for p in r.folder.rglob("*")) for r in (one, three)]
    assert left[0] == left[1]
    np.testing.assert_allclose(read_steps([one.steps(1)]), read_steps([three.steps(1)]), rtol=1e-6)


def sampled_model() -> VAE:
    """A model with draws of its own."""
    torch.manual_seed(0)
    return small_vae()


def judged(folder: Path) -> list[Any]:
    """What evaluation and two validations return at the same seed; the second has been shared."""
    from pyro_vae.training.epoch import shared_bounds

    vae, images = sampled_model(), data.load("digits").test.with_pixels("dequantized")
    found = evaluate(vae, images.select(slice(0, 95)), samples=30, batch_size=20, seed=3)
    losses: list[Any] = [found.as_dict()]
    if processes.world_size() > 1:
        starts: list[Any] = []
        for _ in range(2):
            torch.manual_seed(5)
            bounds = shared_bounds(images, 16, lambda x: objectives.ELBO()(vae, x), starts)
            losses.append([(bound.loss.item(), count) for bound, count in bounds])
    else:
        torch.manual_seed(5)
        elbo = objectives.ELBO()
        losses += 2 * [[(elbo(vae, x).loss.item(), len(x)) for x in images.batches(16)]]
    return losses


def joined_first(function: Callable[..., Any], *arguments: Any) -> Any:
    with processes.joined():
        return function(*arguments)


def test_evaluation_and_validation_return_the_numbers_of_one_process(tmp_path):
    alone = judged(tmp_path)
    for each in in_processes(3, partial(joined_first, judged), tmp_path, tmp_path):
        assert each == alone


class Eventful(objectives.ELBO):
    """The ELBO, during whose n-th step something happens in one process."""

    runs_program = False

    def __init__(self, event: Callable[[], Any], step: int, rank: int = 1) -> None:
        super().__init__()
        self.event, self.step, self.rank, self.made = event, step, rank, 0

    def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        bound = super().__call__(vae, x, beta, elapsed)
        if share() is not None and vae.training:
            self.made += 1
            if self.made == self.step and processes.rank() == self.rank:
                return self.event() or bound
        return bound


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def stopped(folder: Path, **settings: Any) -> None:
    with pytest.raises(Stopped):
        trained("ELBO", folder, objective=Eventful(interrupt, 9), **settings)


def test_a_signal_to_one_process_stops_all_and_another_number_of_them_continues(by_one, tmp_path):
    in_processes(2, stopped, tmp_path, tmp_path / "run")
    assert (
        len(checkpoints.contents(Run(tmp_path / "run").last)["unfinished"]["totals"]["bounds"]) == 9
    )
    close(
        trained("ELBO", tmp_path / "run", resume=True, objective=objectives.ELBO()), by_one["ELBO"]
    )


def test_what_one_process_began_several_continue(by_one, tmp_path):
    class Interrupted(Eventful):
        def __call__(self, vae, x, beta=1.0, elapsed=1.0):
            self.made += torch.is_grad_enabled()
            if self.made == self.step:
                interrupt()
            return objectives.ELBO.__call__(self, vae, x, beta, elapsed)

    with pytest.raises(Stopped):
        trained("ELBO", tmp_path / "run", objective=Interrupted(interrupt, 8))
    again = partial(trained, "ELBO", tmp_path / "run", resume=True, objective=objectives.ELBO())
    for each in in_processes(3, again, tmp_path):
        close(each, by_one["ELBO"])


def drawn(folder: Path, step: int = 0, resume: bool = False) -> list[np.ndarray]:
    """The weights after two epochs with draws of pixels and of latent vectors."""
    vae, images = sampled_model(), digits(0, 60).with_pixels("binarized")
    images = ImageData(images.images, pixels=images.pixels)
    objective = Eventful(interrupt, step) if step else objectives.ELBO()
    try:
        fit(vae, images, epochs=2, batch_size=8, objective=objective, folder=folder,
            resume=resume, progress=False)  # fmt: skip
    except Stopped:
        assert step
    return [value.detach().numpy().copy() for value in vae.parameters()]


def test_a_stopped_training_of_as_many_processes_ends_bit_for_bit_as_if_never_stopped(tmp_path):
    def both() -> tuple[list[np.ndarray], list[np.ndarray]]:
        whole = drawn(tmp_path / "whole")
        drawn(tmp_path / "parts", step=11)
        return whole, drawn(tmp_path / "parts", resume=True)

    for whole, parts in in_processes(2, both, tmp_path):
        assert all(map(np.array_equal, whole, parts))


def test_processes_draw_differently(tmp_path):
    def draws() -> list[float]:
        with processes.joined(), own_draws(torch.device("cpu")):
            own = torch.rand(()).item()
        return [own, torch.rand(()).item()]

    torch.manual_seed(0)
    (one, after), (other, after_too) = in_processes(2, draws, tmp_path)
    assert one != other and after == after_too


def test_processes_that_have_nothing_to_say_to_each_other_all_join(tmp_path):
    """The first one's end once took the others' addresses along, in a fifth of such groups."""

    def number() -> int:
        processes.join()
        return processes.rank()

    for turn in range(4):
        assert in_processes(8, number, tmp_path / str(turn)) == list(range(8))


def test_a_loss_that_is_no_number_in_one_process_takes_all_back(tmp_path):
    def rolled_back() -> dict[str, Any]:
        vae = model()
        history = fit(
            vae, digits(0, 60), epochs=2, batch_size=10, progress=False, on_nan="rollback",
            objective=Eventful(spoilt(vae), 9), folder=tmp_path / "run", checkpoint_every="2 steps",
        )  # fmt: skip
        weights = {name: value.numpy().copy() for name, value in vae.state_dict().items()}
        return {"losses": [each["train_loss"] for each in history], "weights": weights,
                "rollbacks": history[-1]["rollbacks"]}  # fmt: skip

    def spoilt(vae: VAE) -> Callable[[], objectives.Bound]:
        def event() -> objectives.Bound:
            every = sum(parameter.sum() for parameter in vae.parameters())
            return objectives.Bound(math.nan * every, *2 * [torch.tensor(math.nan).double()])

        return event

    one, other = in_processes(2, rolled_back, tmp_path)
    assert one["rollbacks"] == other["rollbacks"] == 1 and equal(one, other)
    assert all(map(math.isfinite, one["losses"]))


class Sick(posteriors.DiagonalNormal):
    """A posterior of which one process's first latent vector is no number, in one step."""

    def forward(self, x: Tensor) -> Any:
        q, self.seen = super().forward(x), getattr(self, "seen", 0) + self.training
        sick = self.training and self.seen == 5 and processes.rank() == 1
        mean = q.mean.index_fill(0, torch.tensor([0]), math.nan) if sick else q.mean
        return dist.Normal(mean, q.stddev).to_event(1)


def test_a_code_that_is_no_number_in_one_process_takes_all_back_whatever_the_objective(tmp_path):
    def rolled_back() -> tuple[float, float]:
        torch.manual_seed(0)
        sick = Sick(networks.ConvEncoder((1, 8, 8), channels=(4, 8)), 2)
        last = fit(
            small_vae(posterior=sick).double(), digits(0, 60), epochs=2, batch_size=10,
            on_nan="rollback", objective=objectives.FreeBits(), folder=tmp_path, progress=False,
        )[-1]  # fmt: skip
        return last["rollbacks"], last["train_loss"]

    one, other = in_processes(2, rolled_back, tmp_path / "results")
    assert one == other and one[0] == 1 and math.isfinite(one[1])


def lost(event: Callable[[], Any], folder: Path) -> None:
    processes.group.ALIKE = processes.group.timedelta(seconds=2)
    trained("ELBO", folder, objective=Eventful(event, 12), checkpoint_every="5 steps")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def failed() -> None:
    raise RuntimeError("no memory, say")


@pytest.mark.parametrize("event", [killed, failed])
def test_a_lost_process_ends_all_and_the_checkpoint_before_is_whole(event, tmp_path):
    group = started(3, lost, tmp_path, event, tmp_path / "run")
    found = results(group, tmp_path)
    survivors = [each for rank, each in enumerate(found) if rank != 1 or event is failed]
    assert all(isinstance(each, ProcessError) for each in survivors), survivors
    assert found[1] is None or "no memory, say" in str(found[1])
    saved = checkpoints.contents(Run(tmp_path / "run").last)
    assert len(saved["unfinished"]["totals"]["bounds"]) == 10
    trained("ELBO", tmp_path / "run", resume=True, objective=objectives.ELBO())


def refused(expected: type[Exception], match: str, slots: dict[str, Any], **settings: Any) -> None:
    vae = small_vae(**slots)
    with pytest.raises(expected, match=match):
        fit(vae, data.load("digits").train.select(slice(0, 20)), progress=False, **settings)


class Foreign(networks.Encoder):
    """An encoder with a batch normalization that is not the library's."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
        self.features = 72


def test_what_processes_cannot_share_is_refused(tmp_path):
    def all_refused() -> None:
        refused(ArgumentError, "batch_size counts the images of all 2 processes", {}, batch_size=1)
        refused(TrainingError, "cannot be shared by 2 processes", {}, device="mps")
        foreign = {"posterior": posteriors.DiagonalNormal(Foreign(), 2)}
        refused(ProcessError, "posterior.encoder.layers.1 is a BatchNorm2d", foreign)

    in_processes(2, all_refused, tmp_path)


def chosen() -> list[str]:
    """The devices that a process chooses where each has a GPU, and where not all have one."""
    failing: list[int] = []
    here = {"found": True, "count": 2}

    def tried(name: Any) -> torch.device:
        if processes.rank() in failing:
            raise RuntimeError("CUDA error: no kernel image is available")
        return torch.device(name)

    torch.cuda.is_available = lambda: here["found"]
    torch.cuda.device_count, device._tried = lambda: here["count"], tried
    alone = choose_device()  # Before the processes have joined each takes the first one.
    processes.join()
    own = choose_device()
    found = [own, *map(choose_device, (alone, own, "cuda", "cpu"))]
    failing.append(1)
    found.append(choose_device())
    with pytest.raises(TrainingError, match="'cuda' cannot be used here: .* Choose cpu."):
        choose_device("cuda")
    here["found"], failing[:] = processes.rank() == 0, []
    found.append(choose_device())
    here["found"], here["count"] = True, 2 - processes.rank()
    with pytest.raises(TrainingError, match="it has 1 CUDA device:|Another process has no device"):
        choose_device()
    return list(map(str, found))


def test_each_process_has_a_gpu_of_its_own_and_none_has_one_where_one_fails(tmp_path):
    """A program chooses its device, and `fit` is given what it chose."""
    first, second = in_processes(2, chosen, tmp_path)
    assert first == [*["cuda:0"] * 4, *["cpu"] * 3]
    assert second == [*["cuda:1"] * 4, *["cpu"] * 3]


def test_a_plateau_ends_all_at_once_and_callbacks_run_in_the_first_alone(tmp_path):
    def ended() -> tuple[int, int]:
        vae, called = sampled_model(), []
        history = fit(
            vae, ImageData(digits(0, 40).images), epochs=20, batch_size=10, progress=False,
            schedule=partial(schedules.Plateau, patience=0, stop_below=1e-5, least_gain=1e6),
            callbacks=[lambda vae, record: called.append(evaluate(vae, digits_test()))],
        )  # fmt: skip
        return len(history), len(called)

    def digits_test() -> ImageData:
        return data.load("digits").test.select(slice(0, 20))

    (length, called), (other, not_called) = in_processes(2, ended, tmp_path)
    assert 1 < length == other == called < 20 and not_called == 0


class Positions:
    """Reads images whose only value is their position, and notes who read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, positions: Tensor) -> Tensor:
        with (self.folder / f"{os.environ['RANK']}.read").open("a") as file:
            file.write("".join(f"{each}\n" for each in positions.tolist()))
        return positions.to(torch.uint8).view(-1, 1, 1, 1)


def test_each_process_reads_its_own_images_of_a_stream(tmp_path):
    from pyro_vae.data.streams import Stream
    from pyro_vae.training.epoch import own_batches

    def own() -> list[list[int]]:
        stream = Stream(Positions(tmp_path), torch.arange(41))
        found = own_batches(ImageData(stream), 10, torch.arange(41).flip(0))
        with processes.joined():
            return [(255 * x).round().int().flatten().tolist() for x, _ in found]

    parts = in_processes(3, own, tmp_path)
    batches = [sorted(sum(each, [])) for each in zip(*parts, strict=True)]
    order = list(range(41))
    # Of the last batch, of image 0, two processes have none, and look at it without counting it.
    assert batches == [order[31:], order[21:31], order[11:21], order[1:11], [0, 0, 0]]
    for rank, seen in enumerate(parts):
        read = set(map(int, (tmp_path / f"{rank}.read").read_text().split()))
        assert read - {40} <= set(sum(seen, [])) and len(read) < 20


SMALL = ("--recipe", "mnist_mlp", "--data", "digits", "--limit", "90", "--epochs", "1")


def run_program(*arguments: str) -> list[Any]:
    """What `pyro-vae` printed, and its exit code."""
    printed, errors = io.StringIO(), io.StringIO()
    code: Any = 0
    with redirect_stdout(printed), redirect_stderr(errors):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    return [code, printed.getvalue(), errors.getvalue()]


def test_the_program_trains_in_several_processes_of_which_one_speaks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, silent = in_processes(
        2, run_program, tmp_path / "told", "train", *SMALL, "--skip-pictures", "--with-autoencoder"
    )
    assert told[0] == silent[0] == 0, (told, silent)
    assert "Everything is in" in told[1] and silent[1] == silent[2] == ""
    run = Run(tmp_path / "runs" / "mnist_mlp")
    assert len(run.records()) == len(run.autoencoder.records()) == 1
    assert run.numbers()["images"] == 180 and run.code_table.exists()
    assert len(run.starts()) == 1 and not (tmp_path / "runs" / "mnist_mlp-2").exists()
    refused = in_processes(
        2, run_program, tmp_path / "told", "train", *SMALL, "--out", "runs/mnist_mlp"
    )
    assert [code for code, *_ in refused] == [2, 2]
    assert "already holds a run" in refused[0][2] and "process 1: error: " in refused[1][2]


@pytest.mark.slow
def test_torchrun_ends_where_a_process_is_killed_and_the_run_continues_in_one(tmp_path):
    program = ["-m", "pyro_vae", "train", *SMALL, "--skip-pictures", "--out", "run"]
    program += ["--batch-size", "4", "--checkpoint-every", "5 steps", "--epochs", "200"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    given = {"cwd": tmp_path, "env": environment, "text": True}
    group = subprocess.Popen([*torchrun, *program], stderr=subprocess.PIPE, **given)
    while not Run(tmp_path / "run").begun():
        time.sleep(0.2)
        assert group.poll() is None, group.stderr.read()
    workers = psutil.Process(group.pid).children()
    last = max(workers, key=lambda each: int(each.environ()["RANK"]))
    last.kill()
    _, errors = group.communicate(timeout=300)
    assert group.returncode != 0 and "The last checkpoint, where there is one, is whole" in errors
    reached = len(Run(tmp_path / "run").records())
    resume = ["-m", "pyro_vae", "train", "--resume", "--out", "run", "--skip-pictures"]
    resume += ["--epochs", str(reached + 2)]
    ended = subprocess.run([sys.executable, *resume], capture_output=True, **given)
    assert ended.returncode == 0, ended.stderr
    assert len(Run(tmp_path / "run").records()) == reached + 2
