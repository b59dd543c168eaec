"""Values of any type as levels 0 to 255: which value becomes black, which white, and what is said.

| values | become 0 and 255 |
|---|---|
| booleans, and whole numbers that are all 0 or 1 | 0 and 1 |
| bytes, and other whole numbers up to 255 | 0 and 255 |
| 16 bits | 0 and 65,535 |
| floats in [0, 1], give or take rounding | 0 and 1 |
| anything else | nothing is guessed: `stretch` must say |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyro_vae.data.decisions import Range
from pyro_vae.data.messages import DataError, say, warn

#: The range of bytes, which are levels already.
BYTES: Range = (0.0, 255.0)
_UNIT: Range = (0.0, 1.0)
_ROUNDING = 1e-3  # of floats beyond 0 and 1: a quarter of a level
_FEW = 16  # levels out of 256: fewer look black
_SMALL_SHARE = 0.25  # of the range of 16 bits: less leaves fewer than 64 levels
_16_BITS = 65535
_CHUNK = 2**22  # values looked at at a time


@dataclass(frozen=True)
class Extent:
    """The smallest and the largest of some values, and whether all are whole numbers."""

    low: float
    high: float
    whole: bool

    def joined(self, other: "Extent | None") -> "Extent":
        """Return the extent of both."""
        if other is None:
            return self
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Extent(low, high, self.whole and other.whole)


def extent_of(values: np.ndarray, what: str = "", enough: float = math.inf) -> Extent:
    """Return the extent of an array of numbers, which may lie in a file.

    Args:
        values: the numbers; they are looked at in chunks.
        what: their name in messages.
        enough: look no further than a chunk that holds a larger number.

    Raises:
        DataError: some are not finite.
    """
    found: Extent | None = None
    step = max(1, _CHUNK * len(values) // values.size)
    for start in range(0, len(values), step):
        found = _extent_of(values[start : start + step], what).joined(found)
        if found.high > enough:
            break
    assert found is not None, "There are no values."
    return found


def _extent_of(values: np.ndarray, what: str) -> Extent:
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{what} holds values that are not finite: replace them first".strip())
    whole = values.dtype.kind != "f" or bool((values == np.floor(values)).all())
    return Extent(float(low), float(high), whole)


def kind_of(dtype: np.dtype) -> str:
    """Return the kind of an array's values, as `Decisions.ranges` names it."""
    if dtype in (np.bool_, np.uint8, np.uint16):
        return str(dtype)
    return "float" if dtype.kind == "f" else "int"


def natural_range(kind: str, found: Extent) -> Range | None:
    """Return the values that become levels 0 and 255, by this module's table; None: not clear."""
    low, high = found.low, found.high
    if kind == "bool":
        return 0.0, 1.0
    if kind == "float" and low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return 0.0, 1.0
    if low < 0 or not found.whole:
        return None
    if high == 1:
        return 0.0, 1.0
    if high <= 255:
        return 0.0, 255.0
    return (0.0, float(_16_BITS)) if kind in ("uint16", "int32") and high <= _16_BITS else None


def to_levels(values: np.ndarray, limits: Range) -> np.ndarray:
    """Return values as levels: uint8, `limits` at 0 and 255, and what lies beyond cut off."""
    low, high = limits
    if values.dtype == np.uint8 and limits == BYTES:
        return values
    if limits == BYTES and values.dtype.kind in "iu":
        return values.clip(0, 255).astype(np.uint8)
    if values.dtype in (np.bool_, np.float16):
        values = values.astype(np.uint8 if values.dtype == np.bool_ else np.float32)
    scaled = (values - low if low else values) * (255 / (high - low))
    np.rint(scaled, out=scaled)
    return scaled.clip(0, 255, out=scaled).astype(np.uint8)


def unclear(what: str, kind: str, found: Extent) -> DataError:
    """Return the refusal of values whose range cannot be guessed, with what to write."""
    low, high = _rounded_out(found)
    return DataError(
        f"{what} holds {kind} from {found.low:g} to {found.high:g}: scale it to floats in [0, 1], "
        "or to whole numbers from 0 to 255, or name the values that become black and white, which "
        f"are not guessed, with stretch=({low:g}, {high:g}) (--stretch={low:g}:{high:g})"
    )


def _rounded_out(found: Extent) -> Range:
    """Return a range that people would write: -1 to 1 and 0 to 255 where the values fit."""
    for low, high in ((-1.0, 1.0), (0.0, 255.0), (0.0, 4095.0), (-1024.0, 3071.0)):
        if low <= found.low and found.high <= high and found.high - found.low > (high - low) / 2:
            return low, high
    step = max(found.high - found.low, 1e-6) / 100
    return float(f"{found.low - step:.3g}"), float(f"{found.high + step:.3g}")


def stretch_range(extents: Mapping[str, Extent]) -> Range | None:
    """Return the range of all values, which are to be stretched over all levels.

    None for values that are all the same.
    """
    low = min(each.low for each in extents.values())
    high = max(each.high for each in extents.values())
    return (low, high) if low < high else None


def tell_range(what: str, kind: str, found: Extent, limits: Range, *, chosen: bool) -> None:
    """Say in one line how values become levels; warn if some are cut off, or few are left."""
    low, high = limits
    values = f"{found.low:g} to {found.high:g}"
    if found.low < low - _ROUNDING * (high - low) or found.high > high + _ROUNDING * (high - low):
        warn(
            f"{what}: values run from {values}, and those beyond {low:g} to {high:g} are cut off: "
            "choose another range with stretch= (--stretch)"
        )
    elif chosen:
        say(f"{what}: values from {low:g} to {high:g} stretched to levels 0 to 255")
    elif high == _16_BITS:
        used = f"{what}: 16 bits became 8; values run from {values} of {_16_BITS}"
        if found.high - found.low >= _SMALL_SHARE * _16_BITS or found.high == found.low:
            say(used)
        else:
            left = round(found.high * 255 / high) - round(found.low * 255 / high) + 1
            warn(
                f"{used}, which leaves {left} of 256 levels: stretch them over all with "
                "stretch='auto' (--stretch auto)"
            )
    elif limits == _UNIT and kind != "bool":
        beyond = found.high > 1 or found.low < 0
        exact = f"{found.low:.9g} to {found.high:.9g}"
        note = f"; values run from {exact}, and what lies beyond is rounding" if beyond else ""
        shown = "floats in [0, 1]" if kind == "float" else "binary values"
        say(f"{what}: {shown} scaled to 0 to 255{note}")
    elif kind not in ("uint8", "bool"):
        say(f"{what}: {kind} values from {values} taken as levels, 0 to 255")


def warn_of_plain(images: Tensor, what: str, ranges: Mapping[str, Range]) -> None:
    """Warn of images, uint8 of shape (N, C, H, W), in which there is little to see."""
    if len(images):
        flat = images.flatten(1)
        warn_of_extremes(flat.amin(1), flat.amax(1), what, ranges)


def warn_of_extremes(lows: Tensor, highs: Tensor, what: str, ranges: Mapping[str, Range]) -> None:
    """Warn of images in which there is little to see: constant ones, or a few dark levels.

    Args:
        lows: the lowest level of each image, (N,).
        highs: the highest level of each image, (N,).
        what: the images, as shown to people.
        ranges: the values that became levels: of 16 bits, few levels have been warned of already.
    """
    if not len(lows):
        return
    constant, count = int((lows == highs).sum()), len(lows)
    top = int(highs.max())
    if constant == count:
        shown = {0: "black", 255: "white"}.get(top, f"of one level ({top})")
        same = f"all are {shown}" if int(lows.min()) == top else "each is of one level"
        warn(f"{what}: every image is constant, {same}: there is nothing to learn from them")
    elif top < _FEW and _16_BITS not in [high for _, high in ranges.values()]:
        warn(
            f"{what}: the images use only levels 0 to {top} of 255 ({top / 255:.0%}) and look "
            "black: stretch them over all levels with stretch='auto' (--stretch auto)"
        )
    elif 2 * constant >= count:
        warn(f"{what}: {constant} of {count} images are constant: nothing is to be seen in them")
