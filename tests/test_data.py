"""The types, loading by name, splits, digits, sizes and channels, and the torchvision import."""

import os
import subprocess
import sys
import warnings
from dataclasses import FrozenInstanceError
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae import data
from pyro_vae.data import named
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.resizing import center_crop
from pyro_vae.data.splits import split_by_seed

SHARED = Path(__file__).resolve().parents[2] / "shared" / "datasets"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)


def numbered(count: int, height: int = 3, width: int = 2) -> ImageData:
    """Return images that are constant at their own number, which is also label and attribute."""
    numbers = torch.arange(count)
    images = numbers.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, height, width)
    return ImageData(images, numbers, attributes={"hair": numbers * 2}, source="here")


# ImageData


def test_length_and_shape():
    images = numbered(5)
    assert len(images) == 5
    assert images.image_shape == (1, 3, 2)


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        numbered(2).source = "there"


def test_select_takes_everything_along():
    chosen = numbered(5).select(torch.tensor([4, 1]))
    assert chosen.images[:, 0, 0, 0].tolist() == [4, 1]
    assert chosen.labels.tolist() == [4, 1]
    assert chosen.attributes["hair"].tolist() == [8, 2]
    assert chosen.source == "here"


def test_a_slice_is_a_view():
    images = numbered(5)
    part = images.select(slice(2, None))
    assert part.images.data_ptr() == images.images[2].data_ptr()
    assert part.labels.tolist() == [2, 3, 4]


def test_pad_puts_zeros_around():
    images = ImageData(torch.full((1, 2, 3, 2), 9, dtype=torch.uint8)).pad(2)
    assert images.image_shape == (2, 7, 6)
    assert images.images[:, :, 2:5, 2:4].eq(9).all()
    assert images.images.sum() == 9 * 12  # nothing but zeros elsewhere


def test_a_negative_margin_is_refused():
    with pytest.raises(data.DataError, match="margin must be 0 pixels or more, not -1"):
        numbered(2).pad(-1)


def test_as_float_is_exact_at_both_ends_and_leaves_the_bytes_alone():
    images = ImageData(torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1))
    assert images.as_float().flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert images.as_float().dtype == torch.float32
    assert images.as_float(torch.tensor([2])).shape == (1, 1, 1, 1)
    assert images.images.flatten().tolist() == [0, 51, 255]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(2, 1, 3, 3)}, "images must be uint8"),
        ({"images": torch.zeros(2, 3, 3, dtype=torch.uint8)}, r"\(N, C, H, W\)"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels must be int64 of shape \(2,\)"),
        ({"labels": torch.zeros(2)}, "labels must be int64"),
        ({"attributes": {"hair": torch.zeros(3, dtype=torch.int64)}}, "attribute 'hair'"),
        ({"labels": torch.tensor([0, 2]), "class_names": ("a", "b")}, "there are 2 class names"),
    ],
)
def test_wrong_tensors_are_refused_by_name(change, message):
    with pytest.raises(data.DataError, match=message):
        ImageData(**{"images": torch.zeros(2, 1, 3, 3, dtype=torch.uint8)} | change)


ONE_OF_EACH = ImageData(torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1))


@pytest.mark.parametrize(
    ("old", "new"), [("grey", "gray"), ("binarised", "binarized"), ("dequantised", "dequantized")]
)
def test_old_names_of_pixels_still_work_with_a_warning(old, new):
    message = f"pixels='{old}' is now called '{new}'"
    with pytest.warns(FutureWarning, match=message) as made:
        assert ImageData(ONE_OF_EACH.images, pixels=old).pixels == new
    with pytest.warns(FutureWarning, match=message) as changed:
        assert ONE_OF_EACH.with_pixels(old).pixels == new
    assert [each.filename for each in (made[0], changed[0])] == [__file__] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ONE_OF_EACH.with_pixels(new).select(slice(3)).pixels == new


@pytest.mark.parametrize("unknown", ["binary", "binarised-once", "", None])
def test_an_unknown_value_of_pixels_is_refused(unknown):
    message = f"pixels must be one of gray, binarized, dequantized, not {unknown!r}"
    with pytest.raises(data.DataError, match=message):
        ImageData(ONE_OF_EACH.images, pixels=unknown)
    with pytest.raises(data.DataError, match=message):
        ONE_OF_EACH.with_pixels(unknown)


def test_each_kind_of_pixels_draws_as_documented():
    levels = ONE_OF_EACH.images.float()
    binarized, dequantized = (
        torch.stack([ONE_OF_EACH.with_pixels(kind).as_float() for _ in range(400)])
        for kind in ("binarized", "dequantized")
    )
    assert set(binarized.unique().tolist()) == {0, 1}
    assert (binarized.mean(0) - levels / 255).abs().max() < 0.12  # 5 standard errors at most
    noise = dequantized * 256 - levels
    assert noise.min() >= 0 and noise.max() <= 1  # rounding can reach 1
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var(0).min() > 0.05  # drawn anew at every call


def test_binarized_once_is_fixed_by_its_seed():
    """Published numbers depend on these draws: they must not change from version to version."""
    once = ONE_OF_EACH.binarized_once(seed=3)
    assert set(once.levels().unique().tolist()) == {0, 255}
    torch.manual_seed(9)
    assert torch.equal(once.images, ONE_OF_EACH.binarized_once(seed=3).images)
    assert not torch.equal(once.images, ONE_OF_EACH.binarized_once(seed=4).images)
    assert once.images.bool().nonzero()[:5, 0].tolist() == [14, 23, 33, 34, 37]
    with pytest.warns(FutureWarning, match="binarised_once is now called .*binarized_once") as told:
        again = ONE_OF_EACH.binarised_once(seed=3)
    assert torch.equal(once.images, again.images) and told[0].filename == __file__


# Dataset


def test_split_holds_out_the_last_training_images():
    train, validation = Dataset("numbers", numbered(10), numbered(2)).split(3)
    assert train.labels.tolist() == list(range(7))
    assert validation.labels.tolist() == [7, 8, 9]


@pytest.mark.parametrize("validation", [10, 11, -1])
def test_too_large_a_validation_split_is_refused_by_name(validation):
    with pytest.raises(data.DataError, match=f"numbers: cannot hold out {validation} of 10"):
        Dataset("numbers", numbered(10), numbered(2)).split(validation)


def test_limit_touches_the_training_images_only():
    limited = Dataset("numbers", numbered(10), numbered(4)).limit(3)
    assert limited.train.labels.tolist() == [0, 1, 2]
    assert len(limited.test) == 4
    with pytest.raises(data.DataError, match="cannot train on 0 images: the limit is at least 1"):
        limited.limit(0)


def test_pad_keeps_both_parts_alike():
    padded = Dataset("numbers", numbered(3), numbered(2)).pad(1)
    assert padded.image_shape == padded.test.image_shape == (1, 5, 4)


def test_parts_of_different_shapes_are_refused():
    with pytest.raises(data.DataError, match="numbers: train images are"):
        Dataset("numbers", numbered(3), numbered(3, height=4))


# Splits by seed


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 200), st.floats(0.001, 0.999), st.integers(0, 10))
def test_a_split_divides_the_images_without_loss(count, fraction, seed):
    whole = split_by_seed("numbers", numbered(count), fraction, seed)
    train, test = whole.train.labels.tolist(), whole.test.labels.tolist()
    assert sorted(train + test) == list(range(count))
    assert abs(len(test) - count * fraction) <= 1


def test_a_split_depends_on_the_seed_and_on_nothing_else():
    torch.manual_seed(1)
    first = split_by_seed("numbers", numbered(50), 0.2, seed=3).test.labels
    before = torch.get_rng_state()
    again = split_by_seed("numbers", numbered(50), 0.2, seed=3).test.labels
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, split_by_seed("numbers", numbered(50), 0.2, seed=4).test.labels)


def test_the_split_is_the_same_on_every_machine():
    """Published numbers depend on this order: it must not change from version to version."""
    assert split_by_seed("n", numbered(10), 0.3, seed=0).test.labels.tolist() == [4, 1, 7]


def test_one_image_cannot_be_split():
    with pytest.raises(data.DataError, match="lonely: 1 image cannot be split .* at least 2"):
        split_by_seed("lonely", numbered(1), 0.1, seed=0)


# load


def test_the_known_names():
    assert data.names() == ("fashion-mnist", "mnist", "cifar10", "cartoonset", "digits")


def test_digits_are_the_real_ones_and_need_no_network():
    digits = data.load("digits")
    assert digits.image_shape == (1, 8, 8)
    assert (len(digits.train), len(digits.test)) == (1617, 180)
    assert digits.train.images.max() == 255
    assert digits.train.class_names[3] == "3"
    counts = torch.cat([digits.train.labels, digits.test.labels]).bincount()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_images_belong_to_their_labels():
    """A nearest-mean classifier that learns from shuffled labels is right 1 time in 10."""
    digits = data.load("digits", test_fraction=0.3, seed=1)
    x, y = digits.train.as_float().flatten(1), digits.train.labels
    means = torch.stack([x[y == label].mean(0) for label in range(10)])
    nearest = torch.cdist(digits.test.as_float().flatten(1), means).argmin(1)
    assert (nearest == digits.test.labels).float().mean() > 0.85


def test_an_unknown_name_gets_the_nearest_and_all_names():
    with pytest.raises(data.DataError) as caught:
        data.load("fashion_mnist")
    message = str(caught.value)
    assert "Did you mean fashion-mnist?" in message
    assert "there is no such path" in message
    assert all(name in message for name in data.names())


def test_every_module_of_named_data_sets_is_found():
    modules = [import_module(f"{named.__name__}.{m.name}") for m in iter_modules(named.__path__)]
    declared = {name: loader for module in modules for name, loader in module.LOADERS.items()}
    assert declared == named.LOADERS and set(declared) == set(data.names())


def test_a_file_of_another_kind_is_refused():
    Path("notes.txt").write_text("hello")
    with pytest.raises(data.DataError, match="neither a folder of images nor one of .npy"):
        data.load("notes.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be 1 pixel or more, not 0"),
        ({"size": (8, -1)}, "size must be 1 pixel"),
        ({"channels": 2}, "channels must be 1 .gray. or 3 .RGB., not 2"),
        ({"test_fraction": 1.0}, "test_fraction must be between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(data.DataError, match=message):
        data.load("digits", **options)


def test_size_and_channels_are_honored_for_any_data():
    digits = data.load("digits", size=(16, 12), channels=3)
    assert digits.image_shape == digits.test.image_shape == (3, 16, 12)
    assert torch.equal(digits.train.images[:, 0], digits.train.images[:, 2])


def test_the_crop_is_central_and_in_proportion():
    assert center_crop((45, 33), (10, 10)) == (6, 0, 33, 33)
    assert center_crop((10, 40), (20, 40)) == (0, 10, 10, 20)
    assert center_crop((1, 500), (500, 1)) == (0, 249, 1, 1)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason=f"no real MNIST in {SHARED}")
def test_real_mnist_through_the_environment(monkeypatch):
    monkeypatch.setenv("PYRO_VAE_DATA", str(SHARED))
    before = sorted(SHARED.rglob("*"))
    mnist = data.load("mnist")
    assert (len(mnist.train), len(mnist.test)) == (60_000, 10_000)
    assert mnist.image_shape == (1, 28, 28)
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train.as_float().mean() == pytest.approx(0.1307, abs=1e-4)  # the known mean
    assert sorted(SHARED.rglob("*")) == before


# The import of torchvision


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(data.__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchvision_imports_beside_this_torch():
    code = """
from pyro_vae.data.downloads._torchvision import import_torchvision
vision = import_torchvision()
import torchvision
assert vision is torchvision is import_torchvision()
print(sum(p.numel() for p in vision.models.resnet18().parameters()), vision.datasets.MNIST.__name__)
"""
    assert in_a_new_process(code).split() == ["11689512", "MNIST"]


def test_nothing_is_imported_early_or_declared_without_need():
    """A stand-in for torchvision fails in another way first, and then works."""
    code = """
import sys, importlib.abc, importlib.machinery, torch
declared, faults = [], [RuntimeError("something else")]
torch.library.define = lambda name, schema: declared.append(name)

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            return importlib.machinery.ModuleSpec(name, self)
    def exec_module(self, module):
        if faults:
            raise faults.pop()

sys.meta_path.insert(0, Finder())
import pyro_vae.data
from pyro_vae.data.downloads._torchvision import import_torchvision
assert "torchvision" not in sys.modules and len(faults) == 1
try:
    import_torchvision()
except RuntimeError as error:
    print(error)
print(import_torchvision().__name__, declared)
"""
    assert in_a_new_process(code).splitlines() == ["something else", "torchvision []"]
