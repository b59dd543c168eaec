"""Folders of images: awkward files and the message each gets, sizes, channels, classes, parts."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae import data
from pyro_vae.data import capacity

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, caplog):
    """An empty working directory, and everything that is logged."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", logger="pyro_vae.data")


def save(path: str, mode="RGB", size=(8, 8), color=RED, **options) -> None:
    """Save an image of one color; `size` is (width, height), as in Pillow."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


def noise(path: str, size: int = 64) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Path(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def everything(dataset: data.Dataset) -> torch.Tensor:
    return torch.cat([dataset.train.images, dataset.test.images])


def load_twice(path: str, **options) -> torch.Tensor:
    """Load one image, (C, H, W), with a copy beside it, since one image cannot be split."""
    twin = Path(path).with_name(f"twin{Path(path).suffix}")
    twin.write_bytes(Path(path).read_bytes())
    first, second = everything(data.load(Path(path).parent, **options))
    assert torch.equal(first, second)
    return first


# Modes: each becomes the right bytes


def as_pixel(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1)


@pytest.mark.parametrize(
    ("name", "mode", "color", "expected"),
    [
        ("a.png", "RGB", (10, 20, 30), (10, 20, 30)),
        ("a.png", "L", 77, (77,)),
        ("a.png", "1", 1, (255,)),
        ("a.png", "RGBA", (255, 0, 0, 0), WHITE),
        ("a.png", "RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("a.png", "LA", (0, 51), (204,)),
        ("a.png", "I;16", 65535, (255,)),
        ("a.png", "I;16", 32768, (128,)),
        ("a.png", "I;16", 257, (1,)),
        ("a.tiff", "I", 65535, (255,)),
        ("a.tiff", "F", 0.2, (51,)),
        ("a.tiff", "CMYK", (0, 255, 255, 0), RED),
        ("a.tiff", "CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("a.gif", "L", 200, (200,)),
        ("a.PNG", "L", 5, (5,)),
    ],
)
def test_every_mode_becomes_the_right_bytes(name, mode, color, expected):
    save(f"x/{name}", mode, color=color)
    image = load_twice(f"x/{name}", channels=len(expected))
    assert image.shape == (len(expected), 8, 8)
    assert torch.equal(image, as_pixel(*expected).expand_as(image))


def test_a_palette_and_its_transparent_color():
    Path("x").mkdir()
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([10, 20, 30, 200, 100, 0])
    picture.paste(1, (0, 0, 4, 8))
    picture.save("x/a.png", transparency=0)
    image = load_twice("x/a.png")
    assert image[:, 0, 0].tolist() == [200, 100, 0]
    assert image[:, 0, 7].tolist() == [255, 255, 255]


def test_a_cmyk_photograph(caplog):
    save("x/a.jpg", "CMYK", color=(0, 255, 255, 0), quality=100)
    with caplog.at_level(logging.INFO, "pyro_vae"):
        found = load_twice("x/a.jpg")
    assert (found.int() - as_pixel(*RED).int()).abs().max() <= 4
    assert "2 CMYK images are converted to RGB, without color profiles" in caplog.text


def test_an_exif_rotation_is_applied():
    Path("x").mkdir()
    picture = Image.new("RGB", (12, 8), WHITE)
    picture.paste(RED, (0, 0, 3, 8))  # the left edge: on top once the camera's turn is undone
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save("x/a.png", exif=exif)
    image = load_twice("x/a.png")
    assert image.shape == (3, 12, 8)
    assert torch.equal(image[:, :3], as_pixel(*RED).expand(3, 3, 8))
    assert image[:, 3:].eq(255).all()


# Size and channels


def test_one_size_is_kept():
    for number in range(3):
        save(f"x/{number}.png", size=(33, 45))
    assert data.load("x").image_shape == (3, 45, 33)


def test_mixed_sizes_become_squares_of_the_median_short_side(caplog):
    for number, size in enumerate([(45, 33), (20, 40), (90, 60)]):
        save(f"x/{number}.png", size=size)
    with pytest.warns(UserWarning, match="1 of 3 images are smaller .* is 1.png, 40×20"):
        assert data.load("x").image_shape == (3, 33, 33)
    assert "33×33, the median of the shorter sides; choose another size" in caplog.text


def test_the_center_is_kept():
    Path("x").mkdir()
    picture = Image.new("RGB", (40, 20), WHITE)
    picture.paste(RED, (10, 0, 30, 20))
    picture.save("x/a.png")
    image = load_twice("x/a.png", size=10)
    assert torch.equal(image, as_pixel(*RED).expand(3, 10, 10))


def test_a_chosen_size_may_be_oblong():
    save("x/a.png", size=(45, 33))
    assert load_twice("x/a.png", size=(16, 12)).shape == (3, 16, 12)


def test_arrays_that_are_enlarged_are_warned_of():
    levels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.save("small.npy", levels)
    with pytest.warns(UserWarning, match="small.npy: images of 8×8 are enlarged to 16×16"):
        assert data.load("small.npy", size=16).image_shape == (3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.load("small.npy", size=4).image_shape == (3, 4, 4)


def test_a_file_and_an_array_are_resized_alike():
    noise("x/a.png")
    from_file = load_twice("x/a.png", size=20)
    whole = np.stack([np.asarray(Image.open("x/a.png"))] * 2)
    np.save("x.npy", whole)
    from_array = data.load("x.npy", size=20).train.images[0]
    assert (from_file.int() - from_array.int()).abs().max() <= 1


def test_one_color_image_makes_all_color_and_grays_stay_gray():
    save("x/a.png", "L", color=50)
    save("x/b.png", "I;16", color=257 * 60)
    assert data.load("x").image_shape == (1, 8, 8)
    save("x/c.png")
    images = everything(data.load("x"))
    assert images.shape == (3, 3, 8, 8)
    assert sorted(images[:, 1, 0, 0].tolist()) == [0, 50, 60]


# Awkward folders: the message that each gets


def test_an_empty_folder():
    Path("x").mkdir()
    Path("x/notes.txt").touch()
    Path("x/.hidden.png").touch()
    with pytest.raises(data.DataError, match="x holds no images: files that end in .png, .jpg"):
        data.load("x")


def test_a_single_image():
    save("x/a.png")
    with pytest.raises(data.DataError, match="x: 1 image cannot be split"):
        data.load("x")


def test_a_one_pixel_image_alone_and_among_others():
    save("x/a.png", size=(1, 1))
    assert load_twice("x/a.png").tolist() == [[[255]], [[0]], [[0]]]
    for number in range(3):
        save(f"x/{number}.png", size=(45, 33))
    with pytest.warns(UserWarning, match=r"2 of 5 images are smaller than 33×33.* a.png, 1×1"):
        assert data.load("x").image_shape == (3, 33, 33)


def test_one_class_only():
    save("x/cats/a.png"), save("x/cats/b.png")
    with pytest.warns(UserWarning, match="one class only, 'cats': every label is 0"):
        dataset = data.load("x")
    assert dataset.train.class_names == ("cats",)


@pytest.fixture
def broken() -> list[str]:
    """Ten good images and four bad ones."""
    for number in range(10):
        save(f"x/{number}.png", color=(number, 0, 0))
    Path("x/text.png").write_text("I am not an image")
    Path("x/empty.png").touch()
    save("x/huge.tiff", "F", color=3.0)
    truncate(noise("x/cut.png"))
    truncate(noise("x/cut.jpg"))
    return ["text.png", "empty.png", "huge.tiff", "cut.png", "cut.jpg"]


def test_unreadable_files_are_all_listed_by_name_with_their_reason(broken):
    with pytest.raises(data.DataError) as caught:
        data.load("x", size=8)
    message = str(caught.value)
    assert message.startswith("x: 5 of 15 images cannot be read:")
    assert "x/text.png: not an image, despite its name" in message
    assert "x/empty.png: an empty file" in message
    assert "x/huge.tiff: gray levels outside 0 to 1" in message
    assert "x/cut.png: OSError: image file is truncated" in message
    assert "x/cut.jpg: OSError: image file is truncated" in message
    assert "x/0.png" not in message
    assert message.endswith("skip them with skip_corrupt=True (--skip-corrupt)")


def test_unreadable_files_are_skipped_on_request(broken):
    with pytest.warns(UserWarning, match="skipped: x: 5 of 15 images cannot be read"):
        images = everything(data.load("x", size=8, channels=3, skip_corrupt=True))
    assert sorted(images[:, 0, 0, 0].tolist()) == list(range(10))


def test_skipping_keeps_labels_with_their_images():
    for number in range(12):
        save(f"x/{'ab'[number % 2]}/{number}.png", color=(number, 0, 0))
    for name in ("a/cut.png", "b/cut.png"):
        truncate(noise(f"x/{name}", size=8))
    with pytest.warns(UserWarning, match="2 of 14"):
        dataset = data.load("x", skip_corrupt=True, test_fraction=0.5)
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.images[:, 0, 0, 0].long() % 2, part.labels)
    assert len(dataset.train) + len(dataset.test) == 12


def test_skipping_in_one_part_leaves_the_other_alone():
    save("x/train/a/1.png", color=(1, 0, 0)), save("x/train/b/2.png", color=(2, 0, 0))
    truncate(noise("x/test/a/cut.png", size=8))
    save("x/test/a/d.png", color=(3, 0, 0)), save("x/test/b/e.png", color=(4, 0, 0))
    with pytest.warns(UserWarning, match="1 of 5"):
        dataset = data.load("x", skip_corrupt=True)
    assert sorted(dataset.train.images[:, 0, 0, 0].tolist()) == [1, 2]
    assert dataset.test.images[:, 0, 0, 0].tolist() == [3, 4]
    assert dataset.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("spoil", [truncate, lambda path: path.write_text("text")])
def test_nothing_but_unreadable_files_is_an_error_even_when_skipping(spoil):
    for name in ("a.png", "b.png"):
        spoil(noise(f"x/{name}"))
    with pytest.raises(data.DataError, match="2 of 2 images cannot be read"):
        data.load("x", skip_corrupt=True)


def test_too_many_pixels_for_this_machine_stay_in_their_files(monkeypatch, caplog):
    monkeypatch.setattr(capacity, "memory_bytes", lambda: 15_000)
    save("x/a.png", size=(50, 50)), save("x/b.png", size=(50, 50))
    assert data.load("x").train.streamed
    assert "2 images of 3×50×50 would take" in caplog.text
    small = data.load("x", size=30)
    assert small.image_shape == (3, 30, 30) and not small.train.streamed


def test_other_files_and_hidden_folders_are_ignored():
    save("x/a.png"), save("x/b.png"), save("x/.cache/c.png")
    Path("x/README.md").write_text("hello")
    assert len(everything(data.load("x"))) == 2


@pytest.mark.slow
def test_ten_thousand_files():
    Path("x").mkdir()
    for number in range(100):
        save(f"x/{number}.pgm", "L", (4, 4), number)
    for number in range(100, 10_000):
        Path(f"x/{number}.pgm").hardlink_to(f"x/{number % 100}.pgm")
    images = everything(data.load("x"))
    assert images.shape == (10_000, 1, 4, 4)
    assert images[:, 0, 0, 0].bincount().tolist() == [100] * 100


# Classes and parts


def test_sub_folders_are_classes_and_deeper_images_belong_to_them():
    save("x/cats/a.png", color=(1, 0, 0)), save("x/cats/deep/b.png", color=(1, 0, 0))
    save("x/dogs/c.png", color=(2, 0, 0)), save("x/dogs/d.png", color=(2, 0, 0))
    Path("x/nothing").mkdir()
    dataset = data.load("x", test_fraction=0.5)
    assert dataset.train.class_names == ("cats", "dogs")
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels + 1)


def test_links_to_folders_are_followed_but_not_forever():
    save("store/a.png"), save("store/b.png"), save("x/cats/c.png")
    Path("x/dogs").symlink_to(Path("store").absolute())
    Path("x/cats/again").symlink_to(Path("x").absolute())
    dataset = data.load("x", test_fraction=0.4)
    assert sorted([*dataset.train.labels.tolist(), *dataset.test.labels.tolist()]) == [0, 1, 1]


def test_images_outside_the_classes_are_named():
    save("x/cats/a.png"), save("x/stray.png")
    with pytest.raises(data.DataError, match="none of them: x/stray.png; move them"):
        data.load("x")


def test_train_and_test_folders_are_the_parts_and_the_order_is_mixed(caplog):
    for number in range(20):
        save(f"x/train/{'ab'[number // 10]}/{number}.png", color=(number, 0, 0))
    save("x/test/b/0.png", color=(99, 0, 0)), save("x/extra/a.png")
    dataset = data.load("x")
    assert dataset.train.class_names == dataset.test.class_names == ("a", "b")
    assert dataset.test.images[:, 0, 0, 0].tolist() == [99]
    assert dataset.test.labels.tolist() == [1]
    reds = dataset.train.images[:, 0, 0, 0]
    assert torch.equal(dataset.train.labels, reds.long() // 10)
    assert sorted(reds.tolist()) == list(range(20))
    assert set(dataset.split(8)[1].labels.tolist()) == {0, 1}
    assert "only train/ and test/ are used, not extra/a.png" in caplog.text
    assert dataset.train.images.untyped_storage().data_ptr() == (
        dataset.test.images.untyped_storage().data_ptr()
    )


def test_a_train_folder_alone_is_not_taken_for_a_class():
    save("x/train/a.png"), save("x/train/b.png")
    with pytest.raises(data.DataError, match="only one of train/ and test/"):
        data.load("x")


def test_the_split_does_not_depend_on_the_order_of_the_disk(monkeypatch):
    for number in range(10):
        save(f"x/{number}.png", color=(number, 0, 0))
    first = data.load("x").test.images
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *a, **k: ((h, d, f[::-1]) for h, d, f in walk(*a, **k)))
    assert torch.equal(data.load("x").test.images, first)
    assert not torch.equal(data.load("x", seed=1).test.images, first)


# Cartoon Set


def write_avatars(folder: str, numbers: range) -> None:
    for number in numbers:
        save(f"{folder}/cs{number}.png", "RGBA", color=(number, 0, 0, 255))
        Path(f"{folder}/cs{number}.csv").write_text(f'"hair", {number}, 111\n"glasses", 1, 12\n')


@pytest.mark.parametrize(
    "layout",
    ["data/cartoonset10k", "data/cartoonset/cartoonset10k", "data/cartoonset100k/7"],
)
def test_avatars_get_their_own_attributes(layout):
    write_avatars(layout, range(12))
    dataset = data.load("cartoonset")
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.attributes["hair"])
        assert part.attributes["glasses"].tolist() == [1] * len(part)
        assert part.labels is None


def test_avatars_are_read_by_the_rules_of_all_folders(caplog):
    """They get a ground on which something is seen; a run of 0.2 keeps its own, white."""
    for number in range(6):
        avatar = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
        avatar.paste((255, 255, 255, 255), (2, 2, 6, 6))
        Path("mine").mkdir(exist_ok=True)
        avatar.save(f"mine/cs{number}.png")
        Path(f"mine/cs{number}.csv").write_text(f'"hair", {number}, 111\n')
    dataset = data.load("mine")
    assert dataset.decisions.ground == "black" and dataset.image_shape == (1, 8, 8)
    assert dataset.decisions.rules == 3 and "put on black" in caplog.text
    before = data.load("mine", decisions=data.VERSION_0_2)
    assert before.image_shape == (3, 8, 8) and everything(before).eq(255).all()
    assert torch.equal(before.test.attributes["hair"], dataset.test.attributes["hair"])


def test_the_sub_folders_of_the_larger_set_are_not_classes():
    write_avatars("mine/0", range(5))
    write_avatars("mine/1", range(5, 10))
    dataset = data.load("mine", size=4)
    assert len(everything(dataset)) == 10
    assert dataset.image_shape == (3, 4, 4)
    assert dataset.train.labels is None
    assert dataset.train.attributes.keys() == {"hair", "glasses"}


def test_both_sets_in_one_folder_are_not_mixed():
    write_avatars("mine/cartoonset10k", range(3))
    write_avatars("mine/cartoonset100k/0", range(2, 9))
    with pytest.raises(data.DataError, match="holds cs2.png twice, in .*100k/0 and in .*10k: give"):
        data.load("mine")
    assert len(everything(data.load("mine/cartoonset100k"))) == 7


def test_cartoonset_from_the_one_array_in_its_folder():
    Path("data/cartoonset").mkdir(parents=True)
    np.savez("data/cartoonset/small.npz", images=np.full((4, 9, 9, 3), 7))
    assert data.load("cartoonset").image_shape == (3, 9, 9)
    np.savez("data/cartoonset/large.npz", images=np.full((4, 9, 9, 3), 7))
    with (
        pytest.warns(UserWarning, match="several arrays .large.npz, small.npz.: give the path"),
        pytest.raises(data.DataError),
    ):
        data.load("cartoonset")


def test_cartoonset_that_is_nowhere_says_where_to_get_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(data.DataError, match="get cartoonset10k.tgz .* unpack it in data"):
            data.load("cartoonset")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cs3.csv cannot be read"),
        ('"hair", 1, 111\n', "cs3.csv has other attributes than"),
        ("nonsense\n", "cs3.csv has a line that is not `name, value"),
        ('"hair", long, 111\n"glasses", 1, 12\n', "'hair' has a value that is not a whole number"),
    ],
)
def test_faulty_attributes_are_named(content, message):
    write_avatars("mine", range(5))
    Path("mine/cs3.csv").unlink()
    if content is not None:
        Path("mine/cs3.csv").write_text(content)
    with pytest.raises(data.DataError, match=message):
        data.load("mine")


def test_what_a_size_cuts_off_is_said(tmp_path, caplog):
    for name, shape in (("wide", (10, 200)), ("tall", (40, 30)), ("square", (20, 20))):
        (tmp_path / name).mkdir()
        for k in range(4):
            levels = np.random.default_rng(k).integers(0, 256, shape, np.uint8)
            Image.fromarray(levels).save(tmp_path / name / f"{k}.png")
    with pytest.warns(UserWarning, match="cropped at their edges .* 8×8: 5% of 0.png, 10×200"):
        data.load(str(tmp_path / "wide"), size=8)
    with caplog.at_level(logging.INFO, "pyro_vae"):
        data.load(str(tmp_path / "tall"), size=8)
        assert "75% of 0.png, 40×30, is left" in caplog.text
        caplog.clear()
        data.load(str(tmp_path / "square"), size=8)
        data.load(str(tmp_path / "tall"))
        assert "cropped" not in caplog.text


def test_what_a_size_cuts_off_an_array_is_said(tmp_path, caplog):
    levels = np.random.default_rng(0).integers(0, 256, (5, 40, 30), np.uint8)
    np.save(tmp_path / "tall.npy", levels)
    np.save(tmp_path / "wide.npy", levels.reshape(5, 10, 120))
    with caplog.at_level(logging.INFO, "pyro_vae"):
        data.load(str(tmp_path / "tall.npy"), size=(20, 15))
        assert "cropped" not in caplog.text
        data.load(str(tmp_path / "tall.npy"), size=8)
        assert "75% of each image, 40×30, is left" in caplog.text
    with pytest.warns(UserWarning, match="wide.npy: images are cropped .* 8×8: 8% of each image"):
        data.load(str(tmp_path / "wide.npy"), size=8)


def test_what_lies_beside_images_and_is_left_out_is_said(tmp_path, caplog):
    for k in range(4):
        Image.fromarray(np.full((4, 4), 60 * k, np.uint8)).save(tmp_path / f"{k}.png")
    for name in (".DS_Store", "._0.png", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"0")
    with caplog.at_level(logging.INFO, "pyro_vae"):
        data.load(str(tmp_path))
        assert "left out" not in caplog.text
        (tmp_path / "labels.csv").write_text("file,label")
        (tmp_path / "more.zip").write_bytes(b"0")
        data.load(str(tmp_path))
    assert "what is not an image is left out: labels.csv, more.zip" in caplog.text
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(data.DataError, match="are looked for, and not labels.csv, more.zip"):
        data.load(str(tmp_path))
