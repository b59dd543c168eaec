"""A run folder from a stranger: whatever it holds, it is read, and nothing of it is executed."""

import json
import logging
import os
import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pyro_vae._files import FileError
from pyro_vae._text import escaped
from pyro_vae.analysis import draw, training_curves
from pyro_vae.analysis.pages import report
from pyro_vae.commands import compare, evaluate, results
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.errors import PyroVAEError
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.experiments.configuration import parse, read_configuration
from pyro_vae.experiments.provenance import record_start
from pyro_vae.experiments.results import collect
from pyro_vae.training import Run
from pyro_vae.training.records import read_settings

SAVED = Path(__file__).parent / "runs_of_0_1" / "finished"
EVIL = """
import pathlib
pathlib.Path({marker!r}).touch()

def make(*args, **kwargs):
    return None

class Thing:
    pass
"""
MINE = """
import torch
from pyro_vae.priors import StandardNormal

class MyPrior(StandardNormal):
    pass

class MySGD(torch.optim.SGD):
    pass
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of a finished run, which a test may damage."""
    shutil.copytree(SAVED, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """A file that the module `evil_stranger` makes when it is imported."""
    (tmp_path / "path").mkdir()
    marker = tmp_path / "marker"
    (tmp_path / "path" / "evil_stranger.py").write_text(EVIL.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.delitem(sys.modules, "evil_stranger", raising=False)
    return marker


@pytest.fixture
def mine(tmp_path, monkeypatch) -> None:
    """A module `mine_of_user`, with a prior."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine_of_user.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path / "own")
    monkeypatch.delitem(sys.modules, "mine_of_user", raising=False)


def change(folder: Path, text: str) -> None:
    """Set what a text of YAML says in a run's configuration, in the place of what is there."""
    path = folder / "config.yaml"
    replaced = {line.partition(":")[0] for line in text.splitlines() if not line.startswith(" ")}
    kept = {k: v for k, v in yaml.safe_load(path.read_text()).items() if k not in replaced}
    path.write_text(yaml.safe_dump(kept) + text + "\n")


CODE = [
    "schedule: {class_path: os.system, init_args: {command: touch MARKER}}",
    "schedule: {class_path: subprocess.call, init_args: {args: [touch, MARKER]}}",
    "schedule: {class_path: evil_stranger.make, init_args: {}}",
    "schedule: evil_stranger.make",
    "objective: evil_stranger.Thing",
    "prior: {class_path: evil_stranger.StandardNormal}",
    "annealing: {class_path: evil_stranger.make}",
    "optimizer: evil_stranger.Adam",
    "optimizer: {class_path: torch.optim.SGD, init_args: {weight_decay: evil_stranger.make}}",
    "optimizer: {class_path: torch.optim.SGD, init_args: {weight_decay: [evil_stranger.make]}}",
    "optimizer: {class_path: SGD, init_args: {weight_decay: {class_path: evil_stranger.Thing}}}",
    "optimizer: {class_path: SGD, init_args: {weight_decay: '{class_path: evil_stranger.Thing}'}}",
    "optimizer: {class_path: SGD, init_args: {weight_decay.class_path: evil_stranger.Thing}}",
    "optimizer: {class_path: Adam, init_args: {betas: [evil_stranger.make, 0.9]}}",
    "optimizer: {weight_decay: evil_stranger.make}",
    "optimizer: {init_args: {weight_decay: evil_stranger.make}}",
    "optimizer: {class_path: SGD, init_args: {weight_decay: Parameter}}",
    "prior: {class_path: Flat, dict_kwargs: {command: evil_stranger.make}}",
    "prior: {class_path: pyro_vae.evil_stranger.Flat}",
    "prior: {class_path: pyro_vae.checkpoints.save}",
    "prior: {class_path: pyro_vae.commands.main}",
    "prior: {class_path: {class_path: evil_stranger.Thing}}",
    "prior: [evil_stranger.Thing]",
    "prior.class_path: evil_stranger.Thing",
    "optimizer.weight_decay: evil_stranger.make",
    "optimizer.init_args.weight_decay: evil_stranger.make",
    "evil_stranger.make: 1",
    "likelihood: {class_path: Bernoulli, init_args: {decoder: evil_stranger.Thing}}",
    "encoder: {class_path: FullyConnectedEncoder, "
    "init_args: {descriptors: [{out_features: 2, activation: evil_stranger.make}]}}",
    "prior.help: evil_stranger.Thing",
    "epochs: !!python/object/apply:os.system ['touch MARKER']",
    "prior: !!python/name:evil_stranger.make ''",
    "? !!python/object/apply:os.system ['touch MARKER']\n: 1",
]
#: What decides where a command writes, or on what it runs, is the user's to say.
ASKED = ["out: elsewhere", "resume: true", "device: cpu", "trust: true", "config: other.yaml"]
LAUGHS = "\n".join(
    ["seed0: &a0 [1]", *(f"seed{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 30))]
)
MERGED = "\n".join(
    [
        "a0: &a0 {k: 1}",
        *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)),
    ]
)
SHAPES = [
    LAUGHS,
    MERGED,
    "prior: &a [*a]",
    "prior: " + "[" * 5000,
    "prior: " + "[" * 40 + "]" * 40,
    "prior: {a: " * 300,
    "seed: " + "9" * 5000,
    "seed: 0x" + "f" * 5000,
    "seed: 18446744073709551616",
    "seed: 4294967296",
    "beta: .nan",
    "beta: .inf",
    "beta: 1e999",
    "prior: {class_path: Normal, init_args: {scale: .nan}}",
    "prior: {class_path: Normal, init_args: {scale: nan}}",
    "beta: !!binary aGFsbG8=",
    "beta: !!set {a}",
    "beta: !!timestamp x",
    "beta: !!bool x",
    "beta: !!int ''",
    "beta: !!float ''",
    "? [1, 2]\n: 3",
    "? {a: 1}\n: 3",
    "1: 2",
    "limit: 2020-01-01",
    "recipe: [a]",
    "recipe: nothing",
    "prior: null",
    "prior: 3",
    "prior: Nothing",
    "prior: {class_path: 3}",
    "prior: {class_path: Normal, init_args: 3}",
    "prior: {class_path: Normal, init_args: {scale: {a: b}}}",
    "epochs: -1",
    "epochs: [1]",
    "latent_size: {}",
    "pixels: []",
    "stream: 'maybe'",
    "unknown: 1",
    "a: b: c",
    "\x00",
    "- 1",
    "x" * 70_000,
]


@pytest.mark.parametrize("text", CODE)
def test_a_configuration_runs_no_code(folder, marker, text):
    change(folder, text.replace("MARKER", str(marker)))
    path = folder / "config.yaml"
    for read in (
        lambda: Experiment.open(folder),
        lambda: parse(["--epochs", "1", "--config", str(path), "--out", "x"]),
    ):
        with pytest.raises(ConfigurationError) as refused:
            read()
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
        assert not marker.exists() and "evil_stranger" not in sys.modules


@pytest.mark.parametrize("arguments", ["--resume --out {}", "--config {}/config.yaml"])
def test_a_training_runs_no_code_of_a_file_either(folder, tmp_path, marker, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    change(folder, "schedule: evil_stranger.make")
    with pytest.raises(ConfigurationError, match="schedule: 'evil_stranger.make'"):
        Experiment.start(arguments.format(folder).split())
    assert not marker.exists() and not Path("runs").exists()


def test_nothing_is_imported_before_trust_is_given_not_even_of_the_standard_library(folder):
    unused = ["antigravity", "this", "turtledemo", "idlelib.run"]
    assert not any(name in sys.modules for name in unused)
    for name in unused:
        change(folder, f"prior: {name}.Flat")
        with pytest.raises(ConfigurationError, match="names code from outside this library"):
            Experiment.open(folder)
    assert not any(name in sys.modules for name in unused)


def test_a_file_that_is_named_like_a_configuration_is_not_taken_for_it(
    folder, tmp_path, marker, monkeypatch
):
    text = "data: digits\n"  # The parser opens what it is given if there is such a file.
    (folder / "config.yaml").write_text(text)
    (tmp_path / text).write_text("schedule: evil_stranger.make")
    monkeypatch.chdir(tmp_path)
    assert Experiment.open(folder).recipe.data == "digits"
    assert not marker.exists()


@pytest.mark.parametrize("text", ASKED)
def test_a_file_does_not_say_what_only_the_user_can(folder, text):
    change(folder, text)
    with pytest.raises(ConfigurationError, match=f"config.yaml: {text.split(':')[0]} is no sett"):
        Experiment.open(folder)


@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:20])
def test_a_configuration_of_any_shape_is_refused_in_a_line(folder, text):
    change(folder, text) if text[0].isalpha() and ":" in text else (
        folder / "config.yaml"
    ).write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        Experiment.open(folder)
    assert "config.yaml" in str(refused.value) and "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"\xe9: 1", "prior: 1".encode("utf-16"), b"", b"\x1b[2J"]
)
def test_a_configuration_that_is_not_text_is_refused(folder, content):
    (folder / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError, match="config.yaml"):
        Experiment.open(folder)


def test_what_the_library_saves_and_what_users_write_needs_no_trust(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "\ufeff# with a byte-order mark\n"
        "data: digits\nlr: 1e-3\nbatch-size: 7\nprior.components: 3\nprior: MixtureOfGaussians\n"
        "posterior: {spread: log_scale}\nencoder: pyro_vae.networks.ConvEncoder\n"
        "decoder: pyro_vae.networks.convolutional.ConvDecoder\n"
        "likelihood: pyro_vae.recipes.fashion_batchnorm.mean_squared_error\n"
        "optimizer: {class_path: torch.optim.adam.Adam, init_args: {betas: [0.8, 0.9]}}\n"
    )
    configuration = read_configuration(path)
    assert configuration.own == {} and configuration.settings.batch_size == 7
    assert configuration.recipe.learning_rate == 1e-3
    assert configuration.settings.optimizer.init_args.betas == (0.8, 0.9)


# Parts of one's own


def test_parts_of_ones_own_are_run_once_they_are_trusted(folder, mine):
    change(folder, "prior: mine_of_user.MyPrior\noptimizer: mine_of_user.MySGD")
    with pytest.raises(ConfigurationError) as refused:
        Experiment.open(folder)
    assert "prior: 'mine_of_user.MyPrior'" in str(refused.value)
    assert "optimizer: 'mine_of_user.MySGD'" in str(refused.value)
    assert "trust=True" in str(refused.value) and "mine_of_user" not in sys.modules
    experiment = Experiment.open(folder, trust=True)
    assert type(experiment.recipe.build((1, 8, 8)).prior).__name__ == "MyPrior"
    assert experiment.trusted and experiment.trust_flag == " --trust"
    again = Experiment.start(["--resume", "--out", str(folder), "--trust"])
    assert again.configuration.own["prior"] == "mine_of_user.MyPrior"
    assert "trust" not in again.configuration.text


def test_the_command_is_repeated_with_trust(folder, mine, monkeypatch):
    change(folder, "prior: mine_of_user.MyPrior")
    monkeypatch.setattr(sys, "argv", ["pyro-vae", "evaluate", str(folder), "--json"])
    with pytest.raises(ConfigurationError) as refused:
        evaluate.main([str(folder), "--json"])
    assert f"`pyro-vae evaluate {folder} --json --trust`" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_the_user_names_himself_needs_no_trust_until_it_is_read_from_the_folder(
    tmp_path, mine
):
    folder = tmp_path / "run"
    options = f"--config {SAVED / 'config.yaml'} --epochs 1 --device cpu --out {folder}"
    experiment = Experiment.start([*options.split(), "--prior", "mine_of_user.MyPrior"])
    experiment.train(experiment.build(), progress=False)
    subject = subject_of_run(experiment, device="cpu")  # In the same program, as `train` does.
    assert type(subject.vae.prior).__name__ == "MyPrior"
    draw(subject, folder, ["training_curves"], progress=False)
    report.write(subject, experiment.run, progress=False)
    text = (folder / "report.html").read_text()
    assert text.count(" --trust") == 3  # Train again, evaluate, analyze.
    assert "trust" not in (folder / "config.yaml").read_text()
    with pytest.raises(ConfigurationError, match="--resume|trust=True"):
        Experiment.start(["--resume", "--out", str(folder), "--epochs", "2"])
    numbers = evaluated_by_command(folder, "--trust")
    assert numbers["elbo"] < 0
    with pytest.raises(ConfigurationError, match="prior: 'mine_of_user.MyPrior'"):
        collect([folder])
    assert len(collect([folder], trust=True)) == 1


def evaluated_by_command(folder: Path, *options: str) -> dict:
    evaluate.main([str(folder), "--device", "cpu", *options])
    return json.loads((folder / "evaluation.json").read_text())


def test_trust_of_a_run_does_not_depend_on_what_lies_beside_it(folder, marker):
    shutil.copytree(folder, folder / "autoencoder")
    change(folder / "autoencoder", "prior: evil_stranger.Thing")
    with pytest.raises(ConfigurationError, match="evil_stranger"):
        subject_of_run(Experiment.open(folder), device="cpu")
    assert not marker.exists()


def test_the_folder_of_data_is_not_made(folder, tmp_path):
    change(folder, f"data_dir: {tmp_path / 'new'}")
    assert len(Experiment.open(folder).dataset.test) > 0
    assert not (tmp_path / "new").exists()


def test_a_run_to_start_from_is_read_as_tensors(folder, tmp_path, marker):
    shutil.copytree(folder, tmp_path / "earlier")
    change(tmp_path / "earlier", "prior: evil_stranger.Thing")
    change(folder, f"start_from: {tmp_path / 'earlier'}")
    assert Experiment.open(folder).build().latent_size == 2
    assert not marker.exists()
    (tmp_path / "earlier" / "model_weights" / "best_vae.pt").write_bytes(b"PK")
    with pytest.raises(PyroVAEError):
        Experiment.open(folder).build()


# Damage


NOT_JSON = ["", "{", "nul", "[" * 100_000, "9" * 5000, '"\\ud800"', "NaN", "\x00"]
RECORD = {"epoch": 1, "train_loss": 1.0, "learning_rate": 0.1, "seconds": 1.0}
HISTORIES = [
    *NOT_JSON,
    "{}",
    "[1]",
    "[[]]",
    "[null]",
    json.dumps([RECORD, RECORD]),
    json.dumps([RECORD | {"epoch": "../../x"}]),
    json.dumps([RECORD | {"epoch": 10**30}]),
    json.dumps([RECORD | {"epoch": True}]),
    json.dumps([RECORD | {"epoch": 1.0}]),
    json.dumps([RECORD | {"epoch": -1}]),
    json.dumps([RECORD | {"train_loss": None}]),
    json.dumps([RECORD | {"train_loss": "1"}]),
    json.dumps([RECORD | {"train_loss": float("nan")}]),
    json.dumps([RECORD | {"train_loss": 10**400}]),
    json.dumps([RECORD | {"learning_rate": -1.0}]),
    json.dumps([RECORD | {"more": [1]}]),
    json.dumps([{k: v for k, v in RECORD.items() if k != "seconds"}]),
    '[{"epoch": 1, "train_loss": 1e999, "learning_rate": 1, "seconds": 1}]',
]
NUMBERS = json.loads((SAVED / "evaluation.json").read_text())
EVALUATIONS = [
    *NOT_JSON,
    "[]",
    "{}",
    "3",
    json.dumps({k: v for k, v in NUMBERS.items() if k != "rate"}),
    json.dumps(NUMBERS | {"elbo": "x"}),
    json.dumps(NUMBERS | {"elbo": [[1]]}),
    json.dumps(NUMBERS | {"elbo": True}),
    json.dumps(NUMBERS | {"distortion": None}),
    json.dumps(NUMBERS | {"rate": float("inf")}),
    json.dumps(NUMBERS | {"samples": -1}),
    json.dumps(NUMBERS | {"samples": 1.5}),
    json.dumps(NUMBERS | {"latent_size": None}),
    json.dumps(NUMBERS | {"latent_size": 0}),
    json.dumps(NUMBERS | {"verdict": 3}),
    json.dumps(NUMBERS | {"untrusted": "x"}),
]
STARTS = [
    *NOT_JSON,
    "{}",
    "[1]",
    '[{"started": 1}]',
    '[{"command": ["x"]}]',
    '[{"versions": 3}]',
    '[{"machine": {"cores": [1]}}]',
]
TITLE = "step,loss,elbo,distortion,rate\n"
STEPS = [
    "",
    TITLE,
    TITLE + "1,2,3\n",
    TITLE + "1,2,3,4,5\n1,2,3,4\n",
    TITLE + "1,2,3,4,x\n",
    TITLE + "1,2,3,4,nan\n",
    TITLE + "1,2,3,4,1e999\n",
    TITLE + "1,2,3,4,5,6\n",
    TITLE + "\x00\n",
    "loss,step,elbo,distortion,rate\n1,2,3,4,5\n",
    "1,2,3,4,5\n",
]


def damage_of_json(file: str, contents: list[str]) -> list:
    return [
        pytest.param(file, content.encode(), id=f"{file}-{i}") for i, content in enumerate(contents)
    ]


DAMAGE = [
    *damage_of_json("history.json", HISTORIES),
    *damage_of_json("evaluation.json", EVALUATIONS),
    *damage_of_json("provenance.json", STARTS),
    *damage_of_json("training_progress/steps_002.csv", STEPS),
    *[
        pytest.param(file, content, id=f"{file}-{i}")
        for file in (
            "history.json",
            "evaluation.json",
            "provenance.json",
            "training_progress/steps_001.csv",
            "training_progress/codes_001.pt",
        )
        for i, content in enumerate([b"\xff\xfe\x00", b"\x89PNG", "[]".encode("utf-16-be")])
    ],
]


@pytest.mark.parametrize(("file", "content"), DAMAGE)
def test_a_damaged_file_is_left_out_with_one_warning(folder, file, content, caplog):
    (folder / file).write_bytes(content)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        read_everything(Run(folder))
        read_everything(Run(folder))
    (warning,) = [record.getMessage() for record in caplog.records]
    assert str(folder / file) in warning and "\n" not in warning


def read_everything(run: Run) -> None:
    """Read all files as the pictures, the report and the tables do."""
    assert all(record["epoch"] > 0 for record in run.records())
    numbers = run.numbers()
    assert not numbers or numbers["images"] > 0
    run.starts()
    assert run.logged_steps().shape[1] == 4 and np.isfinite(run.logged_steps()).all()
    for epoch, codes in run.stages():
        assert epoch >= 0 and codes.ndim == 2 and codes.dtype == torch.float32


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e38, -1e38])
def test_a_history_that_is_accepted_can_be_drawn(folder, value):
    record = RECORD | {"train_loss": value, "train_elbo": value, "learning_rate": abs(value)}
    (folder / "history.json").write_text(json.dumps([record, record | {"epoch": 2}]))
    records = Run(folder).records()
    assert len(records) == 2
    plt.close(training_curves.training_curves(records))


CODES = {
    "a list": [1, 2],
    "whole numbers": torch.zeros(3, 2, dtype=torch.int64),
    "flat": torch.zeros(3),
    "empty": torch.zeros(0, 2),
    "not a number": torch.full((180, 2), float("nan")),
    "infinite": torch.full((180, 2), float("inf")),
    "too large": torch.full((180, 2), 1e30),
    "another shape": torch.zeros(180, 3),
    "fewer": torch.zeros(3, 2),
    "complex": torch.zeros(180, 2, dtype=torch.complex64),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_that_are_not_codes_are_left_out(folder, name, caplog):
    kept = [epoch for epoch, _ in Run(folder).stages()]
    torch.save(CODES[name], folder / "training_progress" / "codes_002.pt")
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        assert [epoch for epoch, _ in Run(folder).stages()] == [e for e in kept if e != 2]
    assert len(caplog.records) == 1 and "codes_002.pt" in caplog.text


def test_codes_of_other_images_are_left_out(folder, caplog):
    for path in (folder / "training_progress").glob("codes_*.pt"):
        torch.save(torch.zeros(10_000, 2), path)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        assert subject_of_run(Experiment.open(folder), device="cpu").stages == ()
    assert "10000 of dimension 2" in caplog.text


def test_codes_run_no_code(folder, marker, caplog):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    torch.save(Evil(), folder / "training_progress" / "codes_001.pt")
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        assert len(Run(folder).stages()) == 3
    assert not marker.exists() and "codes_001.pt" in caplog.text


@pytest.mark.parametrize(
    "file",
    ["history.json", "evaluation.json", "provenance.json", "config.yaml"]
    + [f"training_progress/{name}" for name in ("steps_001.csv", "codes_001.pt")],
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_what_is_no_file_is_not_waited_for(folder, file, kind, caplog):
    path = folder / file
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        read_everything(Run(folder))
    if file == "config.yaml":
        with pytest.raises(ConfigurationError):
            Experiment.open(folder)


def test_the_rest_goes_on_without_what_is_damaged(folder, caplog):
    for file in ("history.json", "evaluation.json", "provenance.json"):
        (folder / file).write_text("{")
    (folder / "training_progress" / "codes_001.pt").write_bytes(b"")
    experiment = Experiment.open(folder)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        subject = subject_of_run(experiment, device="cpu")
        assert draw(subject, folder, ["reconstruct_after_train", "training_curves"], progress=False)
        report.write(subject, experiment.run, progress=False)
        assert compare.evaluated(experiment, "cpu")["elbo"] < 0
    assert len(caplog.messages) == len(set(caplog.messages)) == 3
    assert experiment.run.numbers()["elbo"] < 0  # It is evaluated and kept.


def test_a_bad_run_does_not_take_the_table_down(folder, tmp_path, capsys):
    bad = []
    for file, content in {
        "config.yaml": b"schedule: os.system",
        "evaluation.json": b"{",
        "model_weights/best_vae.pt": b"PK\x03\x04",
    }.items():
        bad.append(shutil.copytree(SAVED, tmp_path / f"bad \x1b[31m{len(bad)}"))
        (bad[-1] / file).write_bytes(content)
    results.main([*map(str, bad), str(folder)])
    said = capsys.readouterr()
    assert "run: `fashion_conv`" in said.out and "\x1b[31m" not in said.out + said.err
    lines = [line for line in said.err.splitlines() if "is left out" in line]
    assert len(lines) == 3 and "trust" in lines[0] and "evaluate" in lines[1]
    with pytest.raises(ConfigurationError, match="no table"):
        results.main([str(bad[0])])
    with pytest.raises(ConfigurationError, match="trust"):
        collect([folder, bad[0]])


# Pictures of the report


@pytest.fixture
def shown(folder):
    subject = subject_of_run(Experiment.open(folder), device="cpu")
    return lambda: report.page(subject, Run(folder)).count("<figure")


def test_only_pictures_of_the_folder_are_in_its_report(folder, tmp_path, shown, caplog):
    private = tmp_path / "private.png"
    Image.new("RGB", (8, 8), "red").save(private)
    picture = folder / "reconstruct_after_train.png"
    picture.symlink_to(private)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        assert shown() == 0
    assert "reconstruct_after_train.png" in caplog.text
    picture.unlink()
    shutil.copy(private, picture)
    assert shown() == 1


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", EPS, b"GIF89a", b"P6 1 1 255 abc"])
@pytest.mark.parametrize("file", ["reconstruct_after_train.png", "latent_progress_film.gif"])
def test_a_picture_that_is_none_is_left_out(folder, shown, file, content, caplog):
    (folder / file).write_bytes(content)
    with caplog.at_level(logging.WARNING, "pyro_vae"):
        assert shown() == 0
    (warning,) = caplog.messages
    assert file in warning and "\n" not in warning


def test_a_pipe_named_like_a_picture_does_not_hang(folder, shown):
    os.mkfifo(folder / "reconstruct_after_train.png")
    assert shown() == 0


# What reaches the terminal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 数 −1 …", "plain é 数 −1 …"),
        ("two\nlines\tand", "two\nlines\tand"),
        ("\x1b[2Jgone\x07\r\x7f\x9b", r"\x1b[2Jgone\x07\r\x7f\x9b"),
        ("a\u202eb\u2066c\u2028d", r"a\u202eb\u2066c\u2028d"),
        (os.fsdecode(b"\xff.png"), r"\xff.png"),
    ],
)
def test_control_characters_do_not_reach_the_terminal(text, expected):
    assert escaped(text, keep="\n\t") == expected
    assert escaped(text).encode()


# Anything at all

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a piece of it replaced."""
    place = st.integers(0, len(content))
    return st.builds(
        lambda at, length, new: content[:at] + new + content[at + length :],
        place,
        st.integers(0, 30),
        st.binary(max_size=8) | st.sampled_from([b"", b"[", b"}", b'"', b"1e999", b"-", b"null"]),
    )


def like(file: str) -> st.SearchStrategy[tuple[str, bytes]]:
    content = (SAVED / file).read_bytes()
    numbers = json.loads(content) if file.endswith(".json") else {}
    record = numbers[0] if isinstance(numbers, list) and numbers else numbers
    changed = st.dictionaries(st.sampled_from(list(record) or ["a"]), PLAIN, max_size=3)
    wrap = [record] if isinstance(numbers, list) else record
    structured = changed.map(
        lambda new: json.dumps([record | new] if isinstance(wrap, list) else record | new).encode()
    )
    anything = st.binary(max_size=60) | PLAIN.map(lambda value: json.dumps(value).encode())
    return st.tuples(st.just(file), mutated(content) | structured | anything)


FILES = ("history.json", "evaluation.json", "training_progress/steps_001.csv")


@FUZZ
@given(st.one_of(*map(like, FILES)))
def test_whatever_a_file_holds_it_is_read_or_left_out(folder, damaged):
    file, content = damaged
    kept = (SAVED / file).read_bytes()
    (folder / file).write_bytes(content)
    logging.getLogger("pyro_vae.training").setLevel(logging.CRITICAL)
    try:
        read_quietly(Run(folder))
    finally:
        logging.getLogger("pyro_vae.training").setLevel(logging.NOTSET)
        (folder / file).write_bytes(kept)


def read_quietly(run: Run) -> None:
    for record in run.records():
        assert all(abs(value) < float("inf") for value in record.values())
    report._numbers(run.numbers())
    assert np.isfinite(run.logged_steps()).all()


TOKENS = ["prior", "data", ":", " ", "\n", "-", "[", "]", "{", "}", "&a", "*a", "!!int", "!!map"]
TOKENS += ["<<", "?", "|", ">", "'", '"', "#", "1", ".nan", "1e9", "null", "yes", "2020-01-01", "%"]
TOKENS += ["class_path", "init_args", "os.system", "Flat", "prior: {class_path: Flat}", "é", "\x1b"]


@FUZZ
@given(
    st.lists(st.sampled_from(TOKENS), max_size=14).map(lambda each: "".join(each).encode())
    | st.binary(max_size=40)
    | PLAIN.map(lambda value: yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace"))
)
def test_whatever_yaml_says_it_is_plain_or_refused(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    try:
        found = read_settings(path)
    except (PyroVAEError, OSError):
        return
    assert yaml.safe_load(yaml.safe_dump(found)) == found


CHOICES = [
    "prior",
    "optimizer",
    "schedule",
    "data",
    "epochs",
    "pixels",
    "recipe",
    "channels",
    "seed",
]


@settings(FUZZ, max_examples=40)
@given(st.dictionaries(st.sampled_from(CHOICES), PLAIN, min_size=1, max_size=2))
def test_whatever_settings_are_they_are_accepted_or_refused(tmp_path, chosen):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(chosen), encoding="utf-8")
    try:
        read_configuration(path)
    except PyroVAEError as error:
        assert "\n" not in str(error)


def test_no_link_of_a_run_is_written_through_or_tidied(folder, tmp_path):
    """A start was once recorded through a link, and files were removed behind another."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (outside / ".x.1.partial").write_text("mine")
    (folder / "provenance.json").unlink(missing_ok=True)
    (folder / "provenance.json").symlink_to(outside / "mine")
    with pytest.raises(FileError, match="leads out of"):
        record_start(Run(folder), torch.device("cpu"))
    shutil.rmtree(folder / "training_progress", ignore_errors=True)
    (folder / "training_progress").symlink_to(outside)
    Run(folder).tidy()
    assert sorted(path.name for path in outside.iterdir()) == [".x.1.partial", "mine"]
    assert (outside / "mine").read_text() == "mine"


@pytest.mark.parametrize("key", ["elbo", "distortion", "bits_per_dimension"])
def test_a_list_is_no_number_of_an_evaluation(folder, key):
    numbers = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps(numbers | {key: []}))
    assert Run(folder).numbers() == {}
