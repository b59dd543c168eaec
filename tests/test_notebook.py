"""In a notebook and in Python: images from arrays, refusals in one line, and what `repr` shows."""

import base64
import io
import json
import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import small_vae
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pyro_vae import (
    VAE,
    PyroVAEError,
    analysis,
    data,
    evaluate,
    fit,
    likelihoods,
    posteriors,
    priors,
)
from pyro_vae._progress import hidden
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation import log_likelihood
from pyro_vae.evaluation.fitting import as_images
from pyro_vae.experiments import Experiment
from pyro_vae.outputs import encode, score
from pyro_vae.training.history import History

quick = partial(fit, epochs=1, progress=False)


def forms() -> dict[str, object]:
    levels = data.load("digits").train.levels(slice(60))
    floats = levels.float() / 255
    return {
        "bytes": levels,
        "bytes in an array": levels.numpy(),
        "floats": floats,
        "doubles in an array": floats.double().numpy(),
        "without channels": levels[:, 0],
        "backward": levels.flip(0).numpy()[::-1],
        "of another byte order": floats.numpy().astype(">f4"),
        "read-only": read_only(levels.numpy()),
    }


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("form", forms())
@pytest.mark.filterwarnings("error")
def test_a_tensor_or_an_array_trains_as_image_data_does(form, digits):
    images, some = forms()[form], digits.train.select(slice(60))
    histories, found = [], []
    for each in (images, some):
        torch.manual_seed(0)
        vae = small_vae()
        histories.append(quick(vae, each, validation=each)[0]["validation_loss"])
        found.append(evaluate(vae, each).elbo)
    assert histories[0] == histories[1] and found[0] == found[1]


def test_floats_between_levels_are_said_to_be_rounded(caplog):
    caplog.set_level(logging.WARNING, "pyro_vae")
    kept = as_images("fit", torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).numpy())
    assert kept.levels().flatten().tolist() == [0, 128, 255]
    assert "256 levels" in caplog.text and "0.002" in caplog.text
    caplog.clear()
    as_images("fit", torch.arange(256).view(-1, 1, 1) / 255)
    assert not caplog.text
    assert as_images("fit", torch.ones(2, 3, 3, dtype=torch.bool)).levels().min() == 255


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.rand(3, 1, 8, 8) * 2 - 1, ["from -", "(x + 1) / 2"]),
        (torch.rand(3, 1, 8, 8) * 200, ["Divide levels from 0 to 255 by 255"]),
        (torch.full((3, 1, 8, 8), float("nan")), ["not finite"]),
        (np.zeros((3, 8, 8, 3), np.uint8), ["channels come last", "x.transpose(0, 3, 1, 2)"]),
        (torch.eye(8, dtype=torch.uint8).expand(3, 1, 8, 8), ["all 0 or 1", "multiply"]),
        (torch.zeros(3, 1, 8, 8, dtype=torch.int64), ["convert them to uint8"]),
        (torch.rand(8, 8), ["(N, C, H, W)", "shape (8, 8)"]),
        (np.array(["a"]), ["an array of shape (1,)"]),
        ([1, 2], ["ImageData", "[1, 2]"]),
        (torch.zeros(0, 1, 8, 8, dtype=torch.uint8), ["is empty"]),
    ],
)
@pytest.mark.parametrize("function", [quick, evaluate], ids=["fit", "evaluate"])
def test_other_values_are_refused_with_the_remedy(function, given, words):
    with pytest.raises(PyroVAEError) as refused:
        function(small_vae(), given)
    assert all(word in str(refused.value) for word in [*words, "images"]), refused.value


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("name", ["loader", "dataset"])
def test_a_loader_is_answered_with_the_line_that_makes_images_of_its_data(name, pairs, digits):
    x = digits.train.as_float(slice(20))
    dataset = TensorDataset(x, torch.arange(20)) if pairs else list(x)
    known = {"dataset": dataset, "torch": torch, "ImageData": ImageData}
    known["loader"] = DataLoader(dataset)
    if name == "dataset" and not pairs:
        known["dataset"] = torch.utils.data.Subset(dataset, range(20))
    with pytest.raises(TypeError, match="Make ImageData of its data set") as refused:
        quick(small_vae(), known[name])
    line = str(refused.value).rpartition("images = ")[2]
    made = eval(line, known)
    assert torch.equal(made.levels(), digits.train.levels(slice(20)))


@pytest.mark.parametrize(
    "asked",
    [
        lambda vae, x: evaluate(vae, x),
        lambda vae, x: log_likelihood(vae, x, samples=2),
        lambda vae, x: vae.encode(x.as_float()),
        lambda vae, x: vae.reconstruct(x.as_float()),
        lambda vae, x: analysis.embed(vae, x),
        quick,
    ],
)
@pytest.mark.parametrize("encoder", [None, "any size"])
def test_images_of_another_size_are_refused_in_one_line(asked, encoder):
    class AnySize(nn.Module):
        features = 1

        def forward(self, x):
            return x.mean((1, 2, 3))[:, None]

    slots = {"posterior": posteriors.DiagonalNormal(AnySize(), 2)} if encoder else {}
    images = ImageData(torch.randint(0, 255, (8, 1, 12, 12), dtype=torch.uint8))
    with pytest.raises(PyroVAEError, match=r"12.*") as refused:
        asked(small_vae(**slots), images)
    assert "8" in str(refused.value) and "\n" not in str(refused.value)


def test_double_precision_is_refused_with_the_remedy(digits):
    few = digits.test.select(slice(8))
    vae = small_vae().double()
    for asked in (evaluate, log_likelihood, analysis.embed, quick):
        with pytest.raises(PyroVAEError, match=r"float64.*float32.*vae\.float\(\)"):
            asked(vae, few)


def test_a_network_that_folds_dimensions_just_works(digits):
    class Folding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 64)

        def forward(self, z):
            return self.layer(z).view(-1, 1, 8, 8)

    class Unfolding(Folding):
        def forward(self, z):
            x = super().forward(z)
            return x.reshape(*z.shape[:-1], *x.shape[-3:])

    few = digits.test.select(slice(8))
    found = []
    for decoder in (Folding(), Unfolding()):
        torch.manual_seed(0)
        decoder.layer.reset_parameters()
        vae = small_vae(likelihood=likelihoods.Bernoulli(decoder, gray_levels=True))
        found.append((quick(vae, few)[0]["train_loss"], evaluate(vae, few, samples=3)))
    assert found[0] == found[1]


def test_a_history_shows_as_a_table_and_is_still_a_list(digits):
    few = digits.train.select(slice(64))
    history = fit(small_vae(), few, validation=few, epochs=3, progress=False)
    assert isinstance(history, History) and issubclass(History, list)
    assert json.loads(json.dumps(history)) == history
    lines = repr(history).splitlines()
    assert len(lines) == 4 and "validation loss" in lines[0] and "learning rate" in lines[0]
    assert f"{history[2]['train_loss']:.5g}" in lines[3]
    assert history._repr_html_().count("<tr") == 4
    assert repr(History()) == "[]"
    many = History([{"epoch": epoch, "train_loss": 1.0} for epoch in range(1, 101)])
    assert len(repr(many).splitlines()) == 22


def test_what_is_printed_is_a_few_lines(tmp_path, digits):
    vae = small_vae()
    assert repr(vae).splitlines() == [
        "VAE of images 1×8×8, 2 latent dimensions, with "
        f"{sum(each.numel() for each in vae.parameters()):,} parameters",
        "  prior: StandardNormal",
        "  likelihood: Bernoulli(ConvDecoder)",
        "  posterior: DiagonalNormal(ConvEncoder)",
    ]
    found = evaluate(vae, digits.test)
    assert len(repr(found).splitlines()) < 12 and "nats per image" in repr(found)
    assert "<table>" in found._repr_html_() and "180 test images" in found._repr_html_()
    broken = VAE(priors.StandardNormal(2), lambda z: 1 / 0, lambda x: 1 / 0)
    assert repr(broken).startswith("VAE with 0 parameters")
    experiment = Experiment.start(["--data", "digits", "--out", str(tmp_path / "run")])
    assert repr(experiment) == f"Experiment in {tmp_path / 'run'}: auto on digits"
    assert len(repr(experiment.run)) < 200


def test_images_say_whether_their_values_are_0_and_1_alone(digits):
    some = digits.train.select(slice(20))
    masks = ImageData(255 * (some.levels() > 127).to(torch.uint8))
    assert masks.binary and not some.binary and some.with_pixels("binarized").binary
    assert not masks.with_pixels("dequantized").binary  # Noise is added to its levels.


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_show_themselves(channels, digits):
    levels = digits.train.levels(slice(30)).expand(-1, channels, -1, -1)
    classes = tuple("0123456789")
    images = ImageData(levels, digits.train.labels[:30], classes, source="<here>")
    assert repr(images) == f"ImageData: 30 images of {channels}×8×8, 10 classes, from <here>"
    html = images._repr_html_()
    assert "from &lt;here&gt;" in html
    address = html.partition("base64,")[2].partition('"')[0]
    picture = Image.open(io.BytesIO(base64.b64decode(address)))
    assert picture.size == (10 * 9, 8)
    if channels != 4:
        shown = np.asarray(picture.convert("L"))[:, 9 * 3 : 9 * 3 + 8]
        assert (shown == levels[3, 0].numpy()).all()
    dataset = Dataset("mine", images, images)
    assert repr(dataset).splitlines() == ["Dataset mine", f"  train: {images}", f"  test: {images}"]
    assert "Dataset mine" in dataset._repr_html_()


def test_a_model_shows_the_same_samples_again_and_draws_none_of_the_users(digits):
    vae = small_vae()
    vae.train()
    state = torch.get_rng_state()
    html = vae._repr_html_()
    assert html.startswith("<img") and "StandardNormal" in html and html == vae._repr_html_()
    assert torch.equal(torch.get_rng_state(), state) and vae.likelihood.decoder.training
    plain = VAE(priors.Flat(2), vae.likelihood, vae.posterior)
    assert plain._repr_html_().startswith("<pre>VAE of images")


def test_codes_and_scores_show_their_first_rows(digits):
    wide = VAE(priors.StandardNormal(2), small_vae().likelihood, small_vae().posterior)
    images = digits.test.select(slice(30))
    for table in (score(wide, images), encode(wide, images)):
        html = table._repr_html_()
        assert html.count("<tr>") == 11 and "30 images" in html
    codes = encode(wide, images)
    more = replace(codes, means=codes.means.repeat(1, 20), scales=codes.scales.repeat(1, 20))
    assert f"({len(more.columns()) - 10} more)" in more._repr_html_()
    hostile = replace(codes, names=("<script>\x1b[31m", *codes.names[1:]))
    assert "<script>" not in hostile._repr_html_() and "\x1b" not in hostile._repr_html_()


def test_where_no_terminal_is_an_epoch_is_one_line(digits, capsys):
    few = digits.train.select(slice(64))
    fit(small_vae(), few, validation=few, epochs=2)
    shown = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["epoch 1/2", "epoch 2/2"]
    assert "train: -ELBO" in shown[0] and "valid: -ELBO" in shown[0] and shown[0].endswith(" s")
    evaluate(small_vae(), few, progress=True)
    assert capsys.readouterr().err == "" and hidden(True) and hidden(False)


def test_a_callback_leaves_the_report(digits, tmp_path):
    small = Dataset("digits", digits.train.select(slice(100)), digits.test.select(slice(30)))
    callback = analysis.report_after_training(small, progress=False)
    with pytest.raises(PyroVAEError, match="needs a folder"):
        quick(small_vae(), small.train, callbacks=[callback])
    quick(small_vae(), small.train, folder=tmp_path / "run", callbacks=[callback])
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"report.html", "explorer.html", "evaluation.json", "training_curves.png"} <= files
