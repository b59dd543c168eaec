"""Each published system by the program that trains it: an epoch, all of its pictures, its numbers.

Real digits at 16×16, in colour where the system's images are.
"""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from pyro_vae.recipes import RECIPES

#: Fewer channels where the system's own are slow.
NARROW = {
    "cifar_resnet": ["--encoder.channels", "[8, 16, 32]", "--decoder.channels", "[32, 16, 8]"],
}


@pytest.fixture(autouse=True)
def scripts(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "scripts")


def cases():
    """Every system as published, and ours; of these, cartoon's alone learns its prior."""
    for name in RECIPES:
        yield pytest.param(name, True, id=f"{name}, as published, beside its autoencoder")
        marks = [pytest.mark.slow] * (name != "cartoon")
        yield pytest.param(name, False, id=name, marks=marks)


@pytest.mark.parametrize(("name", "published"), list(cases()))
def test_a_system_trains_evaluates_and_is_drawn(name, published, tmp_path, capsys):
    import train_svi

    out = tmp_path / "run"
    arguments = ["--recipe", name, "--data", "digits", "--size", "16", "--limit", "64"]
    arguments += ["--channels", str(RECIPES[name].image_shape[0]), "--epochs", "1"]
    arguments += NARROW.get(name, [])
    arguments += ["--as-published", "--with-autoencoder"] * published
    train_svi.main([*arguments, "--device", "cpu", "--out", str(out)])
    said = capsys.readouterr().out
    assert str(out) in said and ("the test images" in said) == published
    numbers = json.loads((out / "evaluation.json").read_text())
    assert numbers["elbo"] == pytest.approx(-numbers["distortion"] - numbers["rate"], rel=1e-6)
    assert ("published_loss" in numbers) == (published or name != "cartoon")
    assert torch.load(out / "model_weights" / "best_vae.pt", weights_only=True)["weights"]
    drawn = {path.stem for path in out.glob("*.png")}
    assert drawn >= {"reconstruct_after_train", "normally_sampled_reconstructions"}
    assert any(picture.endswith("_beside_autoencoder") for picture in drawn) == published
    if RECIPES[name].latent_size == 2:
        assert "linearly_sampled_reconstructions" in drawn
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.convert("L").getextrema()[0] < 255, path.name
