"""Where named data sets come from: the order of search, faults of every kind, and no stray writes.

The files are tiny, and the table of md5s is theirs; nothing here reaches the network.
"""

import gzip
import hashlib
import os
import pickle
import socket
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyro_vae import data
from pyro_vae.data.downloads import debian, places
from pyro_vae.data.named import LOADERS, cifar10, mnist

TRAIN, TEST = 6, 4


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def part(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(count * 5 * 3).reshape(count, 5, 3), np.arange(count) % 10


CONTENT = {
    name: idx_bytes(values)
    for name, values in zip(mnist.FILES, (*part(TRAIN), *part(TEST)), strict=True)
}
TINY = replace(
    mnist.FASHION_MNIST,
    md5={name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()},
)
TINY_MNIST = replace(TINY, name="mnist", torchvision_class="MNIST", debian_package=None)


def write_files(folder: Path, compressed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Torchvision:
    """A stand-in for the package, whose download writes files, or fails as it is told."""

    def __init__(self):
        self.calls = 0
        self.fault = OSError("Name or service not known")
        self.timeout = None
        self.spoil = lambda folder: None
        self.datasets = SimpleNamespace(
            FashionMNIST=lambda root, download: self.download(root, "FashionMNIST"),
            MNIST=lambda root, download: self.download(root, "MNIST"),
        )

    def download(self, root: Path, name: str):
        self.calls += 1
        self.timeout = socket.getdefaulttimeout()
        folder = write_files(Path(root) / name / "raw")
        for file, content in CONTENT.items():  # it leaves each file beside its archive
            (folder / file).write_bytes(content)
        self.spoil(folder)
        if self.fault:
            raise self.fault


@pytest.fixture(autouse=True)
def torchvision(tmp_path, monkeypatch) -> Torchvision:
    """An empty machine: no data anywhere, no network, no apt."""
    fake = Torchvision()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)
    for tiny in (TINY, TINY_MNIST):
        monkeypatch.setitem(LOADERS, tiny.name, partial(mnist.load_idx, tiny))
    monkeypatch.setattr(mnist, "SYSTEM_FOLDER", tmp_path / "usr/share/datasets")
    monkeypatch.setattr(mnist, "import_torchvision", lambda: fake)
    monkeypatch.setattr(debian.shutil, "which", lambda program: None)
    return fake


def load(name="fashion-mnist", data_dir=None) -> data.Dataset:
    return data.load(name, data_dir)


def assert_whole(dataset: data.Dataset) -> None:
    for found, (images, labels) in ((dataset.train, part(TRAIN)), (dataset.test, part(TEST))):
        assert torch.equal(found.images, torch.tensor(images).to(torch.uint8)[:, None])
        assert found.labels.tolist() == labels.tolist()
        assert found.class_names[9] == "Ankle boot"


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


# The order of search


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("layout", ["FashionMNIST/raw", "fashion-mnist"])
def test_both_layouts_compressed_or_not(tmp_path, torchvision, layout, compressed):
    folder = write_files(tmp_path / "mine" / layout, compressed)
    before = tree(tmp_path)
    dataset = load(data_dir=tmp_path / "mine")
    assert_whole(dataset)
    assert str(folder) in dataset.train.source
    assert tree(tmp_path) == before
    assert torchvision.calls == 0


def test_places_come_in_the_documented_order(tmp_path, torchvision, monkeypatch):
    """Each place is found once all the places before it are gone."""
    torchvision.fault = None
    monkeypatch.setenv("PYRO_VAE_DATA", "environment")
    in_order = [
        write_files(tmp_path / "asked/FashionMNIST/raw"),
        write_files(tmp_path / "asked/fashion-mnist"),
        write_files(tmp_path / "usr/share/datasets/fashion-mnist"),
    ]
    for folder in in_order:
        assert str(folder) in load(data_dir=tmp_path / "asked").train.source
        for path in folder.iterdir():
            path.unlink()
    assert torchvision.calls == 0
    assert_whole(load(data_dir=tmp_path / "asked"))
    assert torchvision.calls == 1


def test_the_argument_goes_before_the_environment_before_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "environment"))
    for name in ("asked", "environment", "data"):
        write_files(tmp_path / name / "fashion-mnist")
    assert "asked" in load(data_dir=tmp_path / "asked").train.source
    assert "environment" in load().train.source
    monkeypatch.delenv("PYRO_VAE_DATA")
    assert load().train.source.endswith("data/fashion-mnist")


def test_mnist_is_never_taken_for_fashion_mnist(tmp_path):
    write_files(tmp_path / "data/mnist")
    assert len(load("mnist").train) == TRAIN
    with pytest.raises(data.DataError, match="fashion-mnist could not be loaded"):
        load("fashion-mnist")


def test_another_data_set_in_this_format_needs_only_its_description(tmp_path, monkeypatch):
    letters = replace(TINY_MNIST, name="letters", torchvision_class="Letters")
    monkeypatch.setitem(LOADERS, letters.name, partial(mnist.load_idx, letters))
    assert "letters" in data.names()
    write_files(tmp_path / "data/Letters/raw")
    assert_whole(load("letters"))


def test_every_description_is_known_by_name():
    assert list(mnist.LOADERS) == [described.name for described in mnist.DATASETS]
    assert [loader.args for loader in mnist.LOADERS.values()] == [(d,) for d in mnist.DATASETS]


# Damage


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (damage, "damaged or cut short"),
        (lambda path: path.write_bytes(b"not gzip"), "damaged or cut short"),
        (lambda path: path.write_bytes(b""), "wrong content"),
        (lambda path: path.write_bytes(gzip.compress(b"other")), "wrong content .md5 795f3202b17c"),
        (lambda path: path.unlink(), "missing"),
    ],
)
@pytest.mark.parametrize("name", [mnist.TRAIN_IMAGES, mnist.TEST_LABELS])
def test_a_damaged_copy_is_named_and_the_next_place_tried(tmp_path, name, fault, reason):
    broken = write_files(tmp_path / "data/FashionMNIST/raw")
    fault(broken / f"{name}.gz")
    write_files(tmp_path / "usr/share/datasets/fashion-mnist")
    with pytest.warns(UserWarning, match=f"FashionMNIST/raw.*{name}.*{reason}"):
        dataset = load()
    assert_whole(dataset)
    assert "usr/share" in dataset.train.source


def test_a_good_archive_beside_a_damaged_file_serves(tmp_path):
    folder = write_files(tmp_path / "data/fashion-mnist")
    (folder / mnist.TRAIN_IMAGES).write_bytes(b"half-written")
    assert_whole(load())


def test_a_damaged_copy_of_ours_is_set_aside_for_a_good_one(tmp_path, torchvision):
    torchvision.fault = None
    damage(write_files(tmp_path / "data/fashion-mnist") / f"{mnist.TEST_IMAGES}.gz")
    before = tree(tmp_path / "data/fashion-mnist")
    with pytest.warns(UserWarning, match="skipping data/fashion-mnist"):
        assert_whole(load())
    assert_whole(load())
    assert torchvision.calls == 1
    assert tree(tmp_path / "data/fashion-mnist.damaged-1") == before


def test_a_folder_with_other_files_is_not_set_aside(tmp_path, torchvision):
    torchvision.fault = None
    (tmp_path / "data/fashion-mnist").mkdir(parents=True)
    (tmp_path / "data/fashion-mnist/thesis.txt").write_text("years of work")
    with pytest.warns(UserWarning), pytest.raises(data.DataError, match="thesis.txt"):
        load()
    assert (tmp_path / "data/fashion-mnist/thesis.txt").read_text() == "years of work"


def test_an_idx_file_must_have_the_length_its_header_states():
    whole = idx_bytes(np.arange(12).reshape(2, 3, 2))
    assert mnist.parse_idx(whole)[1, 2].tolist() == [10, 11]
    with pytest.raises(data.DataError, match="cannot have 11 values"):
        mnist.parse_idx(whole[:-1])
    with pytest.raises(data.DataError, match="not an IDX file"):
        mnist.parse_idx(b"\0\0\x0d" + whole[3:])


# Downloads


def test_a_download_is_kept_and_used_the_next_time(tmp_path, torchvision):
    torchvision.fault = None
    assert_whole(load(data_dir="new/folder"))
    kept = tmp_path / "new/folder/fashion-mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(f"{n}.gz" for n in mnist.FILES)
    assert_whole(load(data_dir="new/folder"))
    assert torchvision.calls == 1


def test_the_socket_timeout_is_set_for_the_download_and_restored(torchvision):
    socket.setdefaulttimeout(99)
    try:
        with pytest.raises(data.DataError):
            load()
        assert torchvision.timeout == 15
        assert socket.getdefaulttimeout() == 99
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.parametrize("fault", [OSError("no network"), RuntimeError("bad"), KeyboardInterrupt()])
def test_an_interrupted_download_leaves_nothing_behind(tmp_path, torchvision, fault):
    torchvision.fault = fault
    with pytest.raises((data.DataError, KeyboardInterrupt)):
        load()
    assert set(tree(tmp_path)) == {"data", f"data/{places.MARK}"}


def test_a_download_of_the_wrong_content_is_not_kept(tmp_path, torchvision):
    torchvision.fault = None
    torchvision.spoil = lambda folder: damage(folder / f"{mnist.TRAIN_LABELS}.gz")
    with (
        pytest.warns(UserWarning, match="torchvision's download: train-labels"),
        pytest.raises(data.DataError),
    ):
        load()
    assert set(tree(tmp_path)) == {"data", f"data/{places.MARK}"}


def test_a_faster_process_is_not_disturbed(tmp_path, torchvision):
    torchvision.fault = None
    torchvision.spoil = lambda folder: write_files(tmp_path / "data/fashion-mnist", False)
    assert_whole(load())
    assert (tmp_path / "data/fashion-mnist" / mnist.TRAIN_IMAGES).exists()
    assert not list(tmp_path.glob("data/*damaged*"))


def test_when_all_fails_one_error_tells_the_whole_story(tmp_path):
    with pytest.raises(data.DataError) as caught:
        load(data_dir=tmp_path / "asked")
    lines = str(caught.value).splitlines()
    assert lines[0] == "fashion-mnist could not be loaded. Tried, in this order:"
    assert [line.partition(": ")[0].removeprefix(f"  - {tmp_path}/") for line in lines[1:4]] == [
        "asked/FashionMNIST/raw",
        "asked/fashion-mnist",
        "usr/share/datasets/fashion-mnist",
    ]
    assert "torchvision's download: OSError: Name or service not known" in lines[4]
    assert "Debian's package dataset-fashion-mnist: apt-get is not on this machine" in lines[5]
    assert lines[6].startswith("What to do: put train-images-idx3-ubyte.gz")
    assert "'digits' needs no network" in lines[6]


# Whose folder it is


def test_a_foreign_data_folder_is_never_written_to(tmp_path, torchvision, caplog):
    caplog.set_level("INFO", logger="pyro_vae.data")
    torchvision.fault = None
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "README.md").write_text("shared by all")
    before = tree(foreign)
    assert_whole(load(data_dir=foreign))
    assert tree(foreign) == before
    assert (tmp_path / "data/fashion-mnist").is_dir()
    assert f"{foreign} does not belong to pyro_vae (it has no {places.MARK})" in caplog.text
    assert f"downloads go to {places.DEFAULT_FOLDER}" in caplog.text
    assert_whole(load(data_dir=foreign))
    assert torchvision.calls == 1  # found again where it was kept


@pytest.mark.parametrize("made", ["absent", "empty", "marked"])
def test_our_data_folders(tmp_path, torchvision, made):
    torchvision.fault = None
    folder = tmp_path / "ours"
    if made != "absent":
        folder.mkdir()
    if made == "marked":
        (folder / places.MARK).touch()
        (folder / "other").touch()
    load(data_dir=folder)
    assert (folder / "fashion-mnist").is_dir()
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(data.DataError, match="file is a file: give a folder"):
        load(data_dir="file")


# Debian's package, by stand-ins for apt-get and dpkg-deb


APT = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
case "$*" in
  *update*) [ -n "$OFFLINE" ] && { echo "E: Failed to fetch" >&2; exit 100; }; touch "$LISTS" ;;
  *download*) [ -e "$LISTS" ] || { echo "E: Unable to locate package" >&2; exit 100; }
              touch dataset-fashion-mnist_1_all.deb ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/$TARGET" && cp "$FILES"/* "$3/$TARGET"
"""


@pytest.fixture
def apt(tmp_path, monkeypatch) -> Path:
    """A machine with apt, whose package lists exist once the file returned here does."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    bin_folder, lists = tmp_path / "bin", tmp_path / "lists"
    bin_folder.mkdir()
    for name, script in (("apt-get", APT), ("dpkg-deb", DPKG)):
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(stat.S_IRWXU)
    environment = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "LOG": tmp_path / "log",
        "LISTS": lists,
        "FILES": write_files(tmp_path / "packaged"),
        "TARGET": str(tmp_path / "usr/share/datasets/fashion-mnist").lstrip("/"),
        "PYRO_VAE_DATA": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setitem(LOADERS, TINY.name, partial(mnist.load_idx, TINY))
    monkeypatch.setattr(mnist, "SYSTEM_FOLDER", tmp_path / "usr/share/datasets")
    monkeypatch.setattr(mnist, "import_torchvision", Torchvision)
    return lists


def test_debians_package_is_unpacked_into_the_data_folder(tmp_path, apt):
    apt.touch()
    assert_whole(load(data_dir="new"))
    assert (tmp_path / "log").read_text().count("apt-get") == 1
    assert not (tmp_path / "usr").exists()
    assert set(os.listdir("new")) == {"fashion-mnist", places.MARK}
    assert set(os.listdir("new/fashion-mnist")) == {f"{name}.gz" for name in mnist.FILES}


def test_separate_lists_serve_where_apts_are_missing(tmp_path, apt):
    assert_whole(load(data_dir="new"))
    first, update, download = (tmp_path / "log").read_text().splitlines()
    assert "State::Lists" not in first
    assert "Dir::State::Lists=" in update
    assert "Dir::Cache=" in download


def test_apts_own_words_are_passed_on(apt, monkeypatch):
    monkeypatch.setenv("OFFLINE", "yes")
    with (
        pytest.warns(UserWarning, match="Debian's package"),
        pytest.raises(data.DataError, match="`apt-get update` failed: E: Failed to fetch"),
    ):
        load(data_dir="new")
    assert os.listdir("new") == [places.MARK]


# CIFAR-10


def write_cifar(root: Path, monkeypatch) -> Path:
    """Tiny batches in torchvision's format, whose md5s its class is made to expect."""
    folder = root / cifar10.FOLDER
    folder.mkdir(parents=True)
    rows = np.arange(2 * 3072).reshape(2, 3072) % 251
    files = {"data_batch_1": 3, "data_batch_2": 5, "test_batch": 7}
    for name, label in files.items():
        batch = {"data": (rows + label).astype(np.uint8), "labels": [label, 0]}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = [f"class {number}" for number in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    cifar = cifar10.import_torchvision().datasets.CIFAR10
    monkeypatch.setattr(cifar, "train_list", [[n, md5[n]] for n in files if n != "test_batch"])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(cifar, "meta", cifar.meta | {"md5": md5["batches.meta"]})
    return folder


@pytest.fixture
def no_cifar_download(monkeypatch):
    def fail(temporary: Path) -> Path:
        raise OSError("Name or service not known")

    monkeypatch.setattr(cifar10, "download_with_torchvision", fail)


def test_cifar10_from_torchvisions_files(tmp_path, monkeypatch):
    write_cifar(tmp_path / "data", monkeypatch)
    cifar = load("cifar10")
    assert cifar.image_shape == (3, 32, 32)
    assert cifar.train.labels.tolist() == [3, 0, 5, 0]
    assert cifar.test.labels.tolist() == [7, 0]
    expected = (torch.arange(3072) % 251 + 3).to(torch.uint8)  # the planes red, green, blue
    assert torch.equal(cifar.train.images[0].flatten(), expected)
    assert cifar.train.class_names[5] == "class 5"


def test_a_damaged_cifar10_is_warned_about(tmp_path, monkeypatch, no_cifar_download):
    damage(write_cifar(tmp_path / "data", monkeypatch) / "test_batch")
    with (
        pytest.warns(UserWarning, match="cifar-10-batches-py: a file in it is missing or damaged"),
        pytest.raises(data.DataError, match="torchvision's download: OSError"),
    ):
        load("cifar10")


def test_cifar10_that_is_nowhere_says_what_to_do(tmp_path, no_cifar_download):
    (tmp_path / "data/cifar10").mkdir(parents=True)
    (tmp_path / "data/cifar10/part.npz").touch()
    with pytest.raises(data.DataError, match="an .npz of images, such as data/cifar10/part.npz"):
        load("cifar10")
    assert not (tmp_path / "data" / cifar10.FOLDER).exists()
