"""The installed program: `pyro-vae` and `python -m pyro_vae`, called from any folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from called import Done, called

import pyro_vae
from pyro_vae._program import python
from pyro_vae.commands import COMMANDS
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
    (command,) = re.findall(r"`(.*?)` draws them", done.stdout)
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


def test_images_may_come_first():
    assert with_images(["digits", "--seed", "3"]) == ["--data", "digits", "--seed", "3"]
    assert with_images(["--data", "digits"]) == ["--data", "digits"] and with_images([]) == []
