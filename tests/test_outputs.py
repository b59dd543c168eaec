"""Results taken elsewhere: exact numbers in tables, image files, and networks without Pyro."""

import csv
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from PIL import Image
from torch import Tensor, nn

from pyro_vae import VAE, data, evaluate, fit, likelihoods, networks, posteriors, priors
from pyro_vae._program import SCRIPTS
from pyro_vae.commands import COMMANDS, main
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.data import Dataset, ImageData
from pyro_vae.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from pyro_vae.evaluation import log_likelihood, terms
from pyro_vae.experiments import Experiment
from pyro_vae.outputs import (
    ExportError,
    OutputError,
    encode,
    export,
    require_empty,
    require_table,
    save_reconstructions,
    save_samples,
    score,
)
from pyro_vae.outputs.codes import Codes
from pyro_vae.outputs.files import plain_text
from pyro_vae.outputs.pictures import file_names
from pyro_vae.vae import mean_of

SHAPE = (1, 8, 8)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def named(images: ImageData, *names: str) -> ImageData:
    """The same images, under the names of their files."""
    return replace(images, names=names)


def noise(count: int, *shape: int) -> ImageData:
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return ImageData(levels, source="noise")


def vae_with(posterior: str, prior: str = "StandardNormal", latent_size: int = 2) -> VAE:
    encoder = networks.MLPEncoder(SHAPE, hidden=(16,))
    return small_vae(
        latent_size=latent_size,
        prior=getattr(priors, prior)(latent_size),
        posterior=getattr(posteriors, posterior)(encoder, latent_size),
    )


# ------------------------------------------------------------------------------------- codes


def test_codes_are_the_posteriors_of_the_images_in_their_order(digits: Dataset):
    vae = small_vae()
    codes = encode(vae, digits, batch_size=97)
    with torch.no_grad():
        for images, where in ((digits.train, slice(1617)), (digits.test, slice(1617, None))):
            q = vae.eval().encode(images.as_float())
            torch.testing.assert_close(codes.means[where], q.mean, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(codes.scales[where], q.stddev, rtol=1e-5, atol=1e-6)
    assert codes.parts == ("train",) * 1617 + ("test",) * 180
    assert codes.names[:2] == ("train/00000", "train/00001") and codes.names[-1] == "test/00179"
    assert list(map(int, codes.classes)) == [*digits.train.labels, *digits.test.labels]
    assert codes.labels.tolist() == [*digits.train.labels, *digits.test.labels]
    assert (codes.mean_draws, codes.scale_draws) == (0, 0)


def test_encoding_changes_neither_the_mode_nor_the_random_state(digits: Dataset):
    vae = vae_with("PlanarFlow").train()
    before = torch.get_rng_state()
    encode(vae, digits.test)
    score(vae, digits.test)
    assert vae.training and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        ("DiagonalNormal", "StandardNormal"),
        ("FullNormal", "StandardNormal"),
        ("Laplace", "StandardNormal"),
        ("PowerSpherical", "HypersphereUniform"),
        ("Bernoulli", "Bernoulli"),
        ("StraightThroughBernoulli", "Bernoulli"),
        ("Delta", "Flat"),
    ],
)
def test_a_closed_form_is_taken_where_there_is_one(digits: Dataset, posterior: str, prior: str):
    vae = vae_with(posterior, prior, latent_size=3).eval()
    codes = encode(vae, digits.test)
    q = vae.encode(digits.test.as_float())
    torch.testing.assert_close(codes.means, q.mean.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(codes.scales, q.variance.sqrt().detach(), rtol=1e-5, atol=1e-6)
    moments = [f"{what}_{d}" for what in ("mean", "scale") for d in (1, 2, 3)]
    assert list(codes.columns()) == ["file", "class", *moments]


@pytest.mark.parametrize("posterior", ["InverseAutoregressiveFlow", "PlanarFlow"])
def test_without_a_closed_form_draws_are_taken_and_the_columns_say_so(digits, posterior, tmp_path):
    vae = vae_with(posterior).eval()
    test = digits.test.select(slice(50))
    codes = encode(vae, test, seed=3)
    with torch.no_grad():
        z = vae.encode(test.as_float()).sample(torch.Size([4000]))
    off = (codes.means - z.mean(0)) / (z.std(0) / 100**0.5)
    assert off.abs().max() < 5 and 0.7 < off.std() < 1.3  # The error of 100 draws, and not of 1.
    assert ((codes.scales / z.std(0)).log().abs() < 0.4).all()
    assert torch.equal(encode(vae, test, seed=3).means, codes.means)
    assert not torch.equal(encode(vae, test, seed=4).means, codes.means)
    codes.save(tmp_path / "codes.csv")
    of_draws = ["mean_of_100_draws_1", "mean_of_100_draws_2"]
    of_draws += ["scale_of_100_draws_1", "scale_of_100_draws_2"]
    assert list(rows(tmp_path / "codes.csv")[0]) == ["file", "class", *of_draws]
    few = encode(vae, test, draws=1)
    assert few.mean_draws == 1 and (few.scales == 0).all()


def test_a_mean_alone_in_closed_form_is_kept_beside_drawn_scales(digits: Dataset):
    class MeanOnly(dist.Normal):
        @property
        def variance(self) -> Tensor:
            raise NotImplementedError

    vae = small_vae(posterior=lambda x: MeanOnly(x.flatten(1)[:, 10:12], 0.5).to_event(1))
    codes = encode(vae, digits.test)
    assert torch.equal(codes.means, digits.test.as_float().flatten(1)[:, 10:12])
    drawn = ["scale_of_100_draws_1", "scale_of_100_draws_2"]
    assert list(codes.columns()) == ["file", "class", "mean_1", "mean_2", *drawn]
    assert (codes.scales - 0.5).abs().max() < 0.2


def test_codes_of_streamed_images_are_the_same(tmp_path, digits: Dataset):
    for i, levels in enumerate(digits.test.levels(slice(40))):
        Image.fromarray(levels[0].numpy()).save(tmp_path / f"{i:02d}.png")
    vae = small_vae()
    held, streamed = (
        encode(vae, data.load(tmp_path, stream=s), batch_size=7) for s in (False, True)
    )
    assert torch.equal(held.means, streamed.means) and held.names == streamed.names
    kept, read = (score(vae, data.load(tmp_path, stream=s), batch_size=7) for s in (False, True))
    assert torch.equal(kept.elbos, read.elbos) and kept.names == read.names


def test_every_part_has_what_is_known_of_its_images(tmp_path):
    vae, levels = small_vae(), noise(2, *SHAPE).images
    hair, eyes = torch.tensor([1, 0]), torch.tensor([2, 2])
    known = ImageData(
        levels, torch.tensor([0, 1]), ("cat, black", '"dog"'), {"hair": hair, "eyes": eyes}
    )
    codes = encode(vae, {"known": named(known, "a/1.png", "a/2.png"), "other": noise(1, *SHAPE)})
    codes.save(tmp_path / "codes.csv")
    first, second, third = rows(tmp_path / "codes.csv")
    assert [row["file"] for row in (first, second, third)] == ["a/1.png", "a/2.png", "other/00000"]
    assert [row["class"] for row in (first, second, third)] == ["cat, black", '"dog"', ""]
    assert [row["attribute_hair"] for row in (first, second, third)] == ["1", "0", "-1"]
    assert third["part"] == "other" and first["attribute_eyes"] == "2"
    codes.save(tmp_path / "codes.npz")
    arrays = np.load(tmp_path / "codes.npz", allow_pickle=False)
    assert arrays["file"].tolist() == ["a/1.png", "a/2.png", "other/00000"]
    assert arrays["label"].tolist() == [0, 1, -1]
    assert arrays["attribute_names"].tolist() == ["hair", "eyes"]
    assert arrays["attributes"].tolist() == [[1, 2], [0, 2], [-1, -1]]
    assert np.array_equal(arrays["mean"], codes.means.numpy())
    assert np.array_equal(arrays["scale"], codes.scales.numpy())


def test_a_class_that_is_not_known_is_left_empty(digits: Dataset):
    images = replace(digits.test.select(slice(2)), labels=torch.tensor([3, -1]))
    codes = encode(small_vae(), images)
    assert codes.classes == ("3", "") and codes.labels.tolist() == [3, -1]


def test_a_tensor_or_an_array_is_taken_for_images(digits: Dataset):
    vae, expected = small_vae(), digits.test
    codes = encode(vae, expected)
    for images in (expected.levels(), expected.levels().numpy(), expected.as_float()):
        assert torch.equal(encode(vae, images).means, codes.means)


def test_images_that_do_not_fit_are_refused(digits: Dataset):
    vae = small_vae()
    for function in (encode, score):
        with pytest.raises(ArgumentError, match=r"must have the model's shape \(1, 8, 8\)"):
            function(vae, noise(2, 3, 8, 8))
        with pytest.raises(ArgumentError, match="at least one image"):
            function(vae, digits.test.select(slice(0)))
        with pytest.raises(ArgumentError, match="at least one image"):
            function(vae, {})
        with pytest.raises(ArgumentTypeError, match=r"images\['test'\] must be ImageData"):
            function(vae, {"test": "digits"})


# ------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    "name",
    ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)", "＝1", "=é", "-"],
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(name):
    assert plain_text(name) == f"'{name}"


@pytest.mark.parametrize("name", ["-1", "+2.5", "a=b", "café/猫.png", "'quoted'", 'a,b;c"d', ""])
def test_other_text_stays_as_it_is(name):
    assert plain_text(name) == name


def test_a_strangers_names_stay_in_their_cells(tmp_path):
    names = ["=1+1", 'a,"b".png', "new\nline\r", "\x1b[31mred", "\udcff.png", "猫.png", "x;=1+1"]
    codes = Codes(
        names=tuple(names), parts=("",) * 7, means=torch.rand(7, 1), scales=torch.rand(7, 1)
    )
    codes.save(tmp_path / "codes.csv")
    text = (tmp_path / "codes.csv").read_bytes().decode("utf-8")
    assert text.count("\n") == 8 and "\r" not in text and "\x1b" not in text
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    found = [row["file"] for row in rows(tmp_path / "codes.csv")]
    assert found[:2] == ["'=1+1", 'a,"b".png'] and found[5:] == ["猫.png", "x;=1+1"]
    assert '"x;=1+1"' in text  # Quoted, or a spreadsheet that splits at semicolons would run it.
    codes.save(tmp_path / "codes.npz")
    assert np.load(tmp_path / "codes.npz")["file"].tolist() == names


def test_numbers_in_a_table_are_exactly_those_in_memory(tmp_path):
    single = torch.cat([torch.randn(500) * 10.0 ** torch.randint(-30, 30, (500,)), torch.zeros(1)])
    for values in (single, single.double() / 3):
        codes = Codes(
            names=("a",) * 501, parts=("",) * 501, means=values[:, None], scales=values[:, None]
        )
        codes.save(tmp_path / "codes.csv", overwrite=True)
        read = [float(row["mean_1"]) for row in rows(tmp_path / "codes.csv")]
        assert torch.equal(torch.tensor(read, dtype=torch.double).to(values.dtype), values)


def test_nothing_is_overwritten_unless_asked(tmp_path, digits: Dataset):
    path, vae = tmp_path / "new" / "codes.csv", small_vae()
    codes = encode(vae, digits.test)
    codes.save(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already.*--overwrite"):
        codes.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["codes.csv"]
    codes.save(path, overwrite=True)
    with pytest.raises(OutputError, match=r"\.csv or an \.npz file, not .*codes\.xlsx"):
        codes.save(tmp_path / "codes.xlsx")
    (tmp_path / "folder.csv").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="choose another name"):
            require_table(tmp_path / "folder.csv", overwrite=overwrite)
    with pytest.raises(OutputError, match="not an empty folder"):
        require_empty(path.parent)
    with pytest.raises(OutputError, match="is a file"):
        require_empty(path, overwrite=True)
    assert require_empty(path.parent, overwrite=True) == path.parent


# ------------------------------------------------------------------------------------ scores


def test_scores_are_the_terms_of_the_elbo_the_strangest_first(digits: Dataset, tmp_path):
    vae = small_vae().eval()
    test = digits.test
    scores = score(vae, test)
    torch.manual_seed(0)
    distortion, rate = terms(vae, test.as_float(), analytic_kl=True)
    order = (-distortion - rate).argsort()
    assert scores.order.tolist() == order.tolist()
    torch.testing.assert_close(scores.distortions, distortion[order])
    torch.testing.assert_close(scores.rates, rate[order])
    torch.testing.assert_close(scores.elbos, (-distortion - rate)[order])
    assert scores.names[0] == f"{int(order[0]):05d}"
    scores.save(tmp_path / "scores.csv")
    table = rows(tmp_path / "scores.csv")
    assert list(table[0]) == ["file", "elbo", "distortion", "rate"] and len(table) == 180
    scores.save(tmp_path / "scores.npz")
    assert np.array_equal(np.load(tmp_path / "scores.npz")["elbo"], scores.elbos.numpy())


@pytest.mark.parametrize("batch_size", [500, 64])
def test_the_mean_of_a_parts_scores_is_its_evaluation(digits: Dataset, batch_size):
    vae = small_vae()
    digits = digits.map(lambda part: part.with_pixels("binarized"))
    scores = score(vae, digits, batch_size=batch_size)
    test = torch.tensor([part == "test" for part in scores.parts])
    found = evaluate(vae, digits.test, batch_size=batch_size)
    for values, expected in (
        (scores.elbos, found.elbo),
        (scores.distortions, found.distortion),
        (scores.rates, found.rate),
    ):
        assert values[test].double().mean().item() == pytest.approx(expected, rel=1e-6)


def test_log_likelihoods_come_with_their_errors_in_the_same_order(digits: Dataset, tmp_path):
    vae, test = small_vae(), digits.test.select(slice(30))
    scores = score(vae, test, samples=50)
    expected = log_likelihood(vae, test, samples=50)
    assert torch.equal(scores.log_likelihoods, expected.values[scores.order])
    assert torch.equal(scores.errors, expected.errors[scores.order])
    scores.save(tmp_path / "scores.csv")
    row = rows(tmp_path / "scores.csv")[0]
    assert float(row["log_likelihood"]) == scores.log_likelihoods[0].item()
    assert float(row["log_likelihood_error"]) == scores.errors[0].item() > 0


def test_an_autoencoders_images_are_sorted_by_their_distortion(digits: Dataset):
    scores = score(vae_with("Delta", "Flat"), digits.test, samples=10)
    assert list(scores.columns()) == ["file", "distortion"]
    assert (scores.distortions.diff() <= 0).all() and "distortion first" in repr(scores)


def test_an_image_that_is_not_like_the_others_is_the_strangest(digits: Dataset):
    vae = small_vae()
    fit(vae, digits.train.select(slice(600)), epochs=4, learning_rate=1e-2, device="cpu")
    images = torch.cat([digits.test.levels(), noise(1, *SHAPE).images])
    assert score(vae, ImageData(images)).order[0] == 180


def test_what_the_likelihood_cannot_give_is_refused(digits: Dataset):
    vae = small_vae(likelihood=likelihoods.Bernoulli(networks.MLPDecoder(2, SHAPE)))
    with pytest.raises(likelihoods.SupportError, match="Binarize"):
        score(vae, digits.test)


# ------------------------------------------------------------------------------------ images


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_reconstructions_are_those_of_the_model_without_padding(tmp_path, channels, mode):
    vae = small_vae((channels, 12, 16)).eval()
    images = named(noise(3, channels, 8, 12).pad(2), "b/one.jpg", "a/two.png", "three")
    paths = save_reconstructions(vae, images, tmp_path / "out", margin=2, batch_size=2)
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == [
        "b/one.png",
        "a/two.png",
        "three.png",
    ]
    expected = vae.reconstruct(images.as_float())[:, :, 2:-2, 2:-2]
    for path, each in zip(paths, expected, strict=True):
        with Image.open(path) as picture:
            assert picture.mode == mode and picture.size == (12, 8)
            found = torch.from_numpy(np.array(picture)).view(8, 12, channels).permute(2, 0, 1)
        assert (found / 255 - each).abs().max() <= 0.5 / 255 + 1e-6
    with pytest.raises(OutputError, match="not an empty folder"):
        save_reconstructions(vae, images, tmp_path / "out", margin=2)
    save_reconstructions(vae, images, tmp_path / "out", margin=2, overwrite=True)


def test_images_that_a_png_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    vae = small_vae((5, 8, 8))
    with pytest.raises(OutputError, match=r"1 to 4 channels, not 5: take the tensors of"):
        save_samples(vae, 2, tmp_path / "out")
    with pytest.raises(OutputError, match="A margin of 4 pixels leaves nothing"):
        save_samples(small_vae(), 2, tmp_path / "out", margin=4)
    assert not (tmp_path / "out").exists()


def test_no_two_files_have_one_name_and_none_leads_out_of_the_folder():
    names = ["a/x.jpg", "a/X.png", "b/x.jpg", "../../etc/passwd", "/root/y.png", "..", "a\x1b.png"]
    names += ["a/x.jpg", "n" * 300 + ".png", "scan.tif#1", "scan.tif#2"]
    found = [str(name) for name in file_names(names)]
    assert found[:7] == [
        "a/x.jpg.png",
        "a/X.png.png",
        "b/x.png",
        "etc/passwd.png",
        "root/y.png",
        "image.png",
        "a\\x1b.png",
    ]
    assert found[7] == "a/x.jpg-2.png" and len(found[8]) < 240
    assert found[9:] == ["scan.tif#1.png", "scan.tif#2.png"]
    assert len({name.casefold() for name in found}) == len(found)


def test_samples_follow_the_seed_and_not_the_batches(tmp_path):
    vae = small_vae().eval()
    one, two = (save_samples(vae, 7, tmp_path / str(b), batch_size=b, seed=5) for b in (100, 3))
    assert [path.name for path in one] == [f"{i:05d}.png" for i in range(7)]
    levels = [[np.array(Image.open(path)) for path in paths] for paths in (one, two)]
    assert np.abs(np.array(levels[0]).astype(int) - np.array(levels[1])).max() <= 1
    torch.manual_seed(5)
    expected = (vae.sample(7)[:, 0] * 255).round()
    assert np.abs(np.array(levels[0]) - expected.numpy()).max() <= 1
    with pytest.raises(UnsupportedError):
        save_samples(vae_with("Delta", "Flat"), 2, tmp_path / "flat")


# ------------------------------------------------------------------------------------ export


def test_networks_are_the_same_without_pyro_and_without_padding(tmp_path, digits: Dataset):
    padded = digits.pad(2)
    vae = small_vae((1, 12, 12)).eval()
    found = export(vae, tmp_path, padded.test, margin=2, onnx=False)
    assert {path.name for path in found.files} == {"encoder.pt2", "decoder.pt2", "export.json"}
    encoder, decoder = (
        torch.export.load(tmp_path / f"{name}.pt2").module() for name in ("encoder", "decoder")
    )
    with torch.no_grad():
        for images in (digits.test, digits.test.select(slice(1))):
            mean, scale = encoder(images.as_float())
            q = vae.encode(images.pad(2).as_float())
            torch.testing.assert_close(mean, q.mean, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(scale, q.stddev, rtol=1e-5, atol=1e-5)
            (image,) = decoder(mean)
            expected = vae.images(mean)[:, :, 2:-2, 2:-2]
            torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)
    described = json.loads((tmp_path / "export.json").read_text())
    assert described["encoder"]["input"]["shape"] == ["N", 1, 8, 8]
    assert max(found.differences.values()) < 1e-5 and "stay in pyro_vae" in str(found)
    with pytest.raises(OutputError, match="not an empty folder"):
        export(vae, tmp_path)


def test_onnx_computes_the_same(tmp_path, digits: Dataset):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    vae = small_vae().eval()
    found = export(vae, tmp_path, digits.test)
    assert {"encoder.onnx", "decoder.onnx"} <= set(found.differences) and not found.left_out
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    for images in (digits.test.as_float(), digits.test.as_float(slice(1))):
        q = vae.encode(images)
        mean, scale = encoder.run(["mean", "scale"], {"x": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(mean), q.mean.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(scale), q.stddev.detach(), rtol=1e-5, atol=1e-5)
        (image,) = decoder.run(["image"], {"z": mean})
        expected = vae.images(torch.from_numpy(mean))
        torch.testing.assert_close(torch.from_numpy(image), expected, rtol=1e-5, atol=1e-5)


def test_without_the_packages_of_onnx_it_is_left_out_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pyro_vae.outputs.exporting.ONNX_PACKAGES", ("no_such_package",))
    found = export(small_vae(), tmp_path)
    assert "ONNX is left out: it needs no_such_package: pip install" in str(found)
    with pytest.raises(ExportError, match="pyro-vae\\[onnx\\]"):
        export(small_vae(), tmp_path / "other", onnx=True)


def test_a_posterior_without_a_closed_form_is_left_out_and_said_so(tmp_path):
    found = export(vae_with("PlanarFlow"), tmp_path, onnx=False)
    assert {path.name for path in found.files} == {"decoder.pt2", "export.json"}
    assert "the posterior, PlanarFlow, has no mean and scale in closed form" in str(found)


def test_a_network_that_cannot_be_followed_is_left_out_and_said_so(tmp_path):
    class Branching(nn.Module):
        features = 4

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1)) * (2 if float(x.sum()) > 0 else 1)

    vae = small_vae(posterior=posteriors.DiagonalNormal(Branching(), 2))
    found = export(vae, tmp_path, onnx=False)
    assert "encoder" in found.left_out and "decoder.pt2" in found.differences
    assert "torch.export cannot follow it" in str(found)


EXPORTED = [
    *(partial(vae_with, each) for each in ("FullNormal", "Laplace")),
    partial(vae_with, "PowerSpherical", "HypersphereUniform"),
    partial(vae_with, "Bernoulli", "Bernoulli"),
    partial(vae_with, "Delta", "Flat"),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", EXPORTED, ids=lambda make: make.args[0])
def test_every_posterior_with_a_closed_form_is_exported(tmp_path, make):
    found = export(make(), tmp_path)
    assert not found.left_out and max(found.differences.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Bernoulli",
        "ContinuousBernoulli",
        "Normal",
        "Laplace",
        "StudentT",
        "DiscretizedLogistic",
        "DiscretizedLogisticMixture",
        "Categorical",
    ],
)
def test_every_likelihood_is_exported(tmp_path, name):
    decoder = networks.MLPDecoder(2, SHAPE, hidden=(16,))
    vae = small_vae(likelihood=getattr(likelihoods, name)(decoder))
    found = export(vae, tmp_path)
    assert not found.left_out and max(found.differences.values()) < 1e-5
    assert mean_of(vae.likelihood(torch.zeros(1, 2))) is not None


# ---------------------------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small run on padded digits, trained by the command."""
    folder = tmp_path_factory.mktemp("user") / "run"
    settings = "--recipe mnist_mlp --data digits --limit 200 --epochs 1 --padding 1 --device cpu"
    main(["train", *settings.split(), "--skip-pictures", "--out", str(folder)])
    return folder


def test_every_command_has_a_script():
    scripts = Path(__file__).parent.parent / "scripts"
    assert set(SCRIPTS) == set(COMMANDS)
    for command, script in SCRIPTS.items():
        assert f'run("{command}", sys.argv[1:])' in (scripts / script).read_text()


def test_training_leaves_codes_and_scores_that_agree_with_its_evaluation(trained: Path):
    experiment = Experiment.open(trained)
    numbers = json.loads((trained / "evaluation.json").read_text())
    scores, codes = rows(trained / "scores.csv"), rows(trained / "codes.csv")
    for name in ("elbo", "distortion", "rate"):
        values = [float(row[name]) for row in scores]
        assert np.mean(values) == pytest.approx(numbers[name], rel=1e-6)
        assert name != "elbo" or values == sorted(values)
    q = experiment.load().encode(experiment.dataset.test.as_float())
    assert [float(row["mean_1"]) for row in codes] == pytest.approx(q.mean[:, 0].tolist(), abs=1e-5)
    assert {row["part"] for row in codes} == {"test"} and len(codes) == len(scores) == 180
    assert {row["file"] for row in codes} == {row["file"] for row in scores}


def test_without_a_file_the_strangest_images_and_the_first_codes_are_shown(trained: Path, capsys):
    main(["score", str(trained), "--part", "test"])
    *table, summary = capsys.readouterr().out.splitlines()
    strangest = [row["file"] for row in rows(trained / "scores.csv")[:10]]
    assert [" ".join(line.split()[:-4]) for line in table[1:]] == strangest
    assert "180 images" in summary and "--out" in summary
    main(["encode", str(trained), "--part", "test"])
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[-4:] == ["mean_1", "mean_2", "scale_1", "scale_2"] and len(table) == 12


@pytest.mark.parametrize("command", ["reconstruct", "sample", "export"])
def test_without_a_folder_to_write_into_one_is_asked_for(trained: Path, command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, str(trained)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "--out is missing: name the folder" in said


def test_commands_write_the_runs_own_images_by_part(trained: Path, tmp_path, capsys):
    main(["encode", str(trained), "--out", str(tmp_path / "codes.csv")])
    found = rows(tmp_path / "codes.csv")
    parts = [row["part"] for row in found]
    assert parts == ["train"] * 200 + ["validation"] * 161 + ["test"] * 180
    main(["encode", str(trained), "--part", "test", "--out", str(tmp_path / "codes.npz")])
    test = [row for row in found if row["part"] == "test"]
    means = np.load(tmp_path / "codes.npz")["mean"][:, 0]
    assert [float(row["mean_1"]) for row in test] == pytest.approx(means.tolist(), abs=1e-6)
    main(["score", str(trained), "--part", "test", "--out", str(tmp_path / "scores.csv")])
    assert (tmp_path / "scores.csv").read_bytes() == (trained / "scores.csv").read_bytes()
    for command, *more in (["score"], ["encode"], ["encode", "--part", "nowhere"]):
        out = tmp_path / ("scores.csv" if not more else "new.csv")
        with pytest.raises(SystemExit) as stop:
            main([command, str(trained), "--out", str(out), *more])
        assert stop.value.code == 2
    assert "--part takes one of train, validation, test here, not 'nowhere'" in (
        capsys.readouterr().err
    )


def test_other_images_are_treated_as_the_runs_were(trained: Path, tmp_path, digits: Dataset):
    for i, levels in enumerate(digits.test.levels(slice(20))):
        large = Image.fromarray(levels[0].numpy()).resize((16, 16), Image.Resampling.NEAREST)
        (tmp_path / "other").mkdir(exist_ok=True)
        large.convert("RGB").save(tmp_path / "other" / f"{i:02d}.png")
    given = ["--data", str(tmp_path / "other")]
    main(["encode", str(trained), *given, "--out", str(tmp_path / "codes.csv")])
    found = rows(tmp_path / "codes.csv")
    assert len(found) == 20 and {row["part"] for row in found} == {"other/test"}
    assert [row["file"] for row in found] == [f"{i:02d}.png" for i in range(20)]
    main(["reconstruct", str(trained), *given, "--out", str(tmp_path / "pictures")])
    pictures = list((tmp_path / "pictures").rglob("*.png"))
    assert len(pictures) == 20
    assert {Image.open(path).size for path in pictures} == {(8, 8)}


def test_one_new_image_is_scored_coded_and_reconstructed(trained: Path, tmp_path, digits, capsys):
    """A folder of one image, or the image itself."""
    (tmp_path / "new").mkdir()
    Image.fromarray(digits.test.levels()[3, 0].numpy()).save(tmp_path / "new" / "scan.png")
    expected = score(Experiment.open(trained).load(), digits.test.select(slice(3, 4)).pad(1))
    for number, place in enumerate(("new", "new/scan.png")):
        given = [str(trained), "--data", str(tmp_path / place), "--out"]
        main(["score", *given, str(tmp_path / f"{number}.csv")])
        (row,) = rows(tmp_path / f"{number}.csv")
        assert (row["file"], row["part"]) == ("scan.png", "other/test")
        assert float(row["elbo"]) == pytest.approx(expected.elbos.item(), rel=1e-5)
        main(["encode", *given, str(tmp_path / f"{number}.npz")])
        assert np.load(tmp_path / f"{number}.npz")["mean"].shape[0] == 1
        main(["reconstruct", *given, str(tmp_path / f"r{number}")])
        assert [path.name for path in (tmp_path / f"r{number}").iterdir()] == ["scan.png"]
    said = capsys.readouterr().err
    assert "not those that" not in said and said.count("read like the images of") == 6
    main(["score", str(trained), "--data", "digits", "--out", str(tmp_path / "own.csv")])
    assert {row["part"] for row in rows(tmp_path / "own.csv")} == {"train", "validation", "test"}


def test_the_rows_of_an_array_are_found_again(trained: Path, tmp_path, digits: Dataset):
    images = digits.test.levels(slice(30)).numpy()
    np.save(tmp_path / "scans.npy", images)
    given = [str(trained), "--data", str(tmp_path / "scans.npy"), "--out"]
    main(["score", *given, str(tmp_path / "scores.csv")])
    main(["encode", *given, str(tmp_path / "codes.npz")])
    arrays = np.load(tmp_path / "codes.npz")
    assert arrays["file"].tolist() == [f"scans.npy#{row}" for row in range(30)]
    expected = score(Experiment.open(trained).load(), ImageData(torch.from_numpy(images)).pad(1))
    assert [row["file"] for row in rows(tmp_path / "scores.csv")] == [
        f"scans.npy#{row}" for row in expected.order.tolist()
    ]


def test_pictures_of_other_images_leave_the_runs_own_alone(trained: Path, tmp_path, digits, capsys):
    main(["analyze", str(trained), "--only", "reconstruct_after_train"])
    own = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    (tmp_path / "scans").mkdir()
    for i, levels in enumerate(digits.test.levels(slice(40))):
        Image.fromarray(levels[0].numpy()).save(tmp_path / "scans" / f"{i:02d}.png")
    given = ["--only", "reconstruct_after_train", "--data", str(tmp_path / "scans")]
    for folder in (trained / "analysis_of_scans", tmp_path / "chosen"):
        more = [] if folder.parent == trained else ["--out", str(folder)]
        main(["analyze", str(trained), *given, *more])
        assert {path.name for path in folder.iterdir()} == {
            "reconstruct_after_train.png",
            "report.html",
            "explorer.html",
            "evaluation.json",
        }
        assert json.loads((folder / "evaluation.json").read_text())["images"] == 40
        page = (folder / "report.html").read_text()
        assert "40" in page and "no evaluation.json" not in page
    assert all(path.read_bytes() == content for path, content in own.items())
    with pytest.raises(SystemExit):
        main(["analyze", str(trained), "--only", "interpolation", "--out", str(tmp_path / "x")])
    assert "--out is for several runs, or for other images" in capsys.readouterr().err


def test_pictures_of_one_other_image_compare_it_with_the_runs_own(trained: Path, tmp_path, digits):
    (tmp_path / "new").mkdir()
    Image.fromarray(digits.test.levels()[3, 0].numpy()).save(tmp_path / "new" / "scan.png")
    experiment = Experiment.open(trained, data=str(tmp_path / "new"))
    looked_at = subject_of_run(experiment, device="cpu")
    assert len(looked_at.test) == 1 and not looked_at.stages and not looked_at.roles_of_test
    own = Experiment.open(trained).parts[0]
    assert torch.equal(looked_at.dataset.train.levels(), own.levels())
    names = ["reconstruct_after_train", "nearest_training_images"]
    given = ["--data", str(tmp_path / "new"), "--only", *names]
    main(["analyze", str(trained), *given])
    found = {path.name for path in (trained / "analysis_of_new").iterdir()}
    assert {f"{name}.png" for name in names} <= found


def test_images_are_written_at_the_size_and_number_asked_for(trained: Path, tmp_path):
    main(["reconstruct", str(trained), "--out", str(tmp_path / "r")])
    assert len(list((tmp_path / "r" / "test").glob("*.png"))) == 180
    main(["sample", str(trained), "-n", "11", "--out", str(tmp_path / "s")])
    (size,) = {Image.open(path).size for path in (tmp_path / "s").glob("*.png")}
    assert size == (8, 8) and len(list((tmp_path / "s").iterdir())) == 11


def test_a_run_is_exported_at_the_size_of_its_data(trained: Path, tmp_path, digits, capsys):
    main(["export", str(trained), "--onnx", "false", "--out", str(tmp_path / "e")])
    assert "loaded again" in capsys.readouterr().out
    encoder = torch.export.load(tmp_path / "e" / "encoder.pt2").module()
    mean, _ = encoder(digits.test.as_float())
    vae = Experiment.open(trained).load()
    expected = vae.encode(digits.test.pad(1).as_float()).mean
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-5)
