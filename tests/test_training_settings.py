"""Settings of a training: declared once, bounded everywhere, and each does what it says."""

import copy
import inspect
import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from conftest import small_vae

from pyro_vae import PyroVAEError, checkpoints, fit, networks, priors
from pyro_vae._settings import Settings, declared, setting
from pyro_vae.annealing import Linear
from pyro_vae.errors import ArgumentError
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.configuration import parse, read_configuration
from pyro_vae.experiments.options import SETTINGS
from pyro_vae.recipes import RECIPES
from pyro_vae.schedules import Constant
from pyro_vae.training import Run, TrainingError, TrainingSettings
from pyro_vae.training.optimizers import make_optimizer, optimizers


def quick(vae, digits, **settings):
    settings = {"epochs": 1, "batch_size": 100, "progress": False, "device": "cpu"} | settings
    train, validation = digits.split(200)
    return fit(vae, train.select(slice(400)), validation=validation, **settings)


def weights(vae) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()])


def test_fit_recipe_and_command_line_have_every_setting_of_the_declaration(capsys):
    known = declared(TrainingSettings)
    shown = inspect.signature(fit).parameters
    for name, each in known.items():
        assert shown[name].default is each.default
        assert SETTINGS[name] == each
        assert hasattr(RECIPES["fashion_conv"], name)
    with pytest.raises(SystemExit):
        parse(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    for each in known.values():
        assert f"{each.option} " in words and each.help in words


def test_a_setting_added_to_a_declaration_is_checked_without_more_code():
    @dataclass(frozen=True, kw_only=True)
    class Mine(Settings):
        patience: int = setting(3, "number of epochs to wait", at_least=1)
        share: float | None = setting(None, "share that is kept", above=0, below=1)

    assert Mine().patience == 3 and Mine(share=0.5).share == 0.5
    with pytest.raises(ArgumentError, match=r"patience must be a whole number, 1 or more, got 0\."):
        Mine(patience=0)
    with pytest.raises(ArgumentError, match="share must be a number above 0 and below 1, got 1"):
        Mine(share=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, 1 or more, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number, 1 or more, got 2.5"),
        ({"epochs": math.nan}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0"),
        ({"learning_rate": math.inf}, "learning_rate must be a number above 0, got inf"),
        ({"beta": -1}, "beta must be a number, 0 or more, got -1"),
        ({"clip": 0}, "clip must be a number above 0, got 0"),
        ({"average": 1}, "average must be a number above 0 and below 1, got 1"),
        ({"keep": "first"}, "keep must be one of best, last, got 'first'"),
        ({"new_draws": 1}, "new_draws must be true or false, got 1"),
        ({"learning_rates": 1}, "no setting 'learning_rates'. Did you mean learning_rate"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS does not fit this training.*AdamW"),
        ({"optimizer": torch.optim.SparseAdam}, "SparseAdam does not fit"),
        ({"optimizer": "Adam"}, "optimizer must be a class of torch.optim"),
        ({"optimizer": partial(torch.optim.AdamW, lr=1.0)}, "lr of AdamW.*give learning_rate"),
        ({"optimizer": partial(torch.optim.AdamW, eps=1.0)}, "eps of AdamW.*give epsilon"),
        ({"optimizer": partial(torch.optim.SGD, momentum=-1)}, "SGD refuses.*momentum"),
    ],
)
def test_what_is_not_accepted_is_named_and_nothing_is_written(digits, tmp_path, settings, message):
    folder = tmp_path / "run"
    with pytest.raises(ArgumentError, match=message) as refused:
        quick(small_vae(), digits, folder=folder, **settings)
    assert isinstance(refused.value, ValueError) and isinstance(refused.value, PyroVAEError)
    assert not folder.exists()


@pytest.mark.parametrize("name", optimizers())
def test_every_optimizer_of_torch_trains_and_resumes_exactly(digits, tmp_path, name):
    start = small_vae()

    def run(folder, epochs, **more):
        vae = copy.deepcopy(start)
        torch.manual_seed(1)
        settings = {"optimizer": optimizers()[name], "learning_rate": 1e-2, "schedule": Constant()}
        return vae, quick(vae, digits, epochs=epochs, folder=folder, **settings, **more)

    whole, history = run(tmp_path / "whole", 2)
    assert history[1]["train_loss"] < history[0]["train_loss"]
    assert not torch.equal(weights(whole), weights(start))
    run(tmp_path / "halves", 1)
    halves, _ = run(tmp_path / "halves", 2, resume=True)
    assert torch.equal(weights(whole), weights(halves))


def test_an_optimizer_takes_its_own_arguments_by_name_on_the_command_line(tmp_path):
    options = ["--optimizer", "AdamW", "--optimizer.weight_decay", "0.25"]
    recipe = parse(options).recipe
    assert recipe.optimizer.func is torch.optim.AdamW
    assert recipe.optimizer.keywords == {"weight_decay": 0.25}
    (tmp_path / "config.yaml").write_text(parse(options).text)
    again = read_configuration(tmp_path / "config.yaml")
    assert again.recipe.optimizer.keywords == {"weight_decay": 0.25}
    assert again.changed == ("optimizer",)
    assert parse([]).changed == ()


def test_the_gradient_is_clipped_to_its_norm(digits):
    norms = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            gradients = [p.grad.flatten() for g in self.param_groups for p in g["params"]]
            norms.append(torch.cat(gradients).norm().item())
            return super().step(closure)

    settings = {"optimizer": Watched, "learning_rate": 1e-6}
    quick(small_vae(), digits, **settings)
    free, norms[:] = list(norms), []
    assert min(free) > 0.5
    quick(small_vae(), digits, clip=0.5, **settings)
    assert norms == pytest.approx([0.5] * len(free), rel=1e-4)
    norms.clear()
    quick(small_vae(), digits, clip=1e6, **settings)
    assert max(norms) > 0.5  # A norm that is short enough stays.


def test_averaged_weights_are_the_moving_average_of_the_steps_and_are_kept(digits, tmp_path):
    decay, steps, seen = 0.9, [], []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            steps.append(torch.cat([p.detach().flatten() for p in self.param_groups[0]["params"]]))

    vae = small_vae()
    quick(
        vae, digits, optimizer=Watched, average=decay, folder=tmp_path / "run", epochs=2,
        keep="last", callbacks=[lambda judged, record: seen.append(weights(judged))],
    )  # fmt: skip
    expected = steps[0].clone()
    for after in steps[1:]:
        expected = decay * expected + (1 - decay) * after
    assert torch.allclose(weights(vae), expected, atol=1e-6)
    assert torch.equal(seen[-1], weights(vae))
    assert torch.equal(weights(checkpoints.load(Run(tmp_path / "run").weights)), weights(vae))
    assert not torch.allclose(weights(vae), steps[-1], atol=1e-5)


def batch_normalized():
    from pyro_vae import VAE, likelihoods, posteriors

    shape = (1, 8, 8)
    return VAE(
        priors.VampPrior(2, components=4),
        likelihoods.Bernoulli(networks.BatchNormDecoder(2, shape), gray_levels=True),
        posteriors.DiagonalNormal(networks.BatchNormEncoder(shape), 2),
    )


def test_an_averaged_training_resumes_exactly_buffers_and_shared_parts_included(digits, tmp_path):
    start = batch_normalized()

    def run(folder, epochs, **more):
        vae = copy.deepcopy(start)
        torch.manual_seed(1)
        settings = {"average": 0.95, "schedule": Constant(), "keep": "last"}
        history = quick(vae, digits, epochs=epochs, folder=folder, **settings, **more)
        return vae.state_dict(), history

    whole, history = run(tmp_path / "whole", 3)
    run(tmp_path / "parts", 1)
    parts, resumed = run(tmp_path / "parts", 3, resume=True)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert [r["validation_loss"] for r in history] == [r["validation_loss"] for r in resumed]
    raw = checkpoints.contents(Run(tmp_path / "whole").last)["weights"]
    for name, value in whole.items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(value, raw[name]), name  # Buffers are copied as they are.
    assert not torch.equal(whole["posterior.mean.weight"], raw["posterior.mean.weight"])


def test_the_new_settings_are_kept_by_a_run_and_shown_as_changed(tmp_path):
    options = "--recipe mnist_mlp --data digits --limit 60 --epochs 1 --clip 1 --average 0.9"
    experiment = Experiment.start([*options.split(), "--out", str(tmp_path / "run")])
    vae = experiment.build()
    experiment.train(vae, progress=False)
    opened = Experiment.open(tmp_path / "run")
    assert (opened.recipe.clip, opened.recipe.average) == (1.0, 0.9)
    assert "clip, average" in opened.recipe.summary


@pytest.mark.parametrize("name", optimizers())
def test_every_optimizer_is_chosen_on_the_command_line_with_its_own_defaults(name, tmp_path):
    configuration = parse(["--optimizer", name])
    assert configuration.recipe.optimizer.func is optimizers()[name]
    assert configuration.recipe.optimizer.keywords == {}
    make_optimizer(configuration.recipe, [torch.nn.Parameter(torch.zeros(1))])
    (tmp_path / "config.yaml").write_text(configuration.text)
    again = read_configuration(tmp_path / "config.yaml").recipe.optimizer
    assert (again.func, again.keywords) == (optimizers()[name], {})


def test_the_default_weight_decay_of_adamw_is_torchs_own():
    recipe = parse(["--optimizer", "AdamW", "--optimizer.weight_decay", "0.01"]).recipe
    optimizer = make_optimizer(recipe, [torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    assert optimizer.param_groups[0]["lr"] == recipe.learning_rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"objective": "ELBO"},
            "objective must be a class or an instance of Objective, got 'ELBO'",
        ),
        ({"schedule": Linear()}, "schedule must be a class or an instance of Schedule"),
        ({"annealing": 0.5}, "annealing must be a class or an instance of Annealing, got 0.5"),
        ({"annealing": partial(Linear, nope=1)}, "annealing cannot be made: .*nope"),  # type: ignore[call-arg]
        ({"validation": "digits"}, "validation must be ImageData.*got 'digits'"),
    ],
)
def test_parts_of_another_kind_are_refused_by_name(digits, settings, message):
    given = {"epochs": 1, "progress": False, "device": "cpu"} | settings
    with pytest.raises(PyroVAEError, match=message):
        fit(small_vae(), digits.train.select(slice(40)), **given)


@pytest.mark.parametrize("resumed", [{"optimizer": torch.optim.SGD}, {"average": 0.9}])
def test_a_training_resumes_with_its_own_optimizer_and_averaging_alone(digits, tmp_path, resumed):
    quick(small_vae(), digits, folder=tmp_path / "run")
    with pytest.raises(TrainingError, match="other settings: the optimizer Adam. Resume"):
        quick(small_vae(), digits, folder=tmp_path / "run", epochs=2, resume=True, **resumed)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_divergence_that_shows_in_validation_first_is_named(digits, optimizer):
    with pytest.raises(TrainingError, match="The training diverged"):
        quick(small_vae(), digits, batch_size=400, learning_rate=1e30, optimizer=optimizer)
