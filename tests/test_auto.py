"""The recipe `auto`: what it sees of images, what it chooses, and that a run remembers it."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae import data, evaluate, likelihoods, networks
from pyro_vae.commands.train import kept_weights
from pyro_vae.data import ImageData
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.experiments.configuration import parse, read_configuration
from pyro_vae.experiments.fitting import described, facts_of
from pyro_vae.recipes import AUTO, Facts, auto

GRAY = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)


def folder_of(place: Path, *shape: int, count: int = 30) -> Path:
    """Fill a folder with color images of random levels."""
    place.mkdir()
    numbers = np.random.default_rng(0)
    for index in range(count):
        levels = numbers.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(levels).save(place / f"{index}.png")
    return place


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (ImageData(GRAY), Facts((1, 8, 8), 4)),
        (ImageData(255 * (GRAY > 99).byte()), Facts((1, 8, 8), 4, binary=True)),
        (ImageData(GRAY, pixels="binarized"), Facts((1, 8, 8), 4, binary=True)),
        (ImageData(GRAY, pixels="dequantized"), Facts((1, 8, 8), 4, dequantized=True)),
        (ImageData(GRAY, labels=torch.tensor([0, 1, 1, 3])), Facts((1, 8, 8), 4, classes=3)),
        (ImageData(GRAY, labels=torch.tensor([0, 1, -1, -1])), Facts((1, 8, 8), 4, classes=2)),
        (ImageData(GRAY.repeat(1, 3, 1, 1)), Facts((3, 8, 8), 4)),
    ],
    ids=["gray", "binary", "drawn binary", "dequantized", "classes", "unknown class", "color"],
)
def test_what_is_seen_of_images(images, expected):
    assert facts_of(images) == expected


def test_facts_are_told_in_words():
    assert (
        str(Facts((1, 28, 28), 54_000, classes=10)) == "54,000 gray images of 28×28 in 10 classes"
    )
    assert str(Facts((3, 96, 128), 300)) == "300 color images of 96×128"
    assert str(Facts((1, 48, 48), 9, binary=True)) == "9 binary images of 48×48"
    assert str(Facts((2, 8, 8), 9)) == "9 images of 8×8"


SHAPES = [(1, 1, 1), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 96, 128), (2, 7, 130), (4, 500, 9)]


@pytest.mark.parametrize("images", [1, 40, 2000, 10**7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_fits_images_of_any_shape_and_number(shape, images):
    recipe = auto(Facts(shape, images))
    x = torch.randint(256, (2, *shape)) / 255
    if recipe.size is not None:
        shape = (shape[0], recipe.size, recipe.size)
        x = torch.randint(256, (2, *shape)) / 255
    vae = recipe.build(shape)
    assert evaluate(vae, x).latent_size == recipe.latent_size
    assert 1 <= recipe.epochs <= 300 and 8 <= recipe.batch_size <= 64


@pytest.mark.parametrize(
    ("facts", "values", "kind"),
    [
        (Facts((1, 8, 8), 9, binary=True), torch.ones, likelihoods.Bernoulli),
        (Facts((1, 8, 8), 9), torch.ones, likelihoods.DiscretizedLogistic),
        (Facts((1, 8, 8), 9, dequantized=True), torch.rand, likelihoods.Normal),
    ],
    ids=["binary", "levels", "dequantized"],
)
def test_the_likelihood_has_the_support_of_the_images(facts, values, kind):
    vae = auto(facts).build((1, 8, 8))
    assert isinstance(vae.likelihood, kind)
    vae.likelihood.check(values(2, 1, 8, 8))


@pytest.mark.parametrize(
    ("facts", "normalized"),
    [
        (Facts((3, 64, 64), 180), True),
        (Facts((3, 96, 128), 180), False),
        (Facts((3, 64, 64), 5000), False),
        (Facts((1, 48, 48), 1600, binary=True), True),
        (Facts((1, 48, 48), 1600), False),
    ],
    ids=str,
)
def test_the_decoder_of_binary_and_of_few_small_images_is_normalized(facts, normalized):
    vae = auto(facts).build(facts.image_shape)
    parts = list(vae.likelihood.decoder.modules())
    assert any(isinstance(part, networks.BatchNorm) for part in parts) == normalized
    assert any(isinstance(part, networks.BatchNorm) for part in vae.posterior.modules())


def test_images_without_a_recipe_get_it_and_no_images_the_default():
    recipe = parse(["--data", "digits"]).recipe
    assert recipe.name == AUTO and "1,617 gray images of 8×8 in 10 classes" in recipe.summary
    assert recipe.data == "digits" and recipe.published_loss is None
    assert parse([]).recipe.name == "fashion_conv"
    assert parse(["--data", "digits", "--recipe", "mnist_fc"]).recipe.name == "mnist_fc"
    assert parse(["--data", "digits", "--limit", "40"]).recipe.summary.count("40 gray images") == 1


def test_every_choice_can_be_overridden():
    recipe = parse(["--data", "digits", "--latent-size", "3", "--likelihood", "Normal"]).recipe
    assert recipe.build((1, 8, 8)).latent_size == 3
    assert isinstance(recipe.build((1, 8, 8)).likelihood, likelihoods.Normal)
    assert recipe.summary.endswith("; changed: latent_size, likelihood")


def test_it_says_what_it_chose_and_how_to_choose_otherwise():
    found = parse(["--data", "digits", "--epochs", "3"])
    chosen, otherwise = described(found.recipe, found.part_names).splitlines()
    for word in ("D = ", "NormalizingFlow", "DiscretizedLogistic", "HalvingEncoder", "3 epochs"):
        assert word in chosen
    assert "--latent-size" in otherwise and "--recipe help" in otherwise


def test_a_run_remembers_what_was_chosen_and_does_not_choose_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "images", 9, 12)
    first = Experiment.start(["--data", "images", "--epochs", "2", "--out", "run"])
    vae = first.build()
    first.train(vae, progress=False)
    (tmp_path / "run" / "config.yaml").rename(tmp_path / "config.yaml")
    (tmp_path / "images").rename(tmp_path / "elsewhere")  # It is not looked at.
    again = read_configuration(tmp_path / "config.yaml")
    assert again.recipe.name == AUTO and again.changed == ()
    assert str(again.recipe.build((3, 9, 12))) == str(vae.cpu())
    for name in ("batch_size", "epochs", "learning_rate", "latent_size", "size"):
        assert getattr(again.recipe, name) == getattr(first.recipe, name)
    resumed = parse(["--data", "images", "--resume", "--out", "run"])  # Nor for this.
    assert resumed.recipe.name == AUTO


def test_large_images_are_brought_to_a_size_at_which_they_can_be_learned(tmp_path):
    images = folder_of(tmp_path / "large", 170, 200, count=12)
    configuration = parse(["--data", str(images)])
    assert configuration.recipe.size == 128
    assert configuration.dataset().image_shape == (3, 128, 128)
    asked = parse(["--data", str(images), "--size", "192"])
    assert asked.dataset().image_shape == (3, 192, 192)


def test_the_images_are_read_once(tmp_path, monkeypatch):
    images, read = folder_of(tmp_path / "images", 6, 6), []
    load = data.load

    def counted(*arguments, **named):
        read.append(arguments)
        return load(*arguments, **named)

    monkeypatch.setattr("pyro_vae.experiments.configuration.load", counted)
    experiment = Experiment.start(["--data", str(images), "--out", str(tmp_path / "run")])
    assert len(experiment.dataset.train) == 27 and len(read) == 1


def test_help_needs_no_images(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--data", "nowhere", "--help"])
    assert stop.value.code == 0 and AUTO in capsys.readouterr().out
    with pytest.raises(data.DataError, match="nowhere"):
        parse(["--data", "nowhere"])


def test_it_has_no_published_settings():
    with pytest.raises(ConfigurationError, match="auto has not been published"):
        parse(["--recipe", AUTO, "--as-published"])


def test_its_autoencoder_has_the_same_networks():
    recipe = parse(["--data", "digits", "--autoencoder"]).recipe
    vae = recipe.build((1, 8, 8))
    assert type(vae.prior).__name__ == "Flat" and recipe.name == AUTO


@pytest.mark.slow
def test_color_shapes_are_learned_in_color(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    images = folder_of_disks(tmp_path / "disks")
    experiment = Experiment.start(["--data", str(images), "--out", str(tmp_path / "run")])
    vae = experiment.build()
    experiment.train(vae, progress=False)
    test = experiment.dataset.test
    assert evaluate(vae, test).verdict.startswith("Not collapsed")
    x = test.as_float()
    with torch.no_grad():
        back = vae.reconstruct(x)
    # The mean color of an image, and of its reconstruction, whose white is darker, being the mean
    # of a distribution that ends there. Gray blobs would have the brightness alone.
    found, right = back.mean((2, 3)), x.mean((2, 3))
    assert (found - right).abs().mean() < 0.1
    assert correlation(found.mean(1), right.mean(1)) > 0.95
    for channel in range(3):
        gray = found.mean(1), right.mean(1)
        assert correlation(found[:, channel] - gray[0], right[:, channel] - gray[1]) > 0.9


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def folder_of_disks(place: Path, count: int = 200, side: int = 32) -> Path:
    """Fill a folder with disks of random color, size and place on white."""
    place.mkdir()
    numbers = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for index in range(count):
        y, x = numbers.uniform(10, side - 10, 2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < numbers.uniform(5, 9) ** 2
        levels = np.full((side, side, 3), 255, dtype=np.uint8)
        levels[inside] = numbers.integers(0, 256, 3)
        Image.fromarray(levels).save(place / f"{index:03}.png")
    return place


def test_a_run_starts_from_the_model_of_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "images", 9, 12)
    asked = ["--data", "images", "--latent-size", "3", "--epochs", "1", "--out", "first"]
    first = Experiment.start(asked)
    vae = first.build()
    first.train(vae, progress=False)
    further = Experiment.start(["--start-from", "first", "--lr", "1e-4", "--out", "second"])
    assert further.recipe.name == AUTO and further.recipe.learning_rate == 1e-4
    weights = further.build().state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in vae.cpu().state_dict().items())
    other = ["--start-from", "first", "--recipe", "mnist_fc", "--out", "third"]
    with pytest.raises(ConfigurationError, match="a different one"):
        Experiment.start(other).build()


def test_it_is_said_which_weights_were_kept(tmp_path, monkeypatch):
    arguments = ["--data", "digits", "--limit", "80", "--out", str(tmp_path / "run")]
    experiment = Experiment.start(arguments)
    losses = {"early": [3.0, 1.0, 2.0, 2.5, 4.0, 5.0], "late": [3.0, 2.0, 1.0]}
    for when, values in losses.items():
        records = [{"epoch": n, "validation_loss": loss} for n, loss in enumerate(values, 1)]
        monkeypatch.setattr(Experiment, "history", lambda self, records=records: records)
        best = values.index(1.0) + 1
        said = kept_weights(experiment)
        assert f"epoch {best} of {len(values)}, the best on the validation images" in said
        assert ("fewer epochs" in said) == (when == "early")
