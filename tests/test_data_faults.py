"""Whatever a person points at: the right data, or one `DataError` that can be printed."""

import contextlib
import gzip
import io
import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import fuzz_data
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pyro_vae import data
from pyro_vae.data import capacity, messages
from pyro_vae.data.downloads import places
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.named import cifar10, mnist
from pyro_vae.data.readers import image_files, image_formats
from pyro_vae.data.readers.attributes import read_table
from pyro_vae.data.splits import shuffled

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 9), dtype=np.uint8)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)


def refused(*arguments: object, **options: object) -> str:
    """Load what must be refused, and return the words."""
    with pytest.raises(data.DataError) as caught:
        data.load(*arguments, **options)
    fuzz_data.check_message(str(caught.value))
    return str(caught.value)


def save_images(folder: Path, count: int = 3, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("L", (8, 8), number).save(folder / f"{number}{suffix}")
    return folder


# Damage of any kind

#: A folder of images takes threads, and so more time than a file.
EXAMPLES = {"png": 40, "jpg": 30, "tiff": 30, "avatars": 20} | dict.fromkeys(
    ("gif", "bmp", "pgm", "tga"), 10
)


@pytest.mark.parametrize("name", fuzz_data.CASES)
def test_damage_is_answered_in_words(name):
    @settings(max_examples=EXAMPLES.get(name, 150), deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fuzz_data.CASES[name](random.Random(seed), Path(folder))

    run()


def test_the_inputs_are_right_before_they_are_damaged(tmp_path, monkeypatch):
    """Otherwise every damage would be refused for another reason."""
    monkeypatch.setattr(fuzz_data, "mutated", lambda rng, content: content)
    monkeypatch.setattr(fuzz_data, "_HEADERS", (None,))
    for name in ("npy", "npz", "pt", "png", "avatars"):
        folder = tmp_path / name
        folder.mkdir()
        rng = random.Random(1)
        fuzz_data.CASES[name](rng, folder)
        whole = folder / f"x.{name}" if name in ("npy", "npz", "pt") else folder
        assert len(data.load(whole).train) + len(data.load(whole).test) in (3, 6)


# What is not a file


def not_a_file(path: Path, kind: str) -> None:
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        case "device":
            path.symlink_to("/dev/zero")
        case "dangling":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(path.name)
        case "folder":
            path.mkdir()


KINDS = ["fifo", "socket", "device", "dangling", "loop"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_not_a_file_is_a_fault(tmp_path, kind):
    folder = save_images(tmp_path / "x")
    not_a_file(folder / "z.png", kind)
    assert "1 of 4 images cannot be read" in (message := refused("x"))
    assert "z.png: " in message and message.count("z.png") == 1
    with pytest.warns(UserWarning, match="skipped"):
        assert len(data.load("x", skip_corrupt=True).train) == 2


@pytest.mark.parametrize("kind", [*KINDS, "folder"])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
def test_an_array_that_is_not_a_file_is_refused(tmp_path, kind, name):
    not_a_file(tmp_path / name, kind)
    assert name in refused(name)


@pytest.mark.parametrize("kind", [*KINDS, "folder"])
def test_a_table_that_is_not_a_file_is_refused(tmp_path, kind):
    np.savez("x.npz", images=IMAGES)
    not_a_file(tmp_path / "attributes.csv", kind)
    assert "attributes.csv" in refused("x.npz")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    np.save("x.npy", IMAGES)
    Path("x.npy").chmod(0)
    assert "x.npy cannot be read: Permission denied" in refused("x.npy")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "name must be a name or a path, not ''"),
        ("a\0b", "name must be a name or a path"),
        (None, "name must be a name or a path, not None"),
        (3, "name must be a name or a path, not 3"),
        (b"digits", "name must be a name or a path"),
        (["digits"], "name must be a name or a path"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("~nobody-of-this-name/x", "nobody of that name has a home folder here"),
        ("gone/x.npy", "no data set is called 'gone/x.npy'"),
    ],
)
def test_what_no_file_can_be_called(path, words):
    assert words in refused(path)


@pytest.mark.parametrize("folder", [3, b"data", "a\0b", "x" * 5000, "~nobody-of-this-name"])
def test_a_data_folder_that_cannot_be_one(folder):
    assert "data" in refused("mnist", folder)


def test_an_array_that_is_cut_while_it_is_streamed(tmp_path):
    """The system would end the program that reads past the end of a file."""
    np.save("x.npy", np.tile(IMAGES, (100, 10, 10)))
    dataset = data.load("x.npy", stream=True)
    assert dataset.train.levels(slice(2)).shape == (2, 1, 90, 90)
    os.truncate("x.npy", 200)
    for use in (dataset.train.levels, lambda: list(dataset.train.batches(50))):
        with pytest.raises(data.DataError, match="^x.npy was changed while its images .*again$"):
            use()


# Files that unfold


def npz_of(path: str, name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)


def test_a_small_archive_does_not_unfold_without_bounds(monkeypatch):
    monkeypatch.setattr(capacity, "_UNPACKED", 2**20)
    with zipfile.ZipFile("x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = fuzz_data.npy_bytes(
            np.zeros(0, np.uint8),
            "{'descr': '|u1', 'fortran_order': False, 'shape': (8000, 32, 32)}",
        )
        with archive.open("images.npy", "w") as member:
            member.write(header)
            member.write(bytes(8000 * 32 * 32))
    assert "x.npz unpacks from" in refused("x.npz")
    assert len(data.load("x.npz", stream=False).train) == 7200  # Whoever insists may.


@pytest.mark.parametrize("old", [False, True])
def test_a_tensor_is_no_larger_than_its_file(old):
    small = torch.zeros(1, dtype=torch.uint8).expand(10**6, 64, 64)
    torch.save({"images": small}, "x.pt", _use_new_zipfile_serialization=not old)
    assert Path("x.pt").stat().st_size < 2000
    assert "larger than the file" in refused("x.pt")


def test_records_that_are_compressed_are_refused():
    torch.save(torch.zeros(10**5, 3, 9, dtype=torch.uint8), "whole.pt")
    with zipfile.ZipFile("whole.pt") as whole, zipfile.ZipFile("x.pt", "w") as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name), zipfile.ZIP_DEFLATED)
    assert Path("x.pt").stat().st_size < 100_000
    assert "compressed" in refused("x.pt")


def test_old_files_of_pytorch_are_still_read():
    content = {"images": torch.from_numpy(IMAGES), "class_names": [*"ab"], "labels": [0, 1] * 3}
    torch.save(content, "x.pt", _use_new_zipfile_serialization=False)
    dataset = data.load("x.pt")
    assert dataset.train.class_names == ("a", "b") and dataset.image_shape == (1, 9, 9)


def test_a_checksum_is_compared():
    np.savez("x.npz", images=IMAGES)
    torch.save(torch.from_numpy(IMAGES), "x.pt")
    for name in ("x.npz", "x.pt"):
        content = bytearray(Path(name).read_bytes())
        at = content.index(IMAGES.tobytes())
        content[at + 100] ^= 1
        Path(name).write_bytes(content)
        assert f"{name} cannot be read: it is damaged" in refused(name)


@pytest.mark.parametrize("header", [*fuzz_data._HEADERS])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_lies_is_refused(header, suffix):
    content = fuzz_data.npy_bytes(IMAGES, header)
    for key in ("images", "class_names"):
        path = f"{key}{suffix}"
        if suffix == ".npy":
            Path(path).write_bytes(content)
        else:
            members = {"images.npy": fuzz_data.npy_bytes(IMAGES), f"{key}.npy": content}
            with zipfile.ZipFile(path, "w") as archive:
                for name, member in members.items():
                    archive.writestr(name, member)
        assert path in refused(path)


def test_two_members_of_one_name_are_refused():
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile("x.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("images.npy", fuzz_data.npy_bytes(IMAGES))
    assert "two of its arrays are called images" in refused("x.npz")


def test_arrays_that_are_not_needed_are_not_opened():
    np.savez("x.npz", images=IMAGES, metadata=np.array({"made": "by hand"}, dtype=object))
    assert data.load("x.npz").image_shape == (1, 9, 9)


def test_a_gzip_file_that_unfolds_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_LARGEST", 10_000)
    for name in mnist.FILES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(bytes(3_000_000)))
    with pytest.raises(data.DataError, match="holds more than 10,000 bytes"):
        mnist.read_folder(mnist.MNIST, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\0\0\x08\x03", b"\0\0\x08\0\0", b"\0\0\x08\xff" + bytes(1020)]
    + [b"\0\0\x08\x02" + (2**31).to_bytes(4, "big") * 2, b"\0\0\x08\x04" + b"\xff" * 16],
)
def test_an_idx_header_that_lies_is_refused(content):
    with pytest.raises(data.DataError, match="IDX"):
        mnist.parse_idx(content)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_an_image_that_claims_too_many_pixels_is_a_fault(tmp_path, suffix):
    save_images(tmp_path / "x", suffix=suffix)
    for name, side in (("huge", 6000), ("larger", 9500), ("largest", 14_000)):
        Image.new("1", (side, side)).save(
            tmp_path / "x" / f"{name}{suffix}",
            **({"compression": "group4"} if suffix == ".tiff" else {}),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Nothing of Pillow's own.
        message = refused("x")
    assert "3 of 6 images cannot be read" in message and len(message.splitlines()) == 5
    assert f"huge{suffix}: " in message and "claim to be 36,000,000 pixels" in message
    assert message.count("more than 89,478,485 pixels") == 2


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(image_formats, "_LARGE", 10)
    folder, decoding, most = save_images(tmp_path / "x", count=20), [], []
    original = image_formats._to_8_bits

    def watched(image, *more):
        decoding.append(image)
        most.append(len(decoding))
        result = original(image, *more)
        decoding.pop()
        return result

    monkeypatch.setattr(image_formats, "_to_8_bits", watched)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    data.load(folder)
    assert max(most) == 1 and len(most) == 20


def test_no_program_is_started_for_what_only_looks_like_an_image(tmp_path, monkeypatch):
    """Pillow starts Ghostscript for PostScript, whatever the file is called."""
    folder = save_images(tmp_path / "x")
    (folder / "z.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    )
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: pytest.fail("a program"))
    assert "z.png: not an image, despite its name" in refused("x")


# CSV files


def write_table(content: bytes) -> dict[str, list[int]]:
    Path("t.csv").write_bytes(content)
    found = read_table(Path("t.csv"), 2, None)
    assert found is not None
    return {name: values.tolist() for name, values in found.items()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_programs_write_them(delimiter, newline, encoding):
    lines = [delimiter.join(row) for row in (("filename", "Höhe"), ("a", "1"), ("b", "-2"))]
    content = newline.join([*lines, ""]).encode(encoding)
    assert write_table(content) == {"Höhe": [1, -2]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("filename,H\xf6he\na,1\nb,2\n".encode("latin1"), "line 1 is not text in UTF-8: save it"),
        (b"hair\n1\n\xff\n", "line 3 is not text in UTF-8: save it as CSV in UTF-8"),
        ("hair\n1\n2\n".encode("utf-16-le"), "line 1 holds a NUL character: save it"),
        (b"\xff\xfeh\0\n", "is not text in UTF-16"),
        (b"hair\n1\n\0\n", "line 3 holds a NUL"),
        (b"hair\n1\n" + b"9" * 200_000 + b"\n", "line 3 is not a line of a CSV file"),
        (b"hair,eyes\n1,2\n3\n", "line 3 has 1 cells, but the header has 2"),
        (b"hair,eyes\n1,2,3\n4,5\n", "line 2 has 3 cells"),
        (b"hair,hair\n1,2\n3,4\n", "two columns have one name"),
        (b"hair\n1\n1.5\n", "line 3: attribute 'hair' has a value that is not a whole number"),
        (b"hair\n1\n9223372036854775808\n", "line 3: attribute 'hair'"),
        (b"hair\n1\n\n\x1b[31m\n", "line 4: attribute 'hair'"),
    ],
)
def test_tables_that_are_refused_by_line(content, words):
    with pytest.raises(data.DataError, match="^t.csv") as caught:
        write_table(content)
    fuzz_data.check_message(str(caught.value))
    assert words in str(caught.value)


def test_an_empty_table_is_not_used():
    for content in (b"", b"\n", b"hair\n"):
        Path("t.csv").write_bytes(content)
        with pytest.warns(UserWarning, match="rows for 0 of 2 images"):
            assert read_table(Path("t.csv"), 2, None) is None


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain café 猫 \U0001f600", "plain café 猫 \U0001f600"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\tc\r\x7f\x9b", "a\\nb\\tc\\r\\x7f\\x9b"),
        ("\udcff\udcc3\udca9", "\\xffé"),
        ("\ud800", "\\ud800"),
        ("abc\u202efdp.exe\u2028", "abc\\u202efdp.exe\\u2028"),
        ("\u200d\u3000", "\u200d\u3000"),
    ],
)
def test_text_can_be_printed_anywhere(text, expected):
    assert messages.escaped(text) == expected
    fuzz_data.check_message(messages.escaped(text))


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_can_be_printed_anywhere(text):
    shown = messages.escaped(text)
    shown.encode()
    assert shown == messages.escaped(shown)
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in shown)


ODD = b"odd \xff\x1b]0;owned\x07\n name"


def test_odd_names_of_files_folders_and_classes(tmp_path, caplog):
    caplog.set_level("INFO", logger="pyro_vae.data")
    folder = os.fsdecode(ODD)
    for name in (folder, "cats"):
        save_images(tmp_path / folder / name)
    dataset = data.load(tmp_path / folder)
    shown = "odd \\xff\\x1b]0;owned\\x07\\n name"
    assert dataset.train.class_names == ("cats", shown) and dataset.name == shown
    assert shown in dataset.train.source
    (tmp_path / folder / "cats" / f"{folder}.png").write_bytes(b"text")
    message = refused(tmp_path / folder)
    assert f"cats/{shown}.png: not an image" in message
    np.save(f"{folder}.npy", IMAGES / 255)
    assert data.load(f"{folder}.npy").name == shown
    np.save(f"{folder}.npy", IMAGES / 2 - 1)
    assert "odd \\xff" in refused(f"{folder}.npy")
    assert refused(f"{folder}.gone") and refused("mnist", data_dir=f"{folder}.npy")
    fuzz_data.check_message("\n".join(caplog.messages))


def test_a_locale_without_utf_8_changes_nothing(tmp_path):
    save_images(tmp_path / "x" / "Käse"), save_images(tmp_path / "x" / "猫")
    np.savez("y.npz", images=IMAGES)
    Path("attributes.csv").write_text("Höhe\n" + "1\n" * 6, encoding="utf-8")
    code = """
from pathlib import Path
from pyro_vae import data
from pyro_vae.data.downloads import places
names = *data.load("x").train.class_names, *data.load("y.npz").train.attributes
places._make_ours(Path("new"))
print(ascii(names))
"""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | plain | {"PYTHONPATH": str(Path(data.__file__).parents[2])},
    )
    assert done.stdout.strip() == ascii(("Käse", "猫", "Höhe")), done.stderr
    assert Path("new", places.MARK).read_text(encoding="utf-8") == places.MARK_TEXT


# Options and arguments


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("size", [0, -1, True, 8.0, "8", (8,), (8, 8, 8), (8, None), [], 10**9, float("nan")]),
        ("channels", [0, 2, True, 1.0, "1", float("nan")]),
        ("test_fraction", [0, 1, -0.1, True, "0.1", None, float("nan"), float("inf")]),
        ("seed", [-1, 2**63, 10**30, True, 0.0, "0", None, float("nan")]),
        ("skip_corrupt", [1, None, "yes"]),
        ("stream", [1, "no"]),
    ],
)
def test_options_are_checked_by_type_and_range(option, values):
    for value in values:
        assert refused("digits", **{option: value}).startswith(f"{option} must be")


def test_options_of_numpy_and_lists_are_taken():
    digits = data.load(
        "digits", size=[np.int64(4), 6], seed=np.int64(3), test_fraction=np.float32(0.5)
    )
    assert digits.image_shape == (1, 4, 6) and len(digits.test) == 898


FOUR = torch.zeros(4, 1, 3, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": None}, "images must be"),
        ({"images": FOUR.numpy()}, "images must be a uint8 tensor of shape (N, C, H, W), not a"),
        ({"images": FOUR[:, :0]}, "images must have pixels"),
        ({"labels": [0, 1, 2, 3]}, "labels must be int64 of shape (4,), not a value of type list"),
        (
            {"labels": torch.tensor([0, 1, -2, 2])},
            "labels must be 0 or more, or -1 for unknown, but run from -2 to 2",
        ),
        ({"labels": torch.zeros(4, 1, dtype=torch.int64)}, "labels must be int64 of shape (4,)"),
        ({"attributes": [torch.zeros(4)]}, "attributes must be a dict of tensors"),
        ({"attributes": {3: torch.zeros(4, dtype=torch.int64)}}, "attributes must have names"),
        ({"attributes": {"a": torch.zeros(4)}}, "attribute 'a' must be int64"),
        ({"attributes": {"a": None}, "labels": 3}, "labels must be int64"),
        ({"class_names": "ab"}, "class_names must be a tuple of names"),
        ({"class_names": (1, 2)}, "class_names must be a tuple of names"),
        ({"source": Path("here")}, "source must be text"),
        ({"pixels": ["gray"]}, "pixels must be one of gray, binarized, dequantized, not ['gray']"),
        ({"pixels": 1}, "pixels must be one of"),
    ],
)
def test_what_images_cannot_be_made_of(change, words):
    with pytest.raises(data.DataError) as caught:
        ImageData(**({"images": FOUR} | change))
    assert str(caught.value).startswith(words)


ODD_INDICES = [
    *(3, True, None, "a", 1.5, torch.tensor(1), torch.tensor([4]), torch.tensor([-5])),
    *(torch.tensor([0.5]), torch.ones(3, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.int64)),
    *(slice("a", None), slice(None, None, -1), slice(None, None, 0)),
]


@pytest.mark.parametrize("indices", ODD_INDICES, ids=str)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_indices_cannot_be(indices, streamed):
    images = ImageData(FOUR, torch.arange(4), attributes={"a": torch.arange(4)})
    if streamed:
        np.save("x.npy", IMAGES[:5].repeat(2, axis=0)[:5])
        images = data.load("x.npy", stream=True).train
    for use in (images.select, images.levels, images.as_float):
        with pytest.raises(
            data.DataError, match="^indices must be a slice, whole numbers from -4 to"
        ):
            use(indices)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda x: x.pad(1.5), "the margin must be 0 pixels or more, not 1.5"),
        (lambda x: x.pad(True), "the margin must be"),
        (lambda x: x.pad(None), "the margin must be"),
        (lambda x: x.pad(10**9), "a margin of 1000000000 pixels would take"),
        (lambda x: x.batches(0), "batch_size must be 1 image or more, not 0"),
        (lambda x: x.batches(2.0), "batch_size must be"),
        (lambda x: x.batches(True), "batch_size must be"),
        (
            lambda x: x.batches(2, [0, 1]),
            "order must be int64 of shape (4,), not a value of type list",
        ),
        (lambda x: x.batches(2, torch.rand(4)), "order must be int64"),
        (lambda x: list(x.batches(2, torch.tensor([7]))), "indices must be"),
        (lambda x: x.binarized_once(-1), "seed must be a whole number from 0 to 2^63 - 1, not -1"),
        (lambda x: x.binarized_once(0.5), "seed must be"),
        (lambda x: x.to("nowhere"), "images cannot be moved to 'nowhere'"),
        (lambda x: x.to(3.5), "images cannot be moved to 3.5"),
        (lambda x: Dataset(3, x, x), "name must be text"),
        (lambda x: Dataset("n", x, None), "n: test must be ImageData"),
        (lambda x: Dataset("n", x.images, x), "n: train must be ImageData"),
        (lambda x: Dataset("n", x, x.select(slice(0))), "n: at least one train and one test"),
        (lambda x: Dataset("n", x, x).map(None), "change must be a function"),
        (lambda x: Dataset("n", x, x).map(len), "n: train must be ImageData"),
        (lambda x: Dataset("n", x, x).limit(2.0), "n: the limit must be a whole number"),
        (lambda x: Dataset("n", x, x).limit(True), "n: the limit must be a whole number"),
        (lambda x: Dataset("n", x, x).split(1.0), "n: cannot hold out 1.0 of 4"),
        (lambda x: Dataset("n", x, x).split(None), "n: cannot hold out None"),
        (lambda x: shuffled(4, -1), "seed must be"),
    ],
)
def test_arguments_are_named(use, words):
    with pytest.raises(data.DataError) as caught:
        use(ImageData(FOUR))
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"labels": np.int64(3)}, "x.npz: labels has shape ()"),
        ({"labels": np.array([0, 1, -2, 0, 1, 2])}, "x.npz: labels run from -2 to 2"),
        ({"labels": np.full(6, 2**63, np.uint64)}, "x.npz: labels run from 9223372036854775808"),
        ({"labels": np.zeros((6, 2, 2), int)}, "x.npz: labels has shape (6, 2, 2)"),
        ({"labels": np.zeros((0, 3), int)}, "labels must be int64 of shape (6,)"),
        ({"class_names": np.array("cat")}, "x.npz: class_names has shape ()"),
        ({"class_names": np.array([["a"], ["b"]])}, "x.npz: class_names has shape (2, 1)"),
        ({"class_names": np.array(["a"]), "labels": np.arange(6)}, "x.npz: labels run from 0 to 5"),
    ],
)
def test_labels_and_names_of_an_array_are_checked(content, words):
    np.savez("x.npz", images=IMAGES, **content)
    assert words in refused("x.npz")


# Downloads


def test_cifar10_is_read_from_pickles_of_old_and_new_versions():
    for protocol in range(2, 6):
        content = pickle.dumps({"data": IMAGES, "labels": [1, 2]}, protocol)
        found = cifar10._ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        assert np.array_equal(found["data"], IMAGES) and found["labels"] == [1, 2]


class Harmful:
    def __reduce__(self):
        return (Path("harm").touch, ())


def test_cifar10_runs_no_code():
    with pytest.raises(data.DataError, match="and only arrays are read"):
        cifar10._ArraysOnly(io.BytesIO(pickle.dumps(Harmful())), encoding="latin1").load()
    assert not Path("harm").exists()


def test_partial_downloads_of_killed_programs_are_removed(tmp_path):
    old, new = tmp_path / "data/.fetching-old", tmp_path / "data/.fetching-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "part").touch()
    os.utime(old, (0, 0))

    def fill(temporary: Path) -> Path:
        (temporary / "kept").mkdir()
        (temporary / "kept/file").write_bytes(b"1")
        return temporary / "kept"

    assert places.fetch(Path("data"), "set", fill, lambda folder: 1) == 1
    assert sorted(path.name for path in Path("data").iterdir()) == [
        ".fetching-new",
        ".pyro_vae",
        "set",
    ]


# Determinism


@pytest.mark.parametrize("stream", [False, True])
def test_any_number_of_threads_reads_the_same_images(tmp_path, monkeypatch, stream):
    for number in range(60):
        folder = tmp_path / "x" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8 + number % 3, 8), number).save(folder / f"{number}.png")
    (tmp_path / "x/a/broken.png").write_bytes(b"text")
    found = []
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    for threads in (1, 8):
        monkeypatch.setattr(image_files, "_MOST_THREADS", threads)
        with pytest.warns(UserWarning, match="1 of 61"):
            found.append(data.load("x", skip_corrupt=True, stream=stream))
    for one, other in zip(
        (found[0].train, found[0].test), (found[1].train, found[1].test), strict=True
    ):
        assert torch.equal(one.levels(), other.levels()) and torch.equal(one.labels, other.labels)
