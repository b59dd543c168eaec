"""What was decided about data when they were read: `Decisions`, which a run keeps.

Data that a run is given later are read by the same decisions (`load(..., decisions=...)`), so that
they are treated like the images that the run was trained on.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any

from pyro_vae.data.messages import DataError

Range = tuple[float, float]

#: The level of each ground that transparent images may be put on.
GROUNDS = {"white": 255, "black": 0, "gray": 128}
#: A fourth channel of an array that is not transparency is kept.
KEEP = "keep"
FRAMES = ("all", "first")
_RULES = (1, 2, 3)


@dataclass(frozen=True)
class Decisions:
    """The decisions about data: what each value, channel, frame and folder was taken for.

    Raises:
        DataError: a value is of the wrong type or out of range.

    >>> seen = Decisions(ranges={"uint16": (0, 65535)}, ground="white", channels=1)
    >>> Decisions.from_dict(seen.as_dict()) == seen
    True
    """

    rules: int = 3
    """1: as version 0.2 read data, for runs without a record. 2: as the first records have it, when
    frames of one file could lie in several parts. 3: today's rules."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Kind of values ("uint8", "uint16", "float", ...) -> those that became levels 0 and 255."""
    stretch: Range | None = None
    """The values of any kind that became levels 0 and 255, where they were chosen."""
    ground: str | None = None
    """What transparent images were put on: "white", "black" or "gray"; "keep" for none."""
    frames: str | None = None
    """Which frames of a stack or a film are images: "all" or "first"."""
    channels: int | None = None
    """Channels of each image."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part ("train", "validation", "test") -> the folder or array that it was read from."""
    class_names: tuple[str, ...] | None = None
    """The name of each class, in the order of the labels."""

    def __post_init__(self) -> None:
        if self.rules not in _RULES or isinstance(self.rules, bool):
            raise DataError(f"rules must be 1, 2 or 3, not {self.rules!r}")
        ranges = _mapping("ranges", self.ranges)
        object.__setattr__(self, "ranges", {k: checked_range(k, v) for k, v in ranges.items()})
        if self.stretch is not None:
            object.__setattr__(self, "stretch", checked_range("stretch", self.stretch))
        check_ground(self.ground)
        check_frames(self.frames)
        channels: Any = self.channels
        if channels is not None and (isinstance(channels, bool) or not isinstance(channels, int)):
            raise DataError(f"channels must be a whole number, not {channels!r}")
        parts = _mapping("parts", self.parts)
        if not all(isinstance(place, str) for place in parts.values()):
            raise DataError(f"parts must map names to places, not {parts!r:.200}")
        object.__setattr__(self, "parts", dict(parts))
        self._check_class_names()

    def _check_class_names(self) -> None:
        names: Any = self.class_names
        if names is None:
            return
        if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
            raise DataError(f"class_names must be a tuple of names, not {names!r:.200}")
        object.__setattr__(self, "class_names", tuple(names))

    def as_dict(self) -> dict[str, Any]:
        """Return the decisions as plain values, which JSON and YAML can hold."""
        values = asdict(self)
        values["ranges"] = {kind: list(each) for kind, each in self.ranges.items()}
        values["stretch"] = None if self.stretch is None else list(self.stretch)
        values["class_names"] = None if self.class_names is None else list(self.class_names)
        return values

    @classmethod
    def from_dict(cls, values: Any) -> "Decisions":
        """Return the decisions that `as_dict` returned as plain values.

        Raises:
            DataError: the values are not those of decisions.
        """
        known = {each.name for each in fields(cls)}
        if not isinstance(values, Mapping) or not set(values) <= known:
            raise DataError(
                f"decisions must be a dict with the keys {', '.join(sorted(known))}, not "
                f"{values!r:.200}"
            )
        return cls(**values)


def checked_range(what: str, value: Any) -> Range:
    """Return two numbers, the first below the second.

    Raises:
        DataError: they are not.
    """
    pair = list(value) if isinstance(value, tuple | list) else []
    numbers = all(isinstance(each, Real) and not isinstance(each, bool) for each in pair)
    if len(pair) != 2 or not numbers or not all(map(math.isfinite, pair)) or pair[0] >= pair[1]:
        raise DataError(
            f"{what} must be two numbers, the first below the second: the values that become "
            f"black and white; not {value!r:.100}"
        )
    return float(pair[0]), float(pair[1])


def check_ground(value: Any) -> None:
    """Refuse what transparent images cannot be put on."""
    if value is not None and (not isinstance(value, str) or value not in (*GROUNDS, KEEP)):
        raise DataError(f"ground must be one of {', '.join((*GROUNDS, KEEP))}, not {value!r:.100}")


def check_frames(value: Any) -> None:
    """Refuse what is not a choice of frames."""
    if value is not None and (not isinstance(value, str) or value not in FRAMES):
        raise DataError(f"frames must be one of {', '.join(FRAMES)}, not {value!r:.100}")


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DataError(f"{what} must be a dict by name, not {value!r:.200}")
    return value


#: How version 0.2 read data; a run without a record of its decisions is read in this way.
VERSION_0_2 = Decisions(rules=1, ground="white", frames="first")
