"""Run folders of version 0.1, kept as they were written: they open, continue and are drawn.

`stopped` was interrupted in its third of four epochs; `whole_history.json` is what the same
training recorded when it was not. Both name settings by their spelling of then.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pyro_vae import load, networks
from pyro_vae.analysis import draw
from pyro_vae.analysis.pages import report
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.results import collect
from pyro_vae.training import Run

SAVED = Path(__file__).parent / "runs_of_0_1"


@pytest.fixture
def saved(tmp_path) -> Path:
    """Copies of the run folders, which tests may change."""
    shutil.copytree(SAVED, tmp_path / "runs")
    return tmp_path / "runs"


def comparable(record: dict) -> dict:
    return {name: value for name, value in record.items() if "seconds" not in name}


def test_a_stopped_run_continues_as_if_never_stopped(saved):
    experiment = Experiment.start(["--resume", "--out", str(saved / "stopped"), "--device", "cpu"])
    assert experiment.recipe.pixels == "dequantized"
    vae = experiment.build()
    assert vae.likelihood.standardized == (0.5, 0.25)
    experiment.train(vae, progress=False)
    whole = json.loads((SAVED / "whole_history.json").read_text())
    for found, expected in zip(experiment.history(), whole, strict=True):
        # To single precision: another machine's kernels round otherwise.
        assert comparable(found) == pytest.approx(comparable(expected), rel=1e-4, abs=1e-4)


OWN_ENCODER = """
from torch import nn
from pyro_vae import networks
class ConvEncoder(networks.Encoder):
    def __init__(self, image_shape: networks.ImageShape, channels: list[int] = [2]) -> None:
        super().__init__()
        self.layers, self.features = nn.Flatten(), networks.values_in(image_shape)
"""


def test_what_a_run_of_before_does_not_say_is_as_it_was_then(saved, monkeypatch):
    """Since then fashion_conv begins with other weights, laid out in another way."""
    path = saved / "finished" / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("as_published: true", "as_published: false"))
    recipe = Experiment.open(saved / "finished").recipe
    assert not Experiment.open(saved / "finished").configuration.settings.as_published
    assert recipe.memory_format == "contiguous"
    begun = []
    for make in (recipe.encoder, networks.ConvEncoder):
        torch.manual_seed(0)
        begun.append(make((1, 8, 8), channels=(2, 2)))  # type: ignore[call-arg]
    one, other = (list(each.parameters()) for each in begun)
    assert all(map(torch.equal, one, other))
    (saved / "mine_of_then.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(str(saved))
    own = text.replace("pyro_vae.networks.ConvEncoder", "mine_of_then.ConvEncoder")
    path.write_text(own)
    assert Experiment.open(saved / "finished", trust=True).recipe.encoder((1, 8, 8)).features == 64
    path.write_text("recipe: fashion_conv\n")  # As one writes it by hand: the rest is today's.
    assert Experiment.open(saved / "finished").recipe.memory_format == "channels_last"


@pytest.mark.parametrize("name", ["stopped", "finished"])
def test_a_run_is_evaluated_and_drawn(saved, name):
    experiment = Experiment.open(saved / name)
    numbers = experiment.evaluate(experiment.load(), samples=5)
    assert numbers["elbo"] == pytest.approx(-numbers["distortion"] - numbers["rate"])
    subject = subject_of_run(experiment, device="cpu")
    pictures = ["reconstruct_after_train", "training_curves", "training_steps", "latent_progress"]
    drawn = draw(subject, experiment.run.folder, pictures, progress=False)
    assert {path.stem for path in drawn} == set(pictures)
    report.write(subject, experiment.run, progress=False)
    assert (saved / name / "report.html").read_text().count("<figure") == len(pictures)
    (row,) = collect([saved / name])
    assert row.cell("epochs", 0) == str(len(experiment.history()))


def test_numbers_are_those_that_were_evaluated_then(saved):
    experiment = Experiment.open(saved / "finished")
    then = json.loads(experiment.run.evaluation.read_text())
    now = experiment.evaluate(experiment.load())
    for name in ("elbo", "distortion", "rate"):
        assert now[name] == pytest.approx(then[name], rel=1e-5)


def test_a_saved_model_of_then_is_loaded_without_its_run(saved):
    vae = load(saved / "finished" / "model_weights" / "best_vae.pt")
    assert vae.likelihood.measure == "none" and vae.sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("damage", ["", "{", '{"a": 1}'])
def test_a_damaged_record_of_its_starts_stops_neither_a_run_nor_its_report(saved, damage):
    folder = saved / "stopped"
    (folder / "provenance.json").write_text(damage)
    assert Run(folder).starts() == []
    subject = subject_of_run(Experiment.open(folder), device="cpu")
    assert "<html" in report.page(subject, Run(folder))
    experiment = Experiment.start(["--resume", "--out", str(folder), "--device", "cpu"])
    experiment.train(experiment.build(), progress=False)
    assert len(Run(folder).starts()) == 1
