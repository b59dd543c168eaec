"""What a run keeps of its data (`data.json`): where they were, what they were, how they were read.

A run that is opened or continued later finds its data by it, reads them by the same decisions, and
says where they have changed.
"""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyro_vae._files import read_text, write_json
from pyro_vae.data import Dataset, ImageData, names
from pyro_vae.data.decisions import Decisions
from pyro_vae.data.messages import say
from pyro_vae.errors import PyroVAEError
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.training import Run
from pyro_vae.training.records import RunFileError, read_or, shown

#: Images of a stream that the checksum is of: reading all would take as long as an epoch.
SAMPLED = 64
#: Images that are summed at a time.
CHUNK = 1000
_LARGEST = 1 << 20

Part = dict[str, int | str | None]
"""Number of images, checksum of their names (None: they have none), checksum of their content."""


@dataclass(frozen=True)
class DataRecord:
    """What a run folder says of the data that it was trained on.

    Attributes:
        data: the name of the data set, or the path as it was given.
        places: where a folder or a file was: its path, and its path from the run folder.
        shape: (C, H, W) of the images, padded and resized.
        parts: what each part held, by name.
        decisions: how the data were read.
    """

    data: str
    places: tuple[str, ...]
    shape: tuple[int, ...]
    parts: Mapping[str, Part]
    decisions: Decisions

    @property
    def images(self) -> int:
        """The number of images of all parts."""
        return sum(int(part["images"] or 0) for part in self.parts.values())

    @property
    def treatment(self) -> str:
        """How the images were treated, in words: "1×8×8, uint16 from 0 to 65535"."""
        words = ["×".join(map(str, self.shape))]
        if self.decisions.stretch is not None:
            words.append("values from {:g} to {:g}".format(*self.decisions.stretch))
        else:
            words += [
                f"{kind} from {low:g} to {high:g}"
                for kind, (low, high) in self.decisions.ranges.items()
            ]
        if self.decisions.ground is not None:
            words.append(f"transparent images on {self.decisions.ground}")
        return ", ".join(words)

    def changes(self, found: Mapping[str, Part]) -> list[str]:
        """Return how data differ from those of the record, a clause for each part.

        Args:
            found: what `summary` returns of the data.
        """
        clauses = []
        for name in dict.fromkeys([*self.parts, *found]):
            before, now = self.parts.get(name), found.get(name)
            if before != now and (clause := _difference(before, now)):
                clauses.append(f"{name}: {clause}")
        return clauses


def keep_data(run: Run, data: str, dataset: Dataset, parts: Mapping[str, Part]) -> None:
    """Write what the data of a run are into its folder; `parts` is their `summary`."""
    places = []
    if data not in names():
        path = Path(os.path.expanduser(data)).resolve()
        places = [os.path.relpath(path, run.folder.resolve()), str(path)]
    decisions = dataset.decisions
    record = {
        "data": data,
        "places": places,
        "shape": list(dataset.image_shape),
        "parts": parts,
        "decisions": None if decisions is None else decisions.as_dict(),
    }
    write_json(run.data, record, within=run.folder)


def kept_data(run: Run) -> DataRecord | None:
    """Return what a run keeps of its data; None, with a warning if it is damaged, where nothing."""
    remedy = "Whether the data have changed is not checked."
    return read_or(_read, run.data, None, remedy)


def located(data: str, run: Run, record: DataRecord | None) -> str:
    """Return where the data of a run are now: as given, or as seen from its folder.

    Raises:
        ConfigurationError: they are nowhere; it says where it looked, and how to say where they
            are.
    """
    if data in names():
        return data
    places = [Path(os.path.expanduser(data)), run.folder / data, run.folder.parent / data]
    if record is not None and record.data == data:
        places[1:1] = [run.folder / place for place in record.places]
    for place in places:
        if place.exists():
            return str(place) if place != places[0] else data
    if Path(data).name == data and record is None:
        return data  # It may be the misspelled name of a data set: `load` says so.
    looked = ", ".join(dict.fromkeys(os.path.abspath(place) for place in places))
    raise ConfigurationError(
        f"The data of {run.folder}, {data}, are not there. Looked for: {looked}. Say where they "
        "are: --data PATH."
    )


def tell_later(run: Run, dataset: Dataset, record: DataRecord | None, *, own: bool) -> None:
    """Say in one line what data are that a trained run is given."""
    given = dataset.test.source
    if own:
        say(f"{given}: the images that {run.folder} was trained on")
    elif record is None:
        say(
            f"{given}: {run.folder} does not say what it was trained on, so all of these images "
            "are taken, whether it knows them or not"
        )
    else:
        say(f"{given}: read like the images of {run.folder}: {record.treatment}")


def _read(path: Path) -> DataRecord:
    """Return the record in a `data.json`.

    Raises:
        FileNotFoundError: there is no such file.
        RunFileError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        found = json.loads(read_text(path, largest=_LARGEST))
    except (ValueError, RecursionError):
        raise RunFileError("it is not JSON.") from None
    data, places, shape, parts = _fields(found)
    try:
        decisions = Decisions.from_dict(found.get("decisions") or {})
    except PyroVAEError as error:
        raise RunFileError(f"its decisions are none: {error}.") from None
    except TypeError:
        raise RunFileError("its decisions are not those of data.") from None
    return DataRecord(data, tuple(places), tuple(shape), parts, decisions)


def _fields(found: Any) -> tuple[str, list[str], list[int], dict[str, Part]]:
    if not isinstance(found, dict):
        raise RunFileError("it must hold names and values.")
    data, places = found.get("data"), found.get("places")
    shape, parts = found.get("shape"), found.get("parts")
    if not isinstance(data, str) or "\0" in data:
        raise RunFileError(f"its data, {shown(data)}, are not a name or a path.")
    if not isinstance(places, list) or not all(
        isinstance(place, str) and "\0" not in place for place in places
    ):
        raise RunFileError("its places must be a list of paths.")
    if not isinstance(shape, list) or len(shape) != 3 or not all(map(_is_size, shape)):
        raise RunFileError("its shape must be three numbers, (C, H, W).")
    if not isinstance(parts, dict) or not all(map(_is_part, parts.values())):
        raise RunFileError("its parts must hold numbers of images and checksums.")
    return data, places, shape, parts


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 < size < 1 << 16


def _is_part(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and type(part.get("images")) is int
        and isinstance(part.get("content"), str)
        and isinstance(part.get("names"), str | None)
    )


def summary(dataset: Dataset) -> dict[str, Part]:
    """Return the number and the checksums of the images of each part, by its name."""
    return {name: _part_of(images) for name, images in dataset.parts.items()}


def _part_of(images: ImageData) -> Part:
    listed = None if images.names is None else "\n".join(images.names).encode(errors="replace")
    named = None if listed is None else f"{zlib.crc32(listed):08x}"
    return {"images": len(images), "names": named, "content": _content(images)}


def _content(images: ImageData) -> str:
    """Return a checksum of the levels of images, and of their labels."""
    if images.streamed:
        places = torch.linspace(0, len(images) - 1, min(SAMPLED, len(images)), device="cpu").long()
        chunks = iter([images.levels(places)])
    else:
        starts = range(0, len(images), CHUNK)
        chunks = (images.levels(slice(start, start + CHUNK)) for start in starts)
    total = 0
    for levels in chunks:
        total = zlib.crc32(levels.cpu().numpy().tobytes(), total)
    if images.labels is not None:
        total = zlib.crc32(images.labels.cpu().numpy().tobytes(), total)
    return f"{total:08x}"


def _difference(before: Part | None, now: Part | None) -> str:
    """Return how a part has changed."""
    if before is None or now is None:
        return "there was no such part" if before is None else "the part is gone"
    if before["images"] != now["images"]:
        return f"{before['images']:,} images then, {now['images']:,} now"
    if before["names"] != now["names"] and before["names"] and now["names"]:
        return "files of other names"
    return "other pixels or classes" if before["content"] != now["content"] else ""
