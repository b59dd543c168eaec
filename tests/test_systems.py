"""Each published system by the program that trains it: an epoch, all of its pictures, its numbers.

Real digits at 16×16, in color where the system's images are.
"""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from pyro_vae.analysis import draw
from pyro_vae.commands import train
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.experiments import Experiment
from pyro_vae.recipes import RECIPES

#: Fewer channels where the system's own are slow.
NARROW = {
    "cifar_resnet": ["--encoder.channels", "[8, 16, 32]", "--decoder.channels", "[32, 16, 8]"],
}


#: Pictures that every source shows, of the model and beside its autoencoder.
OF_EVERY_SOURCE = ("reconstruct_after_train", "normally_sampled_reconstructions")
BESIDE = ("reconstruct_after_train_beside_autoencoder",)


def trained(name: str, published: bool, out: Path, *options: str) -> None:
    """Train a system for an epoch, by the program."""
    arguments = ["--recipe", name, "--data", "digits", "--size", "16", "--limit", "64"]
    arguments += ["--channels", str(RECIPES[name].image_shape[0]), "--epochs", "1"]
    arguments += NARROW.get(name, [])
    arguments += ["--as-published", "--with-autoencoder"] * published
    train.main([*arguments, "--device", "cpu", "--out", str(out), *options])


def check_pictures(out: Path) -> set[str]:
    """Require that every picture shows something, and return their names."""
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            low, high = picture.convert("L").getextrema()
            assert low < 128 < high, path.name  # Something dark on something light.
    return {path.stem for path in out.glob("*.png")}


@pytest.mark.parametrize(
    "published",
    [pytest.param(True, id="as published"), pytest.param(False, id="ours", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", RECIPES)
def test_a_system_trains_and_is_evaluated_and_its_pictures_are_drawn(
    name, published, tmp_path, capsys
):
    out = tmp_path / "run"
    trained(name, published, out, "--skip-pictures")
    said = capsys.readouterr().out
    assert str(out) in said and ("No validation images are held out" in said) == published
    numbers = json.loads((out / "evaluation.json").read_text())
    assert numbers["elbo"] == pytest.approx(-numbers["distortion"] - numbers["rate"], rel=1e-6)
    assert ("published_loss" in numbers) == (published or name != "cartoon")
    assert torch.load(out / "model_weights" / "best_vae.pt", weights_only=True)["weights"]
    subject = subject_of_run(Experiment.open(out), device="cpu")
    names = [*OF_EVERY_SOURCE, *BESIDE * published]
    drawn = draw(subject, out, names, progress=False)
    assert {path.stem for path in drawn} == set(names) <= check_pictures(out)


@pytest.mark.slow  # test_scripts.py draws the whole suite of the default run.
@pytest.mark.parametrize("published", [True, False], ids=["as published", "ours"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_picture_of_a_system_is_drawn_by_its_program(name, published, tmp_path):
    out = tmp_path / "run"
    trained(name, published, out)
    drawn = check_pictures(out)
    assert drawn >= set(OF_EVERY_SOURCE)
    assert any(picture.endswith("_beside_autoencoder") for picture in drawn) == published
    if RECIPES[name].latent_size == 2:
        assert "linearly_sampled_reconstructions" in drawn
    assert (out / "report.html").exists() and (out / "explorer.html").exists()
