"""The installed program: `pyro-vae` and `python -m pyro_vae`, called from any folder."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from called import Done, called
from PIL import Image

import pyro_vae
from pyro_vae._program import python
from pyro_vae.commands import COMMANDS
from pyro_vae.commands.console import plain_errors
from pyro_vae.commands.train import with_images

#: Both ways to call the program; the second needs no PATH.
INSTALLED = [str(Path(sys.executable).with_name("pyro-vae"))]
AS_MODULE = [sys.executable, "-m", "pyro_vae"]
SMALL = ("--recipe", "mnist_mlp", "--data", "digits", "--limit", "40", "--epochs", "1")
MY_PRIOR = """
import pyro.distributions as dist
from pyro_vae.priors import StandardNormal

class MyPrior(StandardNormal):
    def __init__(self, latent_size: int, degrees: float = 4.0) -> None:
        super().__init__(latent_size)
        self.degrees = degrees

    def forward(self):
        return dist.StudentT(self.degrees, self.loc, self.scale).to_event(1)
"""


def run(folder: Path, program: list[str], *arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*program, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("program", [INSTALLED, AS_MODULE], ids=["installed", "module"])
def test_the_commands_are_listed_under_the_name_the_program_was_called_by(tmp_path, program):
    listed = run(tmp_path, program)
    assert listed.returncode == 0 and all(f"  {name} " in listed.stdout for name in COMMANDS)
    assert f"usage: {shlex.join(program)} COMMAND [options]" in listed.stdout


def test_a_misspelled_command_is_answered_with_the_nearest(tmp_path):
    refused = called(tmp_path, *AS_MODULE, "trian")
    assert "There is no command 'trian'. Did you mean train?" in refused.stderr
    assert refused.returncode == 2
    assert called(tmp_path, *AS_MODULE, "--version") == Done(0, f"{pyro_vae.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_command_as_it_was_called_and_describes_every_option(tmp_path, command):
    done = called(tmp_path, *AS_MODULE, command, "--help")
    name, shown = f"{python()} -m pyro_vae {command}", done.stdout
    assert done.returncode == 0 and shown.startswith(f"usage: {name} ") and f"    {name} " in shown
    options = re.findall(r"^  (--[a-z-]+)[^\n]*?(?:  |\n)\s*(\S[^\n]*)", shown, re.M)
    assert options and all(len(help) > 3 for _, help in options)


def test_what_an_error_recommends_works_with_a_class_of_ones_own_and_is_recorded(tmp_path):
    (tmp_path / "mine.py").write_text(MY_PRIOR)
    refused = called(tmp_path, *AS_MODULE, "evaluate", "my run")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    (command,) = re.findall(r"`(.*?)`", refused.stderr)
    own = ("--prior", "mine.MyPrior", "--prior.degrees", 3)
    done = called(tmp_path, *shlex.split(command), *SMALL, *own, "--skip-pictures")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "my run"
    assert "mine.MyPrior" in (folder / "config.yaml").read_text()
    assert not (folder / "report.html").exists()
    (command,) = re.findall(r"none yet: `(.*?)` draws them", done.stdout)
    assert shlex.split(command) == [
        *shlex.split(python()),
        "-m",
        "pyro_vae",
        "analyze",
        "my run",
        "--trust",
    ]

    (start,) = json.loads((folder / "provenance.json").read_text())
    assert start["versions"]["torch"] == str(torch.__version__)
    assert start["versions"]["pyro-vae"] == pyro_vae.__version__
    assert start["machine"]["cores"] == os.cpu_count() and start["machine"]["device"]
    assert "--prior mine.MyPrior" in start["command"] and "'my run'" in start["command"]

    refused = called(tmp_path, *INSTALLED, "evaluate", "my run", "--json")
    assert refused.returncode == 2 and "mine.MyPrior" in refused.stderr
    (command,) = re.findall(r"`(.*?)`", refused.stderr)
    numbers = called(tmp_path, *shlex.split(command))
    assert numbers.returncode == 0, numbers.stderr
    assert json.loads(numbers.stdout)["rate"] is not None


def test_the_installed_program_recommends_itself(tmp_path):
    refused = called(tmp_path, *INSTALLED, "analyze", "nowhere")
    assert f"`{shlex.join(INSTALLED)} train --out nowhere`" in refused.stderr


PARTS = """
import pyro.distributions as dist
import torch
from pyro_vae import likelihoods, objectives, priors

class Unjoined(priors.Prior):
    def __init__(self, latent_size):
        super().__init__()
        self.loc = torch.zeros(latent_size)

    def forward(self):
        return dist.Normal(self.loc, 1.0)

class Wider(Unjoined):
    def forward(self):
        return dist.Normal(torch.zeros(9), 1.0).to_event(1)

class Unsummed(likelihoods.Likelihood):
    def forward(self, z):
        return dist.Normal(self.decode(z), 1.0)

class Short(objectives.Objective):
    def __call__(self, vae, x, beta=1.0):
        return objectives.ELBO()(vae, x, beta)

class Bare(objectives.Objective):
    def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        return objectives.ELBO()(vae, x, beta).loss
"""


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("--prior mine_wrong.Unjoined", r"The prior does not fit.*Is \.to_event\(1\) missing"),
        ("--prior mine_wrong.Wider", r"must return .*event shape \(9,\), but returned"),
        ("--likelihood mine_wrong.Unsummed", r"The likelihood does not fit.*to_event\(3\) missing"),
        ("--objective mine_wrong.Short", r"Short must take .*\(vae, x, beta=1.0, elapsed=1.0\)"),
        ("--objective mine_wrong.Bare", r"Bare must return .*Bound\(loss, distortion, rate\)"),
    ],
)
def test_a_part_of_ones_own_that_does_not_fit_is_named_in_a_line(tmp_path, part, named):
    (tmp_path / "mine_wrong.py").write_text(PARTS)
    refused = called(tmp_path, *AS_MODULE, "train", *SMALL, *part.split(), "--out", "run")
    assert refused.returncode == 2 and re.search(f"^error: .*{named}", refused.stderr, re.M)
    assert "Traceback" not in refused.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("evaluate R --images 0", "--images must be a whole number, 1 or more, got 0."),
        ("analyze R --tiles -3", "--tiles must be a whole number, 1 or more, got -3."),
        ("analyze R --pair 3 x", "--pair must be a whole number, 0 or more, got x."),
        ("analyze R --axes up", "--axes must be one of dimensions, principal, got up."),
        ("analyze R --range 1 b", "--range must be a number, got b."),
        ("sample R --out O -n ten", "--number must be a whole number, 1 or more, got ten."),
        ("score R --samples=-1", "--samples must be a whole number, 0 or more, got -1."),
        ("encode R --seed", "--seed must be a whole number, got nothing."),
        ("train digits --lr nan", "--learning-rate must be a number above 0, got nan."),
        ("train digits --data mnist", "Images are named twice: digits and --data mnist."),
        ("train digits --device gpu", "torch knows no such device. Choose "),
    ],
)
def test_a_bad_value_is_answered_in_words(tmp_path, arguments, named):
    refused = called(tmp_path, *AS_MODULE, *arguments.split())
    assert f"error: {named}" in refused.stderr.replace("The device 'gpu' cannot be used here: ", "")
    assert refused.returncode == 2 and "Parser key" not in refused.stderr


def test_ctrl_c_ends_a_program_with_the_code_of_its_signal(capsys):
    with pytest.raises(SystemExit) as ended, plain_errors():
        raise KeyboardInterrupt
    assert ended.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_run_is_not_continued_on_other_images(tmp_path):
    train = [*AS_MODULE, "train", "--skip-pictures", "--out", "runs/one"]
    assert called(tmp_path, *train, *SMALL).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    levels = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
    np.save(tmp_path / "larger.npy", levels)
    np.save(tmp_path / "others.npy", levels[:, :8, :8])
    for name in ("larger.npy", "others.npy"):
        refused = called(tmp_path, *train, "--resume", "--data", name, "--epochs", "2")
        assert refused.returncode == 2
        assert re.search(r"^error: The data are not those .*--start-from", refused.stderr, re.M)
    assert before == {path: path.read_bytes() for path in before}
    assert called(tmp_path, *train, "--resume", "--epochs", "2").returncode == 0


def test_a_folder_of_runs_and_a_file_of_one_are_told_from_a_run(tmp_path):
    trained = ("train", *SMALL, "--skip-pictures", "--out", "runs/one")
    assert called(tmp_path, *AS_MODULE, *trained).returncode == 0
    for wrong, named in (
        ("runs", "runs holds no run, but folders of runs: name one of runs/one."),
        ("runs/one/config.yaml", "runs/one/config.yaml is a file: name the folder of a run."),
        ("nowhere", "nowhere holds no run: train one there with"),
    ):
        refused = called(tmp_path, *AS_MODULE, "evaluate", wrong)
        assert refused.returncode == 2 and f"error: {named}" in refused.stderr


def test_files_that_cannot_be_read_are_left_out_by_every_command_that_names_the_option(tmp_path):
    trained = ("train", *SMALL, "--skip-pictures", "--out", "run")
    assert called(tmp_path, *AS_MODULE, *trained).returncode == 0
    levels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(levels):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "bad.png").write_text("no image")
    for command in ("evaluate", "score", "encode"):
        given = (*AS_MODULE, command, "run", "--data", "images")
        refused, done = called(tmp_path, *given), called(tmp_path, *given, "--skip-corrupt")
        assert refused.returncode == 2 and "--skip-corrupt" in refused.stderr
        assert done.returncode == 0 and "1 of 11 images cannot be read:\n" in done.stderr
        assert "Repair" not in done.stderr


def test_images_may_come_first():
    assert with_images(["digits", "--seed", "3"]) == ["--data", "digits", "--seed", "3"]
    assert with_images(["--data", "digits"]) == ["--data", "digits"] and with_images([]) == []
    configured = ["digits", "--config", "runs/one/config.yaml"]
    assert with_images(configured) == ["--data", *configured]
