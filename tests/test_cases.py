"""Files that people really have: each is read rightly, or asked about; nothing changes silently."""

import logging
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pyro_vae import data
from pyro_vae.data.images import ImageData

RNG = np.random.default_rng(0)
STREAMS = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def discs(count: int, height: int = 16, width: int = 16) -> np.ndarray:
    """Pictures in [0, 1], float64, (count, height, width)."""
    y, x = np.mgrid[:height, :width]
    places = RNG.uniform(0.3, 0.7, (count, 2, 1, 1)) * np.array([height, width])[:, None, None]
    far = np.hypot(y - places[:, 0], x - places[:, 1])
    return 0.1 + RNG.uniform(0.5, 0.85, (count, 1, 1)) / (1 + np.exp(far - height / 4))


def levels(count: int, *size: int) -> np.ndarray:
    return np.rint(discs(count, *size) * 255).astype(np.uint8)


def save(folder: str, images: np.ndarray, suffix: str = "png") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(Path(folder, f"{number:03d}.{suffix}"))


def save_film(path: str, images: np.ndarray) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    first, *rest = (Image.fromarray(image) for image in images)
    first.save(path, save_all=True, append_images=rest)


def save_signed(path: Path, values: np.ndarray) -> None:
    """Save a TIFF file of signed 16-bit values, which Pillow does not write."""
    height, width = values.shape
    content = values.astype("<i2").tobytes()
    tags = [(256, width), (257, height), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, height), (279, len(content)), (339, 2)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(content))
    path.write_bytes(head + content + struct.pack("<H", len(tags)) + entries + bytes(4))


@contextmanager
def told() -> Iterator[list[str]]:
    """Collect every line that is said, and every warning."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pyro_vae.data")
    level = logger.level
    logger.addHandler(handler), logger.setLevel("INFO")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lines
        lines += [str(each.message) for each in caught]
    finally:
        logger.removeHandler(handler), logger.setLevel(level)


def loaded(path: str, **options) -> tuple[data.Dataset, str]:
    with told() as lines:
        dataset = data.load(path, **options)
    return dataset, "\n".join(lines)


def refused(path: str, **options) -> str:
    with pytest.raises(data.DataError) as caught:
        data.load(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everything(dataset: data.Dataset) -> torch.Tensor:
    return torch.cat([dataset.train.levels(), dataset.test.levels()])


def in_order(dataset: data.Dataset) -> np.ndarray:
    """Return the levels in the order of their names, (N, C, H, W)."""
    names = [*dataset.train.names, *dataset.test.names]
    order = sorted(range(len(names)), key=names.__getitem__)
    return everything(dataset)[order].numpy()


# 16 bits, floats and signs


@STREAMS
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_become_8_and_it_is_said_once(stream, suffix):
    deep = np.rint(discs(12) * 65535).astype(np.uint16)
    save("x", deep, suffix)
    dataset, said = loaded("x", stream=stream)
    assert np.array_equal(in_order(dataset)[:, 0], np.rint(deep * (255 / 65535)))
    assert said.count("16 bits became 8") == 1 and f"to {deep.max()} of 65535" in said
    assert dataset.decisions.ranges == {"uint16": (0, 65535)}


@STREAMS
@pytest.mark.parametrize(("low", "high"), [(0, 4095), (0, 1023), (33000, 36800)])
def test_a_part_of_16_bits_is_said_and_can_be_stretched(stream, low, high):
    deep = np.rint(low + discs(12) * (high - low)).astype(np.uint16)
    save("x", deep, "tif")
    dataset, said = loaded("x", stream=stream)
    assert f"values run from {deep.min()} to {deep.max()} of 65535" in said
    assert "of 256 levels: stretch them over all with stretch='auto'" in said
    stretched, said = loaded("x", stream=stream, stretch="auto")
    assert (everything(stretched).min(), everything(stretched).max()) == (0, 255)
    assert stretched.decisions.stretch == (deep.min(), deep.max())
    assert "stretched to levels 0 to 255" in said
    save("later", deep[:4] // 2 + low // 2, "tif")
    later, _ = loaded("later", decisions=stretched.decisions)
    expected = (deep[:4] // 2 + low // 2 - float(deep.min())) * (255 / np.ptp(deep).astype(float))
    assert np.array_equal(in_order(later)[:, 0], np.rint(expected).clip(0, 255))


def test_16_bits_are_the_same_in_every_format():
    deep = np.rint(discs(12) * 65535).astype(np.uint16)
    save("png", deep), save("tif", deep, "tif")
    (
        np.save("x.npy", deep),
        np.savez("x.npz", images=deep),
        torch.save(torch.from_numpy(deep), "x.pt"),
    )
    found = [everything(loaded(path)[0]) for path in ("png", "tif", "x.npy", "x.npz", "x.pt")]
    sums = [sorted(images.flatten(1).sum(1).tolist()) for images in found]
    assert all(each == sums[0] for each in sums)


@pytest.mark.parametrize("kind", ["int16", "int32", "float", "npy", "npz", "pt"])
def test_a_range_that_is_not_clear_is_asked_about_in_one_line(kind):
    values = np.rint(discs(6) * 4095 - 1024).astype(np.int32)
    path = "x" if kind in ("int16", "int32", "float") else f"x.{kind}"
    if kind == "int16":
        Path("x").mkdir()
        for number, image in enumerate(values):
            save_signed(Path(f"x/{number}.tif"), image)
    elif kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        np.savez(path, images=values)
    elif kind == "pt":
        torch.save(torch.from_numpy(values), path)
    else:
        save("x", values if kind == "int32" else values.astype(np.float32), "tif")
    message = refused(path)
    assert f"from {values.min()} to {values.max()}" in message
    assert "not guessed" in message and "--stretch=-1024:3071" in message
    dataset, said = loaded(path, stretch="-1024:3071")
    expected = np.rint((values + 1024.0) * (255 / 4095))
    assert sorted(everything(dataset).flatten().tolist()) == sorted(expected.flatten().tolist())


# Stacks, transparency, masks


@STREAMS
@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_frames_are_images_and_gray_stays_gray(stream, suffix):
    images = levels(12)
    for film in range(2):
        path = f"x/{film}.{suffix}"
        Path("x").mkdir(exist_ok=True)
        first, *rest = (Image.fromarray(each) for each in images[film * 6 : film * 6 + 6])
        more = {"lossless": True} if suffix == "webp" else {}
        first.save(path, save_all=True, append_images=rest, **more)
    channels = {} if suffix != "webp" else {"channels": 1}  # WebP stores colors only.
    dataset, said = loaded("x", stream=stream, **channels)
    assert dataset.image_shape == (1, 16, 16) and np.array_equal(in_order(dataset)[:, 0], images)
    assert "2 files hold 12 frames, and each frame is an image" in said
    assert set(dataset.train.names) <= {f"{n}.{suffix}#{i}" for n in (0, 1) for i in range(6)}
    first, said = loaded("x", stream=stream, frames="first", **channels)
    assert len(everything(first)) == 2 and "10 are left aside" in said


def test_a_film_with_colors_in_a_later_frame_keeps_them():
    Path("x").mkdir()
    gray = Image.fromarray(levels(1)[0])
    red = Image.new("RGB", (16, 16), (200, 10, 10))
    gray.save("x/a.gif", save_all=True, append_images=[red])
    assert loaded("x")[0].image_shape == (3, 16, 16)


def film_of(dataset: data.Dataset) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Return the frames of each file, by part."""
    found: tuple[dict[str, set[int]], ...] = ({}, {})
    for each, part in zip(found, (dataset.train, dataset.test), strict=True):
        for name in part.names:
            file, _, frame = name.partition("#")
            each.setdefault(file, set()).add(int(frame or 0))
    return found[0], found[1]


@STREAMS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frames_of_one_file_stay_in_one_part(stream, seed):
    images = levels(10)
    for film in range(20):
        save_film(f"x/{film:02d}.tif", images[: 4 + film % 3])
    dataset, said = loaded("x", stream=stream, seed=seed)
    train, test = film_of(dataset)
    assert not train.keys() & test.keys() and len(train) + len(test) == 20 and len(test) == 2
    for file, frames in (train | test).items():
        assert frames == set(range(4 + int(file[:2]) % 3))
    names = [name.partition("#")[0] for name in dataset.train.names]
    assert sum(one != other for one, other in zip(names, names[1:], strict=False)) == 17
    assert names != sorted(names)  # Whole files are shuffled, so that validation gets whole files.
    count = len(dataset.test)
    assert f"frames of one file stay in one part: 2 of 20 files, {count} of 99 images" in said
    assert test.keys() == film_of(loaded("x", seed=seed)[0])[1].keys()


def test_the_test_part_is_the_smallest_file_where_all_are_too_large():
    for name, count in (("a", 9), ("b", 30), ("c", 40)):
        save_film(f"x/{name}.tif", levels(count))
    dataset, said = loaded("x")
    assert film_of(dataset)[1] == {"a.tif": set(range(9))} and len(dataset.train) == 70
    assert "1 of 3 files, 9 of 79 images, are the test part" in said


@STREAMS
def test_of_a_single_file_the_last_frames_are_the_test_part(stream):
    images = levels(30)
    save_film("x/film.tif", images)
    for path in ("x", "x/film.tif"):
        dataset, said = loaded(path, stream=stream, test_fraction=0.2)
        assert np.array_equal(dataset.test.levels()[:, 0], images[24:])
        assert np.array_equal(dataset.train.levels()[:, 0], images[:24])
        assert dataset.train.names == tuple(f"film.tif#{k}" for k in range(24))
        assert "its last 6 of 30 frames are the test part" in said


def test_frames_of_a_training_part_stay_together():
    for film in range(5):
        save_film(f"x/train/{film}.tif", levels(4))
    save_film("x/test/5.tif", levels(3))
    train = [name.partition("#")[0] for name in loaded("x")[0].train.names]
    assert [train[k : k + 4] for k in range(0, 20, 4)] == [[name] * 4 for name in train[::4]]


def test_single_images_are_drawn_as_before():
    """The split of a folder of single images is that of version 0.1, for every seed."""
    images = levels(23)
    save("x", images)
    for seed in (0, 3):
        order = torch.randperm(23, generator=torch.Generator().manual_seed(seed)).tolist()
        dataset, _ = loaded("x", seed=seed)
        assert [int(name[:3]) for name in dataset.test.names] == order[:2]
        assert [int(name[:3]) for name in dataset.train.names] == order[2:]


@STREAMS
def test_a_run_of_before_keeps_its_own_split_of_films(stream):
    for film in range(4):
        save_film(f"x/{film}.tif", levels(5))
    today, _ = loaded("x", stream=stream)
    assert today.decisions.rules == 3
    before = data.Decisions.from_dict({**today.decisions.as_dict(), "rules": 2})
    dataset, said = loaded("x", stream=stream, decisions=before)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0)).tolist()
    assert dataset.test.names == tuple(f"{k // 5}.tif#{k % 5}" for k in order[:2])
    assert dataset.train.names == tuple(f"{k // 5}.tif#{k % 5}" for k in order[2:])
    assert "in one part" not in said


# Images that a trained model is given


def test_images_need_not_be_divided():
    images = levels(6)
    save("x", images), np.save("x.npy", images), np.savez("x.npz", images=images)
    for path, name in (("x", "{:03d}.png"), ("x.npy", "x.npy#{}"), ("x.npz", "x.npz#{}")):
        dataset, _ = loaded(path, divide=False)
        assert dataset.train is dataset.test and not dataset.divided
        assert np.array_equal(dataset.test.levels()[:, 0], images)
        assert dataset.test.names == tuple(name.format(k) for k in range(6))
        assert list(dataset.parts) == ["test"] and list(dataset.decisions.parts) == ["test"]
        assert list(dataset.pad(1).parts) == ["test"]
    assert len(loaded("digits", divide=False)[0].test) == 1797


@pytest.mark.parametrize("stream", [False, True])
def test_one_image_is_enough_where_nothing_is_divided(stream):
    image = levels(1)
    save("x", image), np.save("x.npy", image[:, None])
    for path in ("x", "x/000.png", "x.npy"):
        dataset, _ = loaded(path, divide=False, stream=stream)
        assert np.array_equal(dataset.test.levels()[:, 0], image)
        assert "1 image cannot be split" in refused(path)
    assert loaded("x/000.png", divide=False)[0].test.names == ("000.png",)
    assert "divide must be True or False" in refused("x", divide=1)


def test_parts_of_their_own_stay_where_nothing_is_divided():
    save("x/train/a", levels(4)), save("x/test/a", levels(2))
    assert [len(part) for part in loaded("x", divide=False)[0].parts.values()] == [4, 2]
    for part in ("train", "test"):
        save(f"{part}_alone/{part}/a", levels(3))
        lone, _ = loaded(f"{part}_alone", divide=False)
        assert list(lone.parts) == ["test"] and lone.test.names[0] == f"{part}/a/000.png"
        assert lone.test.class_names == ("a",)
    np.savez("x.npz", test_images=levels(3), test_labels=np.arange(3))
    lone, _ = loaded("x.npz", divide=False)
    assert list(lone.parts) == ["test"] and lone.test.labels.tolist() == [0, 1, 2]
    assert lone.test.names == tuple(f"x.npz#{row}" for row in range(3))


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "parts"])
def test_rows_of_arrays_have_names_that_lead_back(suffix):
    images = np.arange(60, dtype=np.uint8)[:, None, None] * np.ones((1, 9, 9), np.uint8)
    path = f"x.{suffix}"
    if suffix == "npy":
        np.save(path, images)
    elif suffix == "npz":
        np.savez(path, images=images)
    elif suffix == "pt":
        torch.save(torch.from_numpy(images), path)
    else:
        parts = {"train": images[:40], "val": images[40:50], "test": images[50:]}
        content = {f"{part}_images": each for part, each in parts.items()}
        np.savez(path := "x.npz", **content, train_labels=np.arange(40) // 20)
    dataset, _ = loaded(path)
    first = {"train": 0, "validation": 40, "test": 50}
    for part, found in dataset.parts.items():
        for name, image in zip(found.names, found.levels(), strict=True):
            file, row = name.split("#")
            key = {"validation": "val"}.get(part, part)
            assert file == (f"x.npz/{key}_images" if suffix == "parts" else path)
            assert int(image[0, 0, 0]) == int(row) + (first[part] if suffix == "parts" else 0)


def test_previews_in_a_file_are_left_aside_and_counted():
    Path("x").mkdir()
    for name in "ab":
        image = Image.fromarray(levels(1)[0])
        image.save(f"x/{name}.tif", save_all=True, append_images=[image.resize((8, 8))])
    dataset, said = loaded("x")
    assert len(everything(dataset)) == 2 and "2 are left aside" in said


@STREAMS
@pytest.mark.parametrize(("color", "ground"), [(255, "black"), (0, "white")])
def test_a_ground_leaves_something_to_see(stream, color, ground):
    alpha = np.where(discs(12) > 0.4, 255, 0).astype(np.uint8)
    rgba = np.stack([np.full_like(alpha, color)] * 3 + [alpha], -1)
    save("x", rgba)
    np.save("x.npy", rgba)
    for path in ("x", "x.npy"):
        dataset, said = loaded(path, stream=stream)
        assert dataset.decisions.ground == ground and f"on {ground}" in said
        assert dataset.image_shape[0] == 1 and everything(dataset).unique().tolist() == [0, 255]
        lost = "white" if color else "black"
        _, said = loaded(path, stream=stream, ground=lost)
        assert "nothing is to be seen in 12" in said
    save("la", np.stack([np.full_like(alpha, color), alpha], -1))
    assert loaded("la", stream=stream)[0].image_shape[0] == 1


@STREAMS
def test_the_ground_of_a_run_is_that_of_later_data(stream):
    alpha = np.where(discs(8) > 0.4, 255, 0).astype(np.uint8)
    for name, color in (("white", 255), ("black", 0)):
        save(name, np.stack([np.full_like(alpha, color)] * 3 + [alpha], -1))
    record = loaded("white")[0].decisions
    later, said = loaded("black", stream=stream, decisions=record)
    assert later.decisions.ground == "black" and everything(later).max() == 0
    assert "choose ground='white'" in said


@STREAMS
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_masks_of_0_and_1_are_binary_and_few_levels_are_warned_of(stream, suffix):
    masks = (discs(12) > 0.4).astype(np.uint8)
    save("binary", masks, suffix)
    dataset, said = loaded("binary", stream=stream)
    assert np.array_equal(in_order(dataset)[:, 0], masks * 255) and "binary values scaled" in said
    save("few", np.digitize(discs(12), [0.2, 0.3, 0.4, 0.5, 0.6]).astype(np.uint8), suffix)
    dataset, said = loaded("few", stream=stream)
    assert everything(dataset).max() == 5 and "only levels 0 to 5 of 255 (2%)" in said
    assert everything(loaded("few", stream=stream, stretch="auto")[0]).max() == 255


def test_binary_is_decided_for_all_parts_together():
    """A test part that happens to hold only 0 and 1 is treated like the training part."""
    np.savez("x.npz", train_images=levels(6), test_images=np.eye(16, dtype=np.uint8)[None])
    assert loaded("x.npz")[0].test.levels().max() == 1
    assert loaded("x.npz", decisions=data.VERSION_0_2)[0].test.levels().max() == 255
    save("x/train", levels(6)), save("x/test", np.eye(16, dtype=np.uint8)[None])
    assert loaded("x")[0].test.levels().max() == 1


# Names, parts and classes


@STREAMS
def test_names_follow_their_images_everywhere(stream):
    images = levels(20)
    save("x", images)
    dataset, _ = loaded("x", stream=stream, test_fraction=0.3)
    dataset = dataset.pad(1).limit(9)
    train, validation = dataset.split(3)
    odd = torch.arange(6) % 2 == 1
    chosen = [validation, dataset.test, train.select(odd), train.select(torch.tensor([-1, 0]))]
    for part in (*chosen, train.select(slice(1, 4))):
        for name, image in zip(part.names, part.levels(), strict=True):
            assert np.array_equal(image[0, 1:-1, 1:-1], images[int(name[:3])])


def test_names_must_fit_the_images():
    two = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    with pytest.raises(data.DataError, match="there are 1 names for 2 images"):
        ImageData(two, names=("a",))
    with pytest.raises(data.DataError, match="names must be a tuple of names"):
        ImageData(two, names="ab")


def test_names_of_skipped_files_are_left_out():
    save("x", levels(8))
    Path("x/003.png").write_bytes(b"text")
    dataset, _ = loaded("x", skip_corrupt=True)
    assert "003.png" not in (*dataset.train.names, *dataset.test.names)
    assert len(dataset.train.names) == len(dataset.train)


CLASSES = ["$5_$10", "_cells", "狗", "🐟", "<b>bold", "a & b", "n" * 120]


def test_names_of_classes_are_kept_as_they_are_written():
    for name in CLASSES:
        save(f"x/{name}", levels(3))
    assert loaded("x")[0].train.class_names == tuple(sorted(CLASSES))


@STREAMS
@pytest.mark.parametrize("parts", [("Training", "Testing"), ("Train", "Test"), ("TRAIN", "test")])
@pytest.mark.parametrize("validation", [None, "val", "Valid", "validation", "dev"])
def test_parts_whatever_their_names(stream, parts, validation):
    for part in (*parts, *([validation] if validation else [])):
        for kind in ("cat", "dog"):
            save(f"x/{part}/{kind}", levels(3))
    dataset, said = loaded("x", stream=stream)
    assert dataset.train.class_names == ("cat", "dog")
    assert (len(dataset.train), len(dataset.test)) == (6, 6)
    assert all(name.startswith(f"{parts[0]}/") for name in dataset.train.names)
    assert all(name.startswith(f"{parts[1]}/") for name in dataset.test.names)
    assert (dataset.validation is not None) == (validation is not None)
    if dataset.validation is not None:
        assert all(name.startswith(f"{validation}/") for name in dataset.validation.names)
        assert f"{validation}/ is the validation part" in said


def test_parts_that_are_not_clear_are_refused():
    save("x/train", levels(2)), save("x/val", levels(2))
    assert "only one of train/ and test/" in refused("x")
    save("x/test", levels(2)), save("x/Training", levels(2))
    assert "both its train part" in refused("x")


def test_a_class_that_only_one_part_has_is_added():
    for part, kinds in (("train", ("cat", "dog")), ("test", ("cat", "eel"))):
        for kind in kinds:
            save(f"x/{part}/{kind}", levels(3))
    dataset, said = loaded("x")
    assert dataset.test.class_names == dataset.train.class_names == ("cat", "dog", "eel")
    assert dataset.test.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert "only the test part has images of eel" in said


def test_classes_keep_the_numbers_of_the_record():
    for kind in ("dog", "eel"):
        save(f"first/{kind}", levels(3))
    for kind in ("ant", "eel"):
        save(f"later/{kind}", levels(3))
    record = loaded("first")[0].decisions
    later, _ = loaded("later", decisions=record)
    assert later.train.class_names == ("dog", "eel", "ant")
    assert set(later.train.labels.tolist()) <= {1, 2}


# Published arrays


def test_dsprites_as_published():
    classes = np.stack([np.arange(20) % count for count in (1, 3, 6, 4, 5, 7)], 1)
    np.savez(
        "x.npz",
        metadata=np.array({"title": "sprites"}, dtype=object),
        imgs=(discs(20) > 0.4).astype(np.uint8),
        latents_classes=classes,
        latents_values=classes.astype(float),
    )
    dataset, said = loaded("x.npz")
    assert list(dataset.train.attributes) == [
        *("color", "shape", "scale", "orientation", "posX", "posY")
    ]
    assert everything(dataset).unique().tolist() == [0, 255]
    assert "binary values scaled" in said and dataset.decisions.parts["train"] == "imgs"


@pytest.mark.parametrize("columns", [1, 14])
def test_medmnist(columns):
    content = {}
    for part, count in (("train", 20), ("val", 5), ("test", 8)):
        content[f"{part}_images"] = levels(count)
        content[f"{part}_labels"] = RNG.integers(0, 2, (count, columns)).astype(np.uint8)
    np.savez_compressed("x.npz", **content)
    dataset, said = loaded("x.npz")
    assert dataset.validation is not None and len(dataset.validation) == 5
    if columns == 1:
        assert dataset.validation.labels.tolist() == content["val_labels"][:, 0].tolist()
    else:
        assert dataset.train.labels is None and len(dataset.test.attributes) == 14
        assert dataset.test.attributes["label 3"].tolist() == content["test_labels"][:, 3].tolist()
        assert "14 labels for each image become attributes" in said


@pytest.mark.parametrize("shape", [(6, 28, 28, 28), (6, 1, 8, 16, 16), (6, 8, 16, 16, 1)])
def test_volumes_are_called_so_and_their_slices_are_offered(shape):
    np.save("x.npy", RNG.integers(0, 256, shape, dtype=np.uint8))
    assert "6 volumes of" in refused("x.npy") and "x.reshape(-1, " in refused("x.npy")


# Values, shapes, labels, channels


@pytest.mark.parametrize(
    ("scale", "remedy"),
    [
        (lambda x: 2 * x - 1, "--stretch=-1:1"),
        (lambda x: x * 255, "--stretch=0:255"),
        (lambda x: (x - x.mean()) / x.std(), "--stretch=-"),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_remedy_fits_the_range(scale, remedy, kind):
    values = scale(discs(20)).astype(kind)
    np.save("x.npy", values)
    message = refused("x.npy")
    assert remedy in message
    given = message.split("--stretch=")[1].rstrip(")")
    dataset, said = loaded("x.npy", stretch=given)
    assert "cut off" not in said and everything(dataset).max() > 150


def test_rounding_at_the_end_of_the_range_is_tolerated_and_said():
    x = discs(20)
    np.save("x.npy", x / x.max() * 1.0000001)
    dataset, said = loaded("x.npy")
    assert everything(dataset).max() == 255 and "1.0000001" in said
    np.save("x.npy", x / x.max() * 1.01)
    assert "from" in refused("x.npy")


@STREAMS
@pytest.mark.parametrize("level", [0, 7, 255])
def test_constant_data_are_warned_of(stream, level):
    constant = np.full((8, 9, 9), level, np.uint8)
    np.save("x.npy", constant), save("x", constant)
    for path in ("x", "x.npy"):
        _, said = loaded(path, stream=stream)
        assert "every image is constant" in said and "binary" not in said


@STREAMS
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((64, 48, 3), "likelier one picture of 64×48 in 3 channels"),
        ((3, 64, 48), "likelier one picture of 64×48 in 3 channels"),
        ((28, 28, 40), "likelier 40 images of 28×28"),
        ((40, 784), r"x.reshape(-1, 28, 28)"),
        ((32, 32, 3, 40), "x.transpose(3, 2, 0, 1)"),
        ((40, 32, 32, 5), "at most 4"),
    ],
)
def test_shapes_that_are_likelier_something_else_are_asked_about(stream, shape, words):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save("x.npy", array)
    assert words in refused("x.npy", stream=stream)
    if array.ndim == 3:
        np.save("x.npy", array[:, None])
        assert loaded("x.npy", stream=stream)[0].image_shape == (1, *shape[1:])
        np.savez("x.npz", images=array, labels=np.arange(shape[0]))
        assert loaded("x.npz")[0].image_shape == (1, *shape[1:])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda k: np.array(["cat", "dog", "owl"])[k], [0, 1, 2]),
        (lambda k: np.eye(3, dtype=np.uint8)[k], [0, 1, 2]),
        (lambda k: np.eye(3)[k], [0, 1, 2]),
        (lambda k: k > 1, [0, 0, 1]),
        (lambda k: k.astype(float), [0, 1, 2]),
        (lambda k: np.where(k == 2, -1, k), [0, 1, -1]),
        (lambda k: k[:, None], [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "pt", "parts"])
def test_labels_however_they_are_written(make, expected, suffix):
    classes = np.arange(30) % 3
    images = np.zeros((30, 9, 9), np.uint8)
    images[:, 0, 0], images[:, 4, 4] = classes * 100 + 20, 255
    labels = make(classes)
    if suffix == "pt":
        plain = labels.tolist() if labels.dtype.kind == "U" else torch.from_numpy(labels)
        torch.save({"images": torch.from_numpy(images), "labels": plain}, path := "x.pt")
    elif suffix == "npz":
        np.savez(path := "x.npz", images=images, labels=labels)
    else:
        parts = {"train": slice(20), "val": slice(20, 25), "test": slice(25, 30)}
        content = {f"{part}_images": images[where] for part, where in parts.items()}
        content |= {f"{part}_labels": labels[where] for part, where in parts.items()}
        np.savez(path := "x.npz", **content)
    dataset, _ = loaded(path)
    for part in filter(None, (dataset.train, dataset.test, dataset.validation)):
        found = (part.levels()[:, 0, 0, 0].long() - 20) // 100
        assert part.labels.tolist() == [expected[index] for index in found.tolist()]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array(3), "x.npz: labels has shape ()"),
        (np.arange(29), "x.npz: labels must be int64 of shape (30,)"),
        (np.arange(30) + 0.5, "x.npz: labels holds float64: labels must be whole numbers"),
        (np.arange(30) - 2, "x.npz: labels run from -2 to 27"),
        (np.arange(30).astype(np.uint64) + np.uint64(2**63), "x.npz: labels run from 922337"),
        (np.full(30, 1e30), "x.npz: labels run from 1e+30"),
        (np.zeros((30, 2, 2), int), "x.npz: labels has shape (30, 2, 2)"),
    ],
)
def test_labels_that_are_none_are_refused_in_one_line(labels, words):
    np.savez("x.npz", images=levels(30), labels=labels)
    assert words in refused("x.npz")


@STREAMS
@pytest.mark.parametrize("last", [True, False])
def test_four_channels_are_treated_as_png_files_are(stream, last):
    rgba = RNG.integers(0, 256, (12, 9, 9, 4), dtype=np.uint8)
    np.save("x.npy", rgba if last else rgba.transpose(0, 3, 1, 2))
    save("x", rgba)
    from_array = everything(loaded("x.npy", stream=stream)[0]).int()
    from_files = everything(loaded("x", stream=stream)[0]).int()
    assert (from_array - from_files).abs().max() <= 1  # Split by the same seed.
    kept, _ = loaded("x.npy", stream=stream, ground="keep")
    assert kept.image_shape == (4, 9, 9)
    assert "is for arrays of 4 channels" in refused("x", stream=stream, ground="keep")


def test_two_channels_stay_two():
    np.save("x.npy", np.stack([levels(20), levels(20)], 1))
    assert loaded("x.npy")[0].image_shape == (2, 16, 16)


# The record


def test_the_record_is_plain_and_comes_back():
    save("x/Train/a", levels(4)), save("x/Test/a", levels(2)), save("x/val/b", levels(2))
    record = loaded("x")[0].decisions
    assert data.Decisions.from_dict(record.as_dict()) == record
    assert record.parts == {"train": "Train/", "test": "Test/", "validation": "val/"}
    for damaged in (
        *([], {"a": 1}, {"rules": 4}, {"ranges": {"uint8": [1]}}, {"ranges": {"uint8": [2, 1]}}),
        *({"stretch": "auto"}, {"ground": "red"}, {"frames": "some"}, {"channels": 1.5}),
        *({"parts": {"train": 1}}, {"class_names": "ab"}),
    ):
        with pytest.raises(data.DataError):
            data.Decisions.from_dict(damaged)


def test_runs_of_before_are_read_by_the_rules_of_their_day():
    alpha = np.where(discs(6) > 0.4, 255, 0).astype(np.uint8)
    save("white", np.stack([np.full_like(alpha, 255)] * 3 + [alpha], -1))
    old, _ = loaded("white", decisions=data.VERSION_0_2)
    assert old.image_shape == (3, 16, 16) and everything(old).min() == 255
    for film in range(3):
        save_film(f"films/{film}.gif", levels(4))
    old, _ = loaded("films", decisions=data.VERSION_0_2)
    assert len(everything(old)) == 3 and old.image_shape[0] == 3
    save("Kaggle/Training", levels(3)), save("Kaggle/Testing", levels(3))
    old, _ = loaded("Kaggle", decisions=data.VERSION_0_2)
    assert old.train.class_names == ("Testing", "Training")
    save("masks", (discs(6) > 0.4).astype(np.uint8))
    assert everything(loaded("masks", decisions=data.VERSION_0_2)[0]).max() == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("stretch", value) for value in ("1", "a:b", "3:1", (1, 1), (0, float("nan")), 5)),
        *(("ground", value) for value in ("red", 3)),
        *(("frames", value) for value in ("some", 3)),
        ("decisions", {}),
    ],
)
def test_options_are_checked(option, value):
    assert refused("digits", **{option: value}).startswith(f"{option} must be")


# No silent change: whatever the reader and the fault, levels stay, or a line says what happened

FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bytes": lambda x: np.rint(x * 255).astype(np.uint8),
    "binary": lambda x: (x > 0.4).astype(np.uint8),
    "few": lambda x: np.rint(x * 5).astype(np.uint8),
    "constant": lambda x: np.full(x.shape, 9, np.uint8),
    "16 bits": lambda x: np.rint(x * 65535).astype(np.uint16),
    "12 in 16": lambda x: np.rint(x * 4095).astype(np.uint16),
    "band": lambda x: np.rint(33000 + x * 900).astype(np.uint16),
    "unit": lambda x: x.astype(np.float32),
    "signed": lambda x: (2 * x - 1).astype(np.float32),
    "255": lambda x: (x * 255).astype(np.float32),
    "hounsfield": lambda x: np.rint(x * 4095 - 1024).astype(np.int32),
}
#: The values that become black and white; a fault that is not here must be refused.
EXPECTED = {
    "binary": (0, 1),
    "unit": (0, 1),
    **dict.fromkeys(("bytes", "few", "constant"), (0, 255)),
    **dict.fromkeys(("16 bits", "12 in 16", "band"), (0, 65535)),
}
READERS = ("png", "tif", "stack", "npy", "npz", "pt", "parts", "stream", "npy stream")
#: What a PNG file cannot hold is saved as TIFF.
IN_PNG = (np.uint8, np.uint16)


def write(folder: Path, reader: str, values: np.ndarray) -> Path:
    """Write images in the format of a reader, and return what is to be loaded."""
    path = folder / "x"
    match reader:
        case "png" | "tif" | "stream":
            suffix = "tif" if reader == "tif" or values.dtype not in IN_PNG else "png"
            save(str(path), values, suffix)
        case "stack":
            save_film(str(path / "x.tif"), values)
        case "parts":
            np.savez(path := folder / "x.npz", train_images=values[:-2], test_images=values[-2:])
        case "npz":
            np.savez(path := folder / "x.npz", images=values)
        case "pt":
            torch.save(torch.from_numpy(values), path := folder / "x.pt")
        case _:
            np.save(path := folder / "x.npy", values)
    return path


def check_variation(reader: str, fault: str, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    values = FAULTS[fault](rng.uniform(0, 1, (count, 11, 7)))
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), reader, values)
        with told() as lines:
            try:
                dataset = data.load(path, stream=True if "stream" in reader else None)
                found = everything(dataset)
            except data.DataError as error:
                assert fault not in EXPECTED and len(str(error).splitlines()) == 1, (
                    reader,
                    fault,
                    error,
                )
                return
        said = "\n".join(lines)
    low, high = EXPECTED[fault]
    right = np.rint((values.astype(np.float64) - low) * (255 / (high - low))).reshape(count, -1)
    assert sorted(map(tuple, found.flatten(1).tolist())) == sorted(map(tuple, right.tolist()))
    stored = np.sort(values.reshape(count, -1).astype(np.float64).sum(1))
    levels_ = np.sort(found.flatten(1).double().sum(1).numpy())
    if not np.array_equal(stored, levels_):  # Changed: a line says how.
        assert "scaled" in said or "became 8" in said or "stretched" in said, (reader, fault)
    few = len(np.unique(values)) >= 64 > len(found.unique())
    assert not few or "of 256 levels" in said, (reader, fault)
    assert found.max() > 15 or "black" in said or "constant" in said or "of 256" in said
    assert dataset.decisions is not None


VARIATIONS = {
    "reader": st.sampled_from(READERS),
    "fault": st.sampled_from(sorted(FAULTS)),
    "seed": st.integers(0, 2**32 - 1),
    "count": st.integers(5, 9),
}


@settings(max_examples=60, deadline=None, database=None)
@given(**VARIATIONS)
def test_nothing_changes_silently(reader, fault, seed, count):
    check_variation(reader, fault, seed, count)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, database=None)
@given(**VARIATIONS)
def test_nothing_changes_silently_in_many_variations(reader, fault, seed, count):
    check_variation(reader, fault, seed, count)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_nothing_changes_silently_for_any_reader_and_fault(reader, fault):
    check_variation(reader, fault, seed=0, count=6)
