"""The options of `load` that shape the data, checked once and passed to every loader."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from pyro_vae.data.decisions import Decisions, Range, check_frames, check_ground, checked_range
from pyro_vae.data.messages import DataError

_LARGEST_SIDE = 16_384  # pixels
_MOST_SEEDS = 2**63
AUTO = "auto"


@dataclass(frozen=True)
class LoadOptions:
    """The options of `pyro_vae.data.load`, which explains each.

    Raises:
        DataError: a value is of the wrong type or out of range.
    """

    size: int | tuple[int, int] | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    divide: bool = True
    test_fraction: float = 0.1
    seed: int = 0
    stream: bool | None = None
    stretch: Range | str | None = None
    ground: str | None = None
    frames: str | None = None
    decisions: Decisions | None = None

    def __post_init__(self) -> None:
        self._check_size()
        object.__setattr__(self, "stretch", _checked_stretch(self.stretch))
        check_ground(self.ground)
        check_frames(self.frames)
        if not isinstance(self.decisions, Decisions | None):
            raise DataError(
                "decisions must be those of a data set (Dataset.decisions), not "
                f"{self.decisions!r:.100}"
            )
        if self.channels is not None and (
            not is_whole(self.channels) or self.channels not in (1, 3)
        ):
            raise DataError(f"channels must be 1 (gray) or 3 (RGB), not {self.channels!r}")
        if not isinstance(self.skip_corrupt, bool):
            raise DataError(f"skip_corrupt must be True or False, not {self.skip_corrupt!r}")
        if not isinstance(self.divide, bool):
            raise DataError(f"divide must be True or False, not {self.divide!r}")
        fraction: Any = self.test_fraction
        if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
            raise DataError(f"test_fraction must be between 0 and 1, not {fraction!r}")
        check_seed(self.seed)
        if self.stream is not None and not isinstance(self.stream, bool):
            raise DataError(f"stream must be True, False or None, not {self.stream!r}")

    @property
    def given(self) -> Decisions:
        """What is decided before the data are looked at: the record, overridden by the options."""
        record = self.decisions or Decisions()
        stretch = self.stretch if isinstance(self.stretch, tuple) else record.stretch
        return replace(
            record,
            stretch=None if self.stretch == AUTO else stretch,
            ground=self.ground or record.ground,
            frames=self.frames or record.frames,
            channels=self.channels or record.channels,
        )

    def _check_size(self) -> None:
        size: Any = self.size
        if size is None:
            return
        pair = isinstance(size, Sequence) and not isinstance(size, str | bytes)
        sides = list(size) if pair else [size]
        if len(sides) != (2 if pair else 1) or not all(is_whole(side) for side in sides):
            raise DataError(f"size must be a whole number of pixels, or two (H, W), not {size!r}")
        if min(sides) < 1:
            raise DataError(f"size must be 1 pixel or more, not {size}")
        if max(sides) > _LARGEST_SIDE:
            raise DataError(f"size must be at most {_LARGEST_SIDE:,} pixels per side, not {size}")

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The chosen size (H, W) in pixels, or None."""
        if self.size is None:
            return None
        if isinstance(self.size, Sequence):
            return int(self.size[0]), int(self.size[1])
        return int(self.size), int(self.size)


def _checked_stretch(value: Any) -> Range | str | None:
    """Return a range, given as two numbers or as "LOW:HIGH"; "auto" and None stay."""
    if value is None or value == AUTO:
        return value
    pair: Any = value
    if isinstance(value, str):
        try:
            pair = [float(each) for each in value.split(":")]
        except ValueError:
            pair = ()
        if len(pair) != 2:
            raise DataError(
                f"stretch must be auto, or the values that become black and white, such as "
                f"0:4095, not {value!r:.100}"
            )
    return checked_range("stretch", pair)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_seed(seed: Any) -> None:
    """Refuse what does not seed a random number generator.

    Raises:
        DataError: the seed is not a whole number from 0 to 2^63 - 1.
    """
    if not is_whole(seed) or not 0 <= seed < _MOST_SEEDS:
        raise DataError(f"seed must be a whole number from 0 to 2^63 - 1, not {seed!r}")
