"""Images left in their files: the same images, the same training, and bounded memory."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_vae
from PIL import Image

from pyro_vae import data, evaluate, fit
from pyro_vae.analysis.samples import nearest_training_images

SHAPE = (30, 1, 8, 8)


@pytest.fixture
def levels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture(params=["folder", "array", "channels last"])
def source(request, tmp_path, levels) -> Path:
    """The same images in files of each kind that can be streamed."""
    if request.param == "folder":
        (tmp_path / "images").mkdir()
        for number, image in enumerate(levels):
            Image.fromarray(image[0]).save(tmp_path / "images" / f"{number:02d}.png")
        return tmp_path / "images"
    last = request.param == "channels last"
    np.save(tmp_path / "images.npy", levels.transpose(0, 2, 3, 1) if last else levels)
    return tmp_path / "images.npy"


def both(source: Path, **settings) -> tuple[data.Dataset, data.Dataset]:
    """Load the same images twice: (in memory, streamed)."""
    kept, streamed = (data.load(source, stream=stream, **settings) for stream in (False, True))
    assert streamed.train.streamed and not kept.train.streamed
    return kept, streamed


@pytest.mark.parametrize("settings", [{}, {"size": 5}, {"size": (4, 6), "channels": 3}])
def test_a_stream_gives_the_images_that_memory_holds(source, settings):
    in_memory, in_files = both(source, **settings)
    for part in ("train", "test"):
        kept, streamed = getattr(in_memory, part).pad(2), getattr(in_files, part).pad(2)
        assert streamed.image_shape == kept.image_shape and len(streamed) == len(kept)
        assert torch.equal(streamed.levels(), kept.levels())
        order = torch.randperm(len(kept))
        mask = order > len(kept) // 2
        for some in (slice(3, 20, 4), order, mask):
            assert torch.equal(streamed.select(some).levels(), kept.select(some).levels())
            assert torch.equal(streamed.as_float(some), kept.as_float(some))
        pairs = zip(streamed.batches(4, order), kept.batches(4, order), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        pairs = zip(streamed.batches(4), kept.batches(4), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "pixels", ["gray", pytest.param("binarized", marks=pytest.mark.slow), "dequantized"]
)
def test_a_training_on_a_stream_is_the_same_training(source, pixels):
    trained = []
    start = small_vae().state_dict()
    for dataset in both(source):
        vae = small_vae()
        vae.load_state_dict(start)
        torch.manual_seed(0)
        train, validation = dataset.map(lambda part: part.with_pixels(pixels)).split(5)
        fit(vae, train, validation=validation, epochs=2, batch_size=4, progress=False, device="cpu")
        numbers = evaluate(vae, dataset.test, samples=10).as_dict()
        trained.append(
            (
                vae.state_dict(),
                numbers,
                nearest_training_images(torch.zeros(1, *SHAPE[1:]), train, 3),
            )
        )
    (weights, numbers, near), (others, same, nearby) = trained
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert numbers == same
    assert all(torch.equal(one, other) for one, other in zip(near, nearby, strict=True))


def test_the_workers_can_be_started_anew_and_open_their_own_files(source, levels):
    _, streamed = both(source)
    again = pickle.loads(pickle.dumps(streamed.train.images))
    assert torch.equal(again[:], streamed.train.levels())
    assert len(pickle.dumps(streamed.train.images)) < 10_000  # Names, not images.


def test_faults_show_before_the_training_and_during_it(tmp_path):
    for number in range(6):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    broken = tmp_path / "3.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:45])
    with pytest.raises(data.DataError, match="1 of 6 images cannot be read"):
        data.load(tmp_path, stream=True)
    assert len(data.load(tmp_path, stream=True, skip_corrupt=True).train) == 4
    broken.write_bytes(whole)
    dataset = data.load(tmp_path, stream=True)
    broken.write_bytes(whole[:45])
    with pytest.raises(data.DataError, match="3.png could be read before, but no longer: OSError"):
        [dataset.train.levels(), dataset.test.levels()]


def test_what_cannot_be_streamed_is_refused_by_name(tmp_path, source):
    with pytest.raises(data.DataError, match="digits is held in memory"):
        data.load("digits", stream=True)
    np.save(tmp_path / "floats.npy", np.random.randn(9, 8, 8).astype(np.float32))
    with pytest.raises(data.DataError, match="float32 from -.*not guessed.*--stretch"):
        data.load(tmp_path / "floats.npy", stream=True)
    np.save(tmp_path / "words.npy", np.full((9, 8, 8), "a"))
    with pytest.raises(data.DataError, match="images are bytes or floats"):
        data.load(tmp_path / "words.npy", stream=True)
    with pytest.raises(data.DataError, match="cannot be binarized once"):
        both(source)[1].train.binarized_once()


def unit(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, shape)


VALUES = {
    "floats": unit(30, 8, 8).astype(np.float32),
    "double": unit(30, 3, 8, 8),
    "half": unit(30, 8, 8, 3).astype(np.float16),
    "rounding": unit(30, 8, 8) * 1.0005,
    "16 bits": np.rint(unit(30, 8, 8) * 65535).astype(np.uint16),
    "12 in 16": np.rint(unit(30, 8, 8) * 4095).astype(np.uint16),
    "binary": np.rint(unit(30, 8, 8)).astype(np.uint8),
    "binary at the end": np.concatenate([np.zeros((29, 8, 8), np.uint8), np.eye(8)[None]]),
    "bytes at the end": np.concatenate([np.eye(8)[None].repeat(29, 0), 7 * np.eye(8)[None]]),
    "booleans": unit(30, 8, 8) > 0.5,
    "big-endian": unit(30, 8, 8).astype(">f4"),
    "whole numbers": np.rint(unit(30, 8, 8) * 255).astype(np.int64),
    "transparent floats": unit(30, 8, 8, 4),
}
STRETCHED = {
    "hounsfield": np.rint(unit(30, 8, 8) * 4095 - 1024).astype(np.int32),
    "signed": (2 * unit(30, 8, 8) - 1).astype(np.float32),
    "12 in 16": VALUES["12 in 16"],
    "bytes": np.rint(unit(30, 8, 8) * 99).astype(np.uint8),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_any_type_become_the_same_levels_as_in_memory(tmp_path, kind):
    np.save(tmp_path / "x.npy", VALUES[kind].astype(VALUES[kind].dtype))
    check_alike(tmp_path / "x.npy")


@pytest.mark.parametrize("stretch", ["auto", "-100:900"])
@pytest.mark.parametrize("kind", STRETCHED)
def test_stretched_values_become_the_same_levels_as_in_memory(tmp_path, kind, stretch):
    np.save(tmp_path / "x.npy", STRETCHED[kind])
    check_alike(tmp_path / "x.npy", stretch=stretch)


def check_alike(path: Path, **settings) -> None:
    """Check that a file gives the levels that memory gives, by the same decisions; later, too."""
    kept, streamed = both(path, **settings)
    again = data.load(path, stream=True, decisions=kept.decisions)
    assert streamed.decisions == again.decisions == kept.decisions
    for part in ("train", "test"):
        expected = getattr(kept, part).levels()
        for found in (getattr(streamed, part), getattr(again, part)):
            assert (
                torch.equal(found.levels(), expected) and found.names == getattr(kept, part).names
            )
            batches = found.batches(10)  # Of the test images one, for which no process is started.
            assert torch.equal(torch.cat(list(batches)), getattr(kept, part).as_float())


def test_a_range_is_found_in_chunks(tmp_path, monkeypatch):
    """A stray value in the last chunk counts, and so does one that is not finite."""
    monkeypatch.setattr("pyro_vae.data.levels._CHUNK", 100)
    values = VALUES["floats"].copy()
    values[-1, -1, -1] = 3
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(data.DataError, match="to 3: scale"):
        data.load(tmp_path / "x.npy", stream=True)
    values[-1, -1, -1] = np.nan
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(data.DataError, match="not finite"):
        data.load(tmp_path / "x.npy", stream=True)


def test_floats_stay_in_their_file_where_memory_is_short(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", unit(30, 8, 8))  # 15,360 bytes, and 1,920 as levels
    monkeypatch.setattr("pyro_vae.data.capacity.memory_bytes", lambda: 30_000)
    assert data.load(tmp_path / "x.npy").train.streamed
    monkeypatch.setattr("pyro_vae.data.capacity.memory_bytes", lambda: 40_000)
    assert not data.load(tmp_path / "x.npy").train.streamed


MEASURED = r"""
import re, resource, sys, torch
from pathlib import Path
from pyro_vae import data
torch.set_num_threads(1)
dataset = data.load(sys.argv[1], stream=sys.argv[2] == "stream")
total = sum(x.sum().item() for x in dataset.train.batches(64, torch.randperm(len(dataset.train))))
# Not ru_maxrss, which counts the process that started this one; of children, it is of the largest.
own = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(max(own, workers) // 1024, total)
"""


def peak(folder: Path, way: str) -> tuple[int, float]:
    """Return the peak memory, in MB, of a process that reads a folder, and its images' sum."""
    command = [sys.executable, "-c", MEASURED, str(folder), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    megabytes, total = done.stdout.split()
    return int(megabytes), float(total)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_stays_bounded(tmp_path):
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.bmp")
    found = {}
    for count in (1000, 3000):  # 177 and 531 MB of training images
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.bmp").hardlink_to(tmp_path / f"{number % 20}.bmp")
        found[count] = {way: peak(folder, way) for way in ("memory", "stream")}
        sums = [total for _, total in found[count].values()]
        assert sums[0] == pytest.approx(sums[1], rel=1e-6)
    growth = {way: found[3000][way][0] - found[1000][way][0] for way in ("memory", "stream")}
    assert growth["memory"] > 300 and growth["stream"] < 100
