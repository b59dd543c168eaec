"""Arrays: layouts, value ranges, keys, labels, attributes beside them, damaged files."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_vae import data
from pyro_vae.data import capacity
from pyro_vae.data.readers.arrays import to_images

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, caplog):
    """An empty working directory, and everything that is logged."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", logger="pyro_vae.data")


def random_bytes(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def all_images(dataset: data.Dataset) -> set[bytes]:
    both = torch.cat([dataset.train.images, dataset.test.images])
    return {image.numpy().tobytes() for image in both}


# Layouts


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 9, 7), (5, 1, 9, 7)),
        ((5, 9, 7, 3), (5, 3, 9, 7)),
        ((5, 9, 7, 1), (5, 1, 9, 7)),
        ((5, 3, 9, 7), (5, 3, 9, 7)),
        ((5, 1, 9, 7), (5, 1, 9, 7)),
    ],
)
def test_layouts(shape, expected):
    array = random_bytes(*shape)
    images = to_images(array, "x")
    assert images.shape == expected
    assert images.flags["C_CONTIGUOUS"]
    pixel = array[4, 2, 5] if len(shape) == 3 or shape[3] <= 3 else array[4, :, 2, 5]
    assert np.array_equal(images[4, :, 2, 5], np.atleast_1d(pixel))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3, 9, 3), "the second or the last dimension could be the channels"),
        ((5, 9, 9, 9), "neither the second nor the last dimension could be the channels"),
        ((5, 784), "reshape it to"),
        ((0, 9, 9), "there are no images in it"),
    ],
)
def test_shapes_that_are_refused(shape, message):
    with pytest.raises(data.DataError, match=message):
        to_images(np.zeros(shape, np.uint8), "x")


# Values


def test_floats_are_rounded_to_the_nearest_level_and_it_is_logged(caplog):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for kind in (np.float32, np.float64):
        assert np.array_equal(to_images(levels.astype(kind) / 255, "x")[:, 0], levels)
    between = np.array([0.001, 0.003, 0.499, 0.999]).reshape(1, 2, 2)
    assert to_images(np.tile(between, (1, 4, 4)), "x")[0, 0, :2, :2].tolist() == [
        [0, 1],
        [127, 255],
    ]
    assert "x: floats in [0, 1] scaled to 0 to 255" in caplog.text


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.uint16])
def test_whole_numbers_up_to_255_are_levels(kind):
    levels = random_bytes(2, 9, 9)
    assert np.array_equal(to_images(levels.astype(kind), "x")[:, 0], levels)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_binary_images_are_black_and_white(kind):
    binary = RNG.integers(0, 2, (3, 9, 9))
    assert np.array_equal(to_images(binary.astype(kind), "x")[:, 0], binary * 255)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 9, 9), -0.5), "from -0.5 to -0.5: scale it to floats in"),
        (np.full((2, 9, 9), 1.5), "float64 from 1.5 to 1.5"),
        (np.full((2, 9, 9), 256), "int64 from 256 to 256"),
        (np.full((2, 9, 9), np.nan), "not finite"),
        (np.full((2, 9, 9), "a"), "images are bytes or floats"),
    ],
)
def test_values_that_are_refused(values, message):
    with pytest.raises(data.DataError, match=message):
        to_images(values, "x")


# Files


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_one_array_is_split_by_seed(suffix):
    images = random_bytes(20, 9, 7, 3)
    path = Path(f"mine{suffix}")
    if suffix == ".npy":
        np.save(path, images)
    elif suffix == ".npz":
        np.savez(path, images=images)
    else:
        torch.save(torch.from_numpy(images), path)
    dataset = data.load(path, test_fraction=0.25)
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("mine", 15, 5)
    assert dataset.image_shape == (3, 9, 7)
    assert all_images(dataset) == {
        np.ascontiguousarray(image).tobytes() for image in images.transpose(0, 3, 1, 2)
    }
    again = data.load(str(path), test_fraction=0.25)
    assert torch.equal(again.test.images, dataset.test.images)


def test_both_parts_keep_their_order_and_labels():
    labels = np.array([2, 0, 1, 2, 0], np.uint8)
    content = {
        "train_images": random_bytes(5, 9, 9),
        "train_labels": labels,
        "test_images": random_bytes(2, 9, 9),
        "test_labels": labels[:2],
        "class_names": np.array(["a", "b", "c"]),
    }
    np.savez("both.npz", **content)
    dataset = data.load("both.npz", seed=7)
    assert np.array_equal(dataset.train.images[:, 0], content["train_images"])
    assert dataset.train.labels.tolist() == labels.tolist()
    assert dataset.test.labels.tolist() == [2, 0]
    assert dataset.test.class_names == ("a", "b", "c")


def test_images_sorted_by_class_are_shuffled_so_that_validation_sees_every_class(caplog):
    images, labels = np.repeat(np.arange(4) * 50, 25), np.repeat(np.arange(4), 25)
    np.savez(
        "sorted.npz",
        train_images=np.broadcast_to(images[:, None, None], (100, 9, 9)),
        train_labels=labels,
        test_images=random_bytes(3, 9, 9),
    )
    dataset = data.load("sorted.npz")
    _, validation = dataset.split(40)
    assert set(validation.labels.tolist()) == {0, 1, 2, 3}
    assert torch.equal(dataset.train.images[:, 0, 0, 0].long(), dataset.train.labels * 50)
    assert "sorted by class" in caplog.text


def test_a_dict_of_tensors():
    torch.save({"images": torch.rand(4, 1, 9, 9).half(), "labels": torch.arange(4)}, "d.pt")
    dataset = data.load("d.pt")
    assert len(dataset.train) == 3
    assert dataset.test.labels.shape == (1,)


def test_labels_stay_with_their_images():
    labels = np.arange(30)
    np.savez("x.npz", images=np.tile(labels[:, None, None] * 8, (1, 9, 9)), labels=labels)
    dataset = data.load("x.npz")
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels * 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pictures": random_bytes(3, 9, 9)}, "holds pictures: name the images `images`"),
        ({"test_images": random_bytes(3, 9, 9)}, "holds test_images"),
        ({"images": random_bytes(1, 9, 9)}, "x: 1 image cannot be split"),
        ({"images": random_bytes(3, 9, 9), "labels": np.arange(2)}, r"int64 of shape \(3,\)"),
        (
            {"images": random_bytes(3, 9, 9), "labels": np.full(3, 0.5)},
            "labels must be whole numbers",
        ),
        (
            {"train_images": random_bytes(3, 9, 9), "test_images": random_bytes(3, 9, 8)},
            "train images are",
        ),
    ],
)
def test_contents_that_are_refused(content, message):
    np.savez("x.npz", **content)
    with pytest.raises(data.DataError, match=message):
        data.load("x.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize("keep", [0, 100, -50])
def test_a_damaged_file_is_named(suffix, keep):
    path = Path(f"x{suffix}")
    if suffix == ".pt":
        torch.save(torch.zeros(3, 9, 9), path)
    else:
        (np.save if suffix == ".npy" else np.savez)(path, random_bytes(3, 9, 9))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(data.DataError, match=f"x{suffix} cannot be read: it is damaged"):
        data.load(path)


class Harmful:
    def __reduce__(self):
        return (Path("harm").touch, ())


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_pickled_code_is_never_run(suffix):
    path = Path(f"x{suffix}")
    if suffix == ".pt":
        torch.save([Harmful()], path)
    else:
        np.save(path, np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(data.DataError, match="holds Python objects"):
        data.load(path)
    assert not Path("harm").exists()


# attributes.csv


def write_attributes(names: list[str]) -> None:
    rows = [f"{name},{int(name[1:-4]) * 2},7" for name in names]
    Path("attributes.csv").write_text("\n".join(["filename,hair,eyes", *rows]) + "\n")


@pytest.mark.parametrize("with_names", [True, False])
def test_attributes_beside_an_array_belong_to_its_images(with_names):
    names = [f"c{number}.png" for number in range(12)]
    images = np.tile(np.arange(12)[:, None, None] * 20, (1, 9, 9))
    np.savez("x.npz", images=images, **({"names": np.array(names)} if with_names else {}))
    write_attributes(names[::-1] if with_names else names)  # by name, or in order
    dataset = data.load("x.npz")
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.attributes["hair"] * 10)
        assert part.attributes["eyes"].tolist() == [7] * len(part)


def test_attributes_of_other_data_are_skipped():
    np.savez("x.npz", images=random_bytes(5, 9, 9))
    write_attributes(["c1.png"])
    with pytest.warns(UserWarning, match="attributes.csv has rows for 1 of 5 images"):
        assert data.load("x.npz").train.attributes is None


def test_an_attribute_must_be_a_whole_number():
    np.savez("x.npz", images=random_bytes(2, 9, 9))
    Path("attributes.csv").write_text("filename,hair\na,1\nb,long\n")
    with pytest.raises(data.DataError, match="'hair' has a value that is not a whole number"):
        data.load("x.npz")


# Memory


@pytest.fixture
def little_memory(monkeypatch) -> None:
    """A machine of 10 kB; 20 images of 16×16 are 5,120 bytes."""
    monkeypatch.setattr(capacity, "memory_bytes", lambda: 10_000)


NOISE = np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8)


def test_bytes_that_would_fill_the_memory_stay_in_their_file(tmp_path, little_memory, caplog):
    np.save(tmp_path / "small.npy", NOISE[:9])  # twice 2,304 bytes: below half of the memory
    assert not data.load(tmp_path / "small.npy").train.streamed
    np.save(tmp_path / "large.npy", NOISE)
    assert data.load(tmp_path / "large.npy").train.streamed
    assert "20 images of 1×16×16 would take" in caplog.text
    assert not data.load(tmp_path / "large.npy", stream=False).train.streamed


@pytest.mark.parametrize("name", ["large.npz", "large.pt"])
def test_what_cannot_stay_in_its_file_is_refused_with_the_remedy(tmp_path, little_memory, name):
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez_compressed(path, images=np.zeros_like(NOISE))  # small as a file, not in memory
    else:
        torch.save(torch.from_numpy(NOISE), path)
    with pytest.raises(data.DataError, match=f"{name} would take 0.0 GB.*an .npy file"):
        data.load(path)
    assert len(data.load(path, stream=False).train) == 18


def test_images_that_would_outgrow_the_memory_are_not_enlarged(tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "memory_bytes", lambda: 50_000)
    np.savez(tmp_path / "images.npz", images=NOISE)
    assert data.load(tmp_path / "images.npz", size=32).image_shape == (1, 32, 32)
    with pytest.raises(data.DataError, match="1×64×64, would take.*a smaller size"):
        data.load(tmp_path / "images.npz", size=64)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system as Linux answers")
def test_the_memory_of_the_machine_is_what_the_system_reports(monkeypatch):
    monkeypatch.setattr(capacity, "_LIMITS", ())
    assert capacity.memory_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("limit", "known"), [("1048576", True), ("max", False), (None, False)])
def test_a_containers_limit_counts(tmp_path, monkeypatch, limit, known):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
    whole = capacity.memory_bytes()
    monkeypatch.setattr(capacity, "_LIMITS", (tmp_path / "memory.max",))
    assert (capacity.memory_bytes() == 2**20) == known
    assert known or capacity.memory_bytes() >= whole
