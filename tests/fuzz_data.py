"""Damaged inputs for every reader of data: as many as one likes, each made by a seed.

`CASES` maps a name to a function of a random number generator and a folder that is the function's
alone. It writes one damaged input there and reads it. Whatever it raises is a fault of the reader:
`DataError` alone is right, and is not passed on.
"""

import gzip
import io
import random
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pyro_vae import data
from pyro_vae.data.named import mnist

Case = Callable[[random.Random, Path], None]

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_HEADERS = (
    "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 9, 9)}",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (-6, 9, 9)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 9, True)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 9, 9)}",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000000,)}",
    "{'descr': '|S100000000000', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (6, 9, 9)}",
    "{'descr': ('|u1', (1000, 1000)), 'fortran_order': False, 'shape': (6, 9, 9)}",
    "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2, 9, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "(" * 5000,
    "-" * 9000 + "1",
    "[" * 90 + "]" * 90,
    "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': ()}",
)
_CELLS = ("", "1", "-3", "long", "1.5", "9" * 40, "9" * 5000, "\0", "\x1b[31m", '"', "\udcff", "é")


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Return bytes that differ from the given ones in one to four places."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        length = min(rng.choice((1, 2, 4, 8, 64)), len(changed) - at)
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + length] = rng.randbytes(length)
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = rng.randbytes(rng.randint(1, 64))
            case 5:
                number = rng.choice(_NUMBERS).to_bytes(8, rng.choice(("little", "big")))
                changed[at : at + length] = number[:length]
            case _:
                changed[at:at] = changed[at : at + rng.randint(1, 64)]
    return bytes(changed)


def read(path: str | Path, **options: object) -> None:
    """Load images and look at them; check that what is refused is refused in printable words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = data.load(path, **options)  # type: ignore[arg-type]
            for part in (found.train, found.test):
                part.as_float(slice(3))
                " ".join(
                    (
                        part.source,
                        *(part.class_names or ()),
                        *(part.attributes or ()),
                        *(part.names or ()),
                    )
                ).encode()
        except data.DataError as error:
            check_message(str(error))


def check_message(message: str) -> None:
    """Check that a message can be printed everywhere, and that no terminal acts on it."""
    message.encode()
    assert message.strip() and all(
        each == "\n" or ord(each) >= 32 and not 127 <= ord(each) < 160 for each in message
    ), repr(message)


# Arrays


def _images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 9, 9), dtype=np.uint8)


def npy_bytes(array: np.ndarray, header: str | None = None) -> bytes:
    """Return an `.npy` file, with another header if one is given."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    if header is None:
        return buffer.getvalue()
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + array.tobytes()


@cache
def _npz_members() -> dict[str, bytes]:
    arrays = {
        "images": _images(),
        "labels": np.arange(6),
        "class_names": np.array([*"abcdef"]),
        "names": np.array([f"{number}.png" for number in range(6)]),
    }
    return {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}


def _zipped(members: dict[str, bytes], rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
            if rng.random() < 0.02:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    archive.writestr(name, content)
    return buffer.getvalue()


def npy(rng: random.Random, folder: Path) -> None:
    """An `.npy` file with damaged bytes, or a header that lies."""
    header = rng.choice(_HEADERS) if rng.random() < 0.4 else None
    content = npy_bytes(_images(), header)
    path = folder / "x.npy"
    path.write_bytes(content if header and rng.random() < 0.5 else mutated(rng, content))
    read(path, stream=rng.choice((None, True, False)))


def npz(rng: random.Random, folder: Path) -> None:
    """An `.npz` file with damaged bytes, or whole but of damaged members."""
    members = dict(_npz_members())
    inside = rng.random() < 0.5
    if inside:
        name = rng.choice(list(members))
        header = rng.choice(_HEADERS) if rng.random() < 0.4 else None
        content = npy_bytes(_images(), header) if header else members[name]
        members[name] = content if header else mutated(rng, content)
    content = _zipped(members, rng)
    path = folder / "x.npz"
    path.write_bytes(content if inside else mutated(rng, content))
    read(path)


@cache
def _pt(old: bool) -> bytes:
    buffer = io.BytesIO()
    content = {
        "images": torch.from_numpy(_images()),
        "labels": torch.arange(6),
        "class_names": [*"abcdef"],
    }
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def of_damaged_record(rng: random.Random, content: bytes) -> bytes:
    """A whole file of PyTorch's, with true checksums, of which a record is damaged."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in records if name.endswith("data.pkl"))
    name = pickled if rng.random() < 0.7 else rng.choice(list(records))
    records[name] = mutated(rng, records[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for each, bytes_of_it in records.items():
            archive.writestr(each, bytes_of_it)
    return buffer.getvalue()


def pt(rng: random.Random, folder: Path) -> None:
    """A file of PyTorch's, new or old, with damaged bytes, or whole but of damaged records."""
    path = folder / "x.pt"
    kind = rng.choice(("bytes", "records", "old"))
    if kind == "records":
        path.write_bytes(of_damaged_record(rng, _pt(old=False)))
    else:
        path.write_bytes(mutated(rng, _pt(old=kind == "old")))
    read(path)


# IDX files


@cache
def _idx() -> dict[str, bytes]:
    def content(values: np.ndarray) -> bytes:
        return (
            bytes([0, 0, 8, values.ndim])
            + np.array(values.shape, ">u4").tobytes()
            + bytes(values.astype(np.uint8))
        )

    images, labels = _images(), np.arange(6)
    values = (images, labels, images[:3], labels[:3])
    return {name: content(each) for name, each in zip(mnist.FILES, values, strict=True)}


def idx(rng: random.Random, folder: Path) -> None:
    """An IDX file with damaged bytes, alone or in a gzip file that is whole or damaged itself."""
    try:
        content = mutated(rng, rng.choice(list(_idx().values())))
        mnist.parse_idx(content)
        packed = gzip.compress(content)
        (folder / f"{mnist.TRAIN_IMAGES}.gz").write_bytes(
            packed if rng.random() < 0.2 else mutated(rng, packed)
        )
        for name in mnist.FILES[1:]:
            (folder / name).write_bytes(_idx()[name])
        mnist.read_folder(mnist.MNIST, folder)
    except data.DataError as error:
        check_message(str(error))


# Folders of images


@cache
def _encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    mode = "L" if suffix == "pgm" else "RGB"
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    image.convert(mode).save(buffer, Image.registered_extensions()[f".{suffix}"])
    return buffer.getvalue()


def _folder_of(suffix: str) -> Case:
    def case(rng: random.Random, folder: Path) -> None:
        for number in range(3):
            (folder / f"{number}.{suffix}").write_bytes(_encoded(suffix))
        (folder / f"1.{suffix}").write_bytes(mutated(rng, _encoded(suffix)))
        read(
            folder,
            skip_corrupt=rng.random() < 0.5,
            size=rng.choice((None, 4)),
            stream=rng.choice((None, True)),
        )

    case.__doc__ = f"A folder of three .{suffix} files, of which one has damaged bytes."
    return case


# CSV files


def table(rng: random.Random, folder: Path) -> None:
    """An `attributes.csv` beside an array: odd cells, encodings and bytes."""
    path = folder / "x.npz"
    if not path.exists():
        path.write_bytes(_zipped(dict(_npz_members()), random.Random(0)))
    delimiter = rng.choice(",;\t")
    rows = [["filename", "hair", "eyes"], *([f"{n}.png", str(n), "7"] for n in range(6))]
    for _ in range(rng.randint(0, 3)):
        row = rng.choice(rows)
        if row:
            row[rng.randrange(len(row))] = rng.choice(_CELLS)
        if rng.random() < 0.2:
            row.append(rng.choice(_CELLS))
        elif rng.random() < 0.2 and row:
            row.pop()
    text = rng.choice(("\n", "\r\n", "\r")).join(delimiter.join(row) for row in rows)
    encoding = rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin1", "utf-32"))
    content = text.encode(encoding, "replace")
    damaged = rng.random() < 0.5
    (folder / "attributes.csv").write_bytes(mutated(rng, content) if damaged else content)
    read(path)


def avatars(rng: random.Random, folder: Path) -> None:
    """A folder of Cartoon Set, of which one file of attributes is damaged."""
    content = b'"hair", 3, 111\n"glasses", 1, 12\n'
    for number in range(3):
        (folder / f"cs{number}.png").write_bytes(_encoded("png"))
        (folder / f"cs{number}.csv").write_bytes(content)
    (folder / "cs1.csv").write_bytes(mutated(rng, content))
    read(folder)


CASES: dict[str, Case] = {
    "npy": npy,
    "npz": npz,
    "pt": pt,
    "idx": idx,
    **{name: _folder_of(name) for name in ("png", "jpg", "tiff", "gif", "bmp", "pgm", "tga")},
    "table": table,
    "avatars": avatars,
}
