"""The loop: it learns, stops, goes on as if never stopped, and says what is wrong."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_vae

from pyro_vae import checkpoints, evaluate, fit, likelihoods, networks, posteriors, priors
from pyro_vae.evaluation import terms
from pyro_vae.objectives import ELBO, IWAE
from pyro_vae.schedules import Constant, OneCycle, Plateau, Schedule
from pyro_vae.training import TrainingError, batches, choose_device
from pyro_vae.training.run_folder import Run


def quick(vae, digits, **settings):
    settings = {"epochs": 2, "batch_size": 100, "progress": False, "device": "cpu"} | settings
    train, validation = digits.split(200)
    return fit(vae, train, validation=validation, **settings)


def weights(vae) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in vae.parameters()])


def test_it_learns_real_digits_and_two_models_do_not_disturb_each_other(digits):
    first, second = small_vae(), small_vae()
    history = quick(first, digits, epochs=4, learning_rate=5e-3)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] - 2
    kept = weights(first)
    other = quick(second, digits, epochs=4, learning_rate=5e-3)
    assert other[-1]["validation_loss"] < other[0]["validation_loss"] - 2
    assert torch.equal(weights(first), kept)


def test_it_keeps_the_weights_of_the_best_epoch_or_of_the_last(digits, tmp_path):
    class Spoiled(Schedule):
        """The last of three epochs is far too fast."""

        def before_step(self, progress):
            self.optimizer.param_groups[0]["lr"] = 1e-3 if progress < 0.66 else 0.5

    for keep, epoch in (("best", 1), ("last", 2)):
        after = []
        vae, run = small_vae(), Run(tmp_path / keep)
        history = quick(
            vae, digits, epochs=3, schedule=Spoiled(), keep=keep, folder=run.folder,
            callbacks=[lambda vae, record, after=after: after.append(weights(vae).clone())],
        )  # fmt: skip
        losses = [record["validation_loss"] for record in history]
        assert losses.index(min(losses)) == 1
        assert torch.equal(weights(vae), after[epoch])
        assert torch.equal(weights(checkpoints.load(run.weights)), after[epoch])


def test_a_trained_model_is_trained_on_from_its_weights(digits):
    vae = small_vae()
    first = quick(vae, digits, epochs=4, learning_rate=5e-3)
    second = quick(vae, digits, epochs=1, learning_rate=1e-4, objective=IWAE(samples=5))
    assert second[0]["validation_elbo"] > first[1]["validation_elbo"]


def test_every_image_is_seen_once_an_epoch(digits):
    sums = torch.cat([x.sum((1, 2, 3)) for x in batches(digits.train, 100)])
    assert len(sums) == len(digits.train)
    expected = digits.train.as_float().sum((1, 2, 3))
    assert torch.allclose(sums.sort().values, expected.sort().values, atol=1e-3)
    again = torch.cat([x.sum((1, 2, 3)) for x in batches(digits.train, 100)])
    assert not torch.equal(sums, again)


@pytest.mark.parametrize("schedule", [OneCycle, Plateau, Constant])
def test_a_stopped_run_goes_on_exactly_as_if_never_stopped(digits, tmp_path, schedule):
    start = small_vae().state_dict()

    def run(folder, **settings):
        vae = small_vae()
        vae.load_state_dict(start)
        torch.manual_seed(1)
        settings = {"epochs": 4, "schedule": schedule(), "folder": folder} | settings
        return vae, quick(vae, digits, **settings)

    whole, history = run(tmp_path / "whole")

    def interrupt(vae, record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "halves", callbacks=[interrupt])
    torch.manual_seed(99)
    halves, resumed = run(tmp_path / "halves", resume=True)
    assert torch.equal(weights(whole), weights(halves))
    for one, other in zip(history, resumed, strict=True):
        assert {k: v for k, v in one.items() if "seconds" not in k} == {
            k: v for k, v in other.items() if "seconds" not in k
        }


def test_stopped_between_any_two_files_a_run_goes_on_as_if_never_stopped(
    digits, tmp_path, monkeypatch
):
    start, few = small_vae().state_dict(), replace(digits, train=digits.train.select(slice(400)))

    def run(folder, epochs=2, resume=False):
        vae = small_vae()
        vae.load_state_dict(start)
        torch.manual_seed(1)
        quick(vae, few, epochs=epochs, schedule=Constant(), folder=folder, resume=resume)
        return weights(vae)

    whole, written, stop_after = run(tmp_path / "whole", epochs=3), 0, math.inf
    name_file = os.replace

    def counting(*paths):
        nonlocal written
        name_file(*paths)
        written += 1
        if written == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", counting)
    run(tmp_path / "counted")
    files, started = written, 3  # The weights, the history and the state before the first epoch.
    assert files >= started + 2 * 2
    for last in range(started, files + 1):
        folder, written, stop_after = tmp_path / str(last), 0, last
        with pytest.raises(KeyboardInterrupt):
            run(folder)
        finished = len(checkpoints.contents(Run(folder).last)["history"])
        assert len(json.loads(Run(folder).history.read_text())) in (finished, finished + 1)
        stop_after = math.inf
        assert torch.equal(run(folder, epochs=3, resume=True), whole)
        assert len(json.loads(Run(folder).history.read_text())) == 3


def test_a_run_folder_is_usable_before_the_first_epoch_has_ended(digits, tmp_path):
    class Interrupting(ELBO):
        def __call__(self, *arguments):
            if torch.is_grad_enabled():  # Not when it is tried beforehand.
                raise KeyboardInterrupt
            return super().__call__(*arguments)

    with pytest.raises(KeyboardInterrupt):
        quick(small_vae(), digits, objective=Interrupting(), folder=tmp_path)
    assert checkpoints.load(Run(tmp_path).weights).sample(2).shape == (2, 1, 8, 8)
    assert json.loads(Run(tmp_path).history.read_text()) == []
    assert not list(tmp_path.rglob("*.partial"))


def test_the_best_weights_are_kept_not_the_last(digits, tmp_path):
    """A learning rate that explodes at the end must not spoil the result."""

    class Exploding(Constant):
        def before_step(self, progress):
            self.optimizer.param_groups[0]["lr"] = 2e-3 if progress < 0.66 else 1.0

    vae = small_vae()
    history = quick(vae, digits, epochs=3, schedule=Exploding(), folder=tmp_path)
    losses = [record["validation_loss"] for record in history]
    assert losses[2] > losses[1]
    _, validation = digits.split(200)
    reached = -evaluate(vae, validation, analytic_kl=False).elbo
    assert abs(reached - losses[1]) < 1.0
    assert torch.equal(weights(checkpoints.load(Run(tmp_path).weights)), weights(vae))
    assert not vae.training


def test_history_reports_the_true_elbo_whatever_beta(digits):
    (record,) = quick(
        small_vae(), digits, epochs=1, beta=4.0, published_loss=lambda d, r: d + 9 * r
    )
    distortion, rate = record["train_distortion"], record["train_rate"]
    assert math.isclose(record["train_elbo"], -distortion - rate)
    assert math.isclose(record["train_loss"], distortion + 4 * rate, rel_tol=1e-4)
    assert math.isclose(record["train_published_loss"], distortion + 9 * rate)


def test_every_step_is_kept_and_their_mean_is_the_epochs(digits, tmp_path):
    vae, few = small_vae(), replace(digits, train=digits.train.select(slice(450)))
    for epochs, resume in ((1, False), (2, True)):
        history = quick(vae, few, epochs=epochs, beta=3.0, folder=tmp_path, resume=resume)
    for record in history:
        rows = np.genfromtxt(Run(tmp_path).steps(record["epoch"]), delimiter=",", names=True)
        assert rows["step"].tolist() == [1, 2, 3]
        for name in ("loss", "elbo", "distortion", "rate"):
            mean = np.average(rows[name], weights=(100, 100, 50))
            assert mean == pytest.approx(record[f"train_{name}"], rel=1e-5)
        assert rows["loss"] == pytest.approx(rows["distortion"] + 3 * rows["rate"], rel=1e-5)


def test_validation_is_at_the_same_draws_or_at_new_ones(digits, tmp_path):
    """Weights that stand still have one validation loss, or one for each epoch."""
    still = {"learning_rate": 1e-30, "schedule": Constant(), "epochs": 3}
    losses = {}
    for new in (False, True):
        torch.manual_seed(0)
        history = quick(small_vae(), digits, new_draws=new, **still)
        losses[new] = [record["validation_loss"] for record in history]
    assert len(set(losses[False])) == 1 and len(set(losses[True])) == 3
    assert losses[True] == pytest.approx([losses[False][0]] * 3, rel=0.01)


def test_a_loss_that_is_no_number_stops_the_training(digits):
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        quick(small_vae(), digits, learning_rate=1e12, schedule=Constant())


def test_images_outside_the_support_are_refused_before_training(digits):
    vae = small_vae(likelihood=likelihoods.Bernoulli(networks.ConvDecoder(2, (1, 8, 8))))
    with pytest.raises(likelihoods.SupportError, match="binary"):
        quick(vae, digits)


def test_nothing_to_resume_is_said(digits, tmp_path):
    with pytest.raises(TrainingError, match="nothing to resume"):
        quick(small_vae(), digits, folder=tmp_path, resume=True)


def test_an_unknown_device_is_refused_by_name():
    with pytest.raises(TrainingError, match="warp"):
        choose_device("warp")
    with pytest.raises(TrainingError, match="shapes alone"):
        choose_device("meta")
    assert choose_device("cpu") == torch.device("cpu")


class Machine:
    """What torch reports of a machine with two GPUs and Apple's, and what each does."""

    def __init__(self, monkeypatch, **outcomes):
        self.tried, self.outcomes, ones = [], outcomes, torch.ones
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

        def made(*shape, device):
            self.tried.append(str(device))
            outcome = self.outcomes.get(str(device).replace(":", ""), 1.0)
            if isinstance(outcome, Exception):
                raise outcome
            return ones(*shape) * outcome

        monkeypatch.setattr(torch, "ones", made)


OLD = RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_a_device_that_fails_is_left_for_the_next_with_a_warning(monkeypatch, caplog):
    machine = Machine(monkeypatch, cuda0=OLD)
    choose_device()
    assert machine.tried == ["cuda:0", "cuda:1"]
    (warned,) = caplog.messages
    assert "cuda:0 is here, but is not used: CUDA error: no kernel image is available" in warned
    assert "Compile" not in warned


def test_where_every_accelerator_fails_the_cpu_is_used(monkeypatch, caplog):
    """One is full, one is broken and says so, one is broken and does not."""
    machine = Machine(monkeypatch, cuda0=FULL, cuda1=RuntimeError(), mps=2.0)
    assert choose_device() == torch.device("cpu")
    assert machine.tried == ["cuda:0", "cuda:1", "mps"]
    reasons = [words.partition("not used: ")[2] for words in caplog.messages]
    assert reasons == [
        "CUDA out of memory. Tried to allocate 20.00 MiB.",
        "RuntimeError.",
        "it computes wrong numbers.",
    ]


def test_a_named_device_that_fails_ends_in_one_line_with_cause_and_remedy(monkeypatch, caplog):
    machine = Machine(monkeypatch, cuda0=OLD, mps=2.0)
    with pytest.raises(TrainingError) as error:
        choose_device("cuda:0")
    words = str(error.value)
    assert words.startswith("The device 'cuda:0' cannot be used here: CUDA error: no kernel image")
    assert words.endswith("Choose cuda:1 or cpu, or name none.")
    assert "\n" not in words and machine.tried[0] == "cuda:0" and not caplog.messages


@pytest.mark.parametrize(
    "name", ["cuda", "cuda:7", "mps", "xpu", "hpu", "xla", "cuda:x", "", "gpu"]
)
def test_a_device_that_torch_has_not_is_answered_in_one_line(name):
    if name and torch.get_device_module().__name__.endswith(name.split(":")[0]):
        pytest.skip("This machine has one.")
    with pytest.raises(TrainingError, match="cannot be used here: .*Choose .*cpu") as error:
        choose_device(name)
    assert "\n" not in str(error.value) and repr(name) in str(error.value)


def test_plateau_divides_the_learning_rate_and_ends_the_training():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter])
    schedule = Plateau(factor=0.1, patience=1, stop_below=5e-3)
    schedule.start(optimizer, 0.1)
    going = [schedule.after_epoch(loss) for loss in (1.0, 0.5, 0.6, 0.6, 0.6, 0.6)]
    assert going == [True] * 5 + [False]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


@pytest.mark.parametrize("offset", [0.0, -1000.0])
@pytest.mark.parametrize("least_gain", [None, 0.5])
def test_a_plateau_is_one_where_the_loss_is_negative_too(offset, least_gain):
    """A log density has no sign: 999.95 after 1000 is a loss that stays or rises, not a gain."""
    rates = []
    for resumed in (False, True):
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
        schedule = Plateau(patience=2, least_gain=least_gain)
        schedule.start(optimizer, 0.1)
        for epoch in range(6):
            schedule.after_epoch(offset + 500 + 0.01 * epoch)
            if resumed:
                state = {**schedule.state_dict(), "threshold_mode": "rel", "threshold": 1e-4}
                schedule.load_state_dict(state)  # As runs of before kept it.
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [pytest.approx(0.01)] * 2
    schedule.after_epoch(offset + 499)
    assert schedule.plateau.num_bad_epochs == 0


def test_one_cycle_warms_up_and_anneals_to_zero():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    schedule = OneCycle(warm_up=0.25)
    schedule.start(optimizer, 0.1)
    rates = []
    for step in range(100):
        schedule.before_step(step / 100)
        rates.append(optimizer.param_groups[0]["lr"])
    assert max(rates) == rates[25] == pytest.approx(0.1)
    assert rates[0] < 0.01 and rates[-1] < 1e-3
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)


def test_evaluation_leaves_mode_and_random_numbers_as_found(digits):
    vae = small_vae().train()
    state = torch.get_rng_state()
    first, second = evaluate(vae, digits.test), evaluate(vae, digits.test, batch_size=500)
    assert vae.training and torch.equal(state, torch.get_rng_state())
    assert first == second
    assert first.elbo == pytest.approx(-first.distortion - first.rate)
    assert evaluate(vae, digits.test, seed=1) != first


def test_evaluation_averages_images_not_batches(digits):
    """A last batch of another size must not weigh more."""
    vae = small_vae(posterior=posteriors.Delta(networks.ConvEncoder((1, 8, 8)), 2))
    images = digits.test.select(slice(0, 103))
    distortion, rate = terms(vae.eval(), images.as_float(), analytic_kl=True)
    found = evaluate(vae, images, batch_size=100)
    assert found.distortion == pytest.approx(distortion.mean().item(), rel=1e-5)
    assert found.rate is None and found.elbo is None  # A Delta has no density.


def test_an_autoencoder_has_a_distortion_and_no_elbo(digits):
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    vae = small_vae(prior=priors.Flat(2), posterior=posteriors.Delta(encoder, 2))
    history = quick(vae, digits, objective=ELBO(), epochs=3, learning_rate=5e-3)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]
    found = evaluate(vae, digits.test)
    assert found.elbo is None and found.rate is None and found.distortion > 0


def test_the_bar_of_an_autoencoder_shows_no_elbo(digits, capsys):
    quick(small_vae(), digits, epochs=1, progress=True)
    shown = capsys.readouterr().err
    assert "valid: -ELBO" in shown and ", rate" in shown
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
    plain = small_vae(prior=priors.Flat(2), posterior=posteriors.Delta(encoder, 2))
    quick(plain, digits, epochs=1, progress=True)
    shown = capsys.readouterr().err
    assert "valid: distortion" in shown and "ELBO" not in shown and "rate" not in shown
