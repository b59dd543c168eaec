"""A run knows its data: it says where they have changed, and finds them where they moved."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae.data import Dataset, ImageData
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.experiments.configuration import parse
from pyro_vae.experiments.data_record import kept_data
from pyro_vae.training import Run, records

SETTINGS = ["--recipe", "mnist_mlp", "--epochs", "1", "--latent-size", "2"]


@pytest.fixture(autouse=True)
def every_warning(caplog):
    """Warnings that a program gives once are given in every test."""
    records.warn_once.cache_clear()
    caplog.set_level(logging.WARNING, "pyro_vae")


def write_images(folder, count=24, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for k in range(count):
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{k:03d}.png")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with images in it, and a run on them."""
    folder = tmp_path / "project"
    write_images(folder / "images")
    monkeypatch.chdir(folder)
    experiment = Experiment.start([*SETTINGS, "--data", "images", "--out", "runs/first"])
    experiment.train(experiment.build(), progress=False)
    return folder


def test_the_record_holds_what_the_data_were(project):
    record = kept_data(Run(project / "runs" / "first"))
    assert record.data == "images" and record.shape == (1, 8, 8)
    assert record.parts["train"]["images"] == 22 and record.parts["test"]["images"] == 2
    opened = Experiment.open("runs/first")
    assert record.decisions == opened.dataset.decisions
    assert opened.data_changes == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: write_images(images, 30), "train: 22 images then, 27 now"),
        (lambda images: write_images(images, 24, seed=1), "train: other pixels or classes"),
        (lambda images: (images / "000.png").rename(images / "new.png"), "files of other names"),
    ],
)
@pytest.mark.parametrize("how", ["evaluate", "resume"])
def test_changed_data_are_said_to_have_changed(project, change, said, how, caplog):
    change(project / "images")
    if how == "evaluate":
        experiment = Experiment.open("runs/first")
        experiment.evaluate(experiment.load())
        assert not experiment.run.evaluation.exists()
    else:
        more = ["--resume", "--out", "runs/first", "--epochs", "2"]
        Experiment.start(more).dataset  # noqa: B018
    assert "The data are not those that" in caplog.text and said in caplog.text


def test_unchanged_data_are_not_spoken_of(project, caplog):
    experiment = Experiment.open("runs/first")
    experiment.evaluate(experiment.load())
    assert not caplog.text and experiment.run.evaluation.exists()


def test_a_run_finds_its_data_where_the_project_moved(project, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "moved")
    assert Experiment.open("moved/runs/first").data_changes == []
    shutil.move(tmp_path / "moved/runs/first", tmp_path / "alone")
    opened = Experiment.open("alone")
    with pytest.raises(ConfigurationError, match=r"Looked for: .*images.*--data PATH"):
        opened.dataset  # noqa: B018
    found = Experiment.open("alone", data="moved/images")
    assert found.data_changes == [] and not caplog.text


def test_other_data_are_brought_to_the_size_and_kept_apart(project, caplog):
    caplog.set_level(logging.INFO, "pyro_vae")
    Image.fromarray(np.zeros((20, 16, 3), np.uint8)).save(project / "images" / "large.png")
    (project / "other").mkdir()
    for k in range(4):
        shade = np.full((20, 20, 3), 60 * k, np.uint8)
        Image.fromarray(shade).save(project / "other" / f"{k}.png")
    experiment = Experiment.open("runs/first", data="other")
    assert experiment.dataset.image_shape == (1, 8, 8)
    found = experiment.evaluate(experiment.load())
    assert found["images"] == 4 and not experiment.run.evaluation.exists()
    said = caplog.text
    assert "other: read like the images of runs/first: 1×8×8, uint8 from 0 to 255" in said
    assert said.count("read like the images of") == 1 and "not those that" not in said


def test_the_evaluation_of_other_data_leaves_the_runs_own_alone(project, tmp_path, caplog):
    experiment = Experiment.open("runs/first")
    experiment.evaluate(experiment.load())
    own = experiment.run.evaluation.read_bytes()
    write_images(project / "other", 24, seed=1)  # As many as the run was trained on.
    for record in (True, False):
        if not record:  # A run of before says nothing of its data.
            experiment.run.data.unlink()
            caplog.set_level(logging.INFO, "pyro_vae")
        other = Experiment.open("runs/first", data="other")
        assert other.evaluate(other.load())["images"] == 24 and other.on_other_data
        assert experiment.run.evaluation.read_bytes() == own
        assert "not those that" not in caplog.text
    assert "runs/first does not say what it was trained on" in caplog.text
    again = Experiment.open("runs/first", data="images")
    assert again.evaluate(again.load())["images"] == 2 and not again.on_other_data


def test_a_run_knows_its_own_data_at_another_place_and_divides_them(project, caplog):
    caplog.set_level(logging.INFO, "pyro_vae")
    (project / "images").rename(project / "moved")
    found = Experiment.open("runs/first", data="moved")
    numbers = found.evaluate(found.load())
    assert numbers["images"] == 2 and found.run.evaluation.exists() and not found.on_other_data
    assert "moved: the images that runs/first was trained on" in caplog.text
    assert [len(part) for part in found.dataset.parts.values()] == [22, 2]


@pytest.mark.parametrize("pixels", ["gray", "binarized", "binarized-once"])
def test_one_image_is_all_that_a_run_needs_later(project, pixels):
    likelihood = [] if pixels == "gray" else ["--likelihood", "Bernoulli", "--pixels", pixels]
    start = [*SETTINGS, *likelihood, "--data", "images", "--out", f"runs/{pixels}"]
    experiment = Experiment.start(start)
    experiment.train(experiment.build(), progress=False)
    write_images(project / "new", 1, seed=5)
    for place in ("new", "new/000.png"):
        later = Experiment.open(f"runs/{pixels}", data=place)
        assert list(later.dataset.parts) == ["test"] and later.dataset.test.names == ("000.png",)
        assert later.evaluate(later.load())["images"] == 1


def test_a_run_that_starts_from_another_takes_its_data(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    took = parse(["--start-from", "project/runs/first"])
    assert (tmp_path / took.recipe.data).resolve() == project / "images"
    assert took.recipe.padding == 0 and took.recipe.latent_size == 2
    told = parse(["--start-from", "project/runs/first", "--data", "digits", "--pixels", "gray"])
    assert told.recipe.data == "digits" and told.recipe.pixels == "gray"
    assert parse(["--start-from", "null"]).recipe.data == "fashion-mnist"


@pytest.mark.parametrize(
    "damage", ["{", "[]", "null", '{"data": 3}', '{"data": "a", "places": [1]}', "[" * 100_000]
)
def test_a_damaged_record_is_left_out(project, damage, caplog):
    (project / "runs/first/data.json").write_text(damage)
    assert Experiment.open("runs/first").data_changes == []
    assert "data.json is damaged" in caplog.text


def test_the_validation_part_of_the_data_is_used(project, monkeypatch):
    levels = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8)
    parts = [ImageData(part) for part in levels.split([40, 12, 8])]
    experiment = Experiment.open("runs/first")
    dataset = Dataset("three", parts[0], parts[1], validation=parts[2])
    monkeypatch.setattr(type(experiment.configuration), "dataset", lambda _: dataset)
    train, validation = experiment.parts
    assert len(train) == 40 and validation is dataset.validation
    assert experiment.held_out == 8 and experiment.roles_of_test == ()


def test_help_promises_no_more_steps_than_there_will_be(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "as many as make 2,000 steps, but at most 200" in said


def test_a_record_is_json_of_plain_values(project):
    found = json.loads((project / "runs/first/data.json").read_text())
    assert found["places"][0] == "../../images" and set(found["parts"]) == {"train", "test"}
