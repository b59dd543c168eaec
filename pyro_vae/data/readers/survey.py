"""A look at the images of a folder before they are read: what their values, colors and grounds are.

Whatever is decided is decided for all parts together, and said in one line.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pyro_vae.data.decisions import GROUNDS, KEEP, Decisions
from pyro_vae.data.levels import (
    BYTES,
    Extent,
    natural_range,
    stretch_range,
    tell_range,
    unclear,
)
from pyro_vae.data.messages import DataError, say, warn
from pyro_vae.data.options import AUTO, LoadOptions
from pyro_vae.data.readers.image_formats import Frame, Header, Look

Looks = Callable[[Sequence[Frame]], Iterator[tuple[Frame, Look]]]

_SAMPLE = 1000  # transparent images from which the ground is chosen
_OTHER_SPACES = frozenset(("CMYK", "YCbCr", "LAB", "HSV"))  # of color, as Pillow names them
_ORDINARY = 15  # a level above which bytes are neither masks nor label maps


@dataclass
class _Seen:
    """What was seen of the images so far."""

    extents: dict[str, Extent] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unclear: int = 0
    transparent: int = 0
    plain: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GROUNDS, 0))

    def add(self, header: Header, look: Look) -> None:
        kind = header.kind
        self.extents[kind] = look.extent.joined(self.extents.get(kind))
        self.counts[kind] += 1
        self.unclear += natural_range(kind, look.extent) is None
        self.transparent += header.transparent
        for ground in look.plain:
            self.plain[ground] += 1


def surveyed(
    frames: Sequence[Frame],
    header_of: Callable[[Frame], Header],
    looks: Looks,
    options: LoadOptions,
    source: str,
) -> Decisions:
    """Return the decisions for images, from the options, a record, or the images themselves.

    Args:
        frames: the images of all parts.
        header_of: returns the header of an image.
        looks: decodes images, and yields what each tells.
        options: may decide, or hold the decisions of another run.
        source: the images, as shown to people.

    Raises:
        DataError: the range of the values is not clear.
    """
    given = options.given
    if given.ground == KEEP:
        raise DataError(
            f"{source}: ground={KEEP} (--ground {KEEP}) is for arrays of 4 channels; for image "
            f"files choose one of {', '.join(GROUNDS)}"
        )
    if given.rules == 1:
        gray = all(header_of(frame).gray_mode for frame in frames)
        return replace(given, ground="white", channels=given.channels or (1 if gray else 3))
    seen = _Seen()
    colored = _look_at_all(frames, header_of, looks, options, seen)
    reduced = sum(header_of(frame).reduced for frame in frames)
    if reduced:
        say(f"{source}: {reduced} color images: 16 bits became 8")
    spaces = Counter(header_of(frame).mode for frame in frames)
    for space in sorted(_OTHER_SPACES & spaces.keys()):
        say(
            f"{source}: {spaces[space]} {space} images are converted to RGB, without color profiles"
        )
    decisions = _with_ranges(given, seen, len(frames), options, source)
    if any(header_of(frame).transparent for frame in frames):
        decisions = replace(decisions, ground=_ground(given, seen, source))
    if not colored and given.channels is None:
        stored = [header_of(frame) for frame in frames]
        if not all(header.gray_mode for header in stored):
            say(f"{source}: no image has colors: 1 channel; channels=3 (--channels 3) keeps three")
    return replace(decisions, channels=_channels(given, options, source, colored=colored))


def _look_at_all(
    frames: Sequence[Frame],
    header_of: Callable[[Frame], Header],
    looks: Looks,
    options: LoadOptions,
    seen: _Seen,
) -> bool:
    """Look at as many images as the decisions need, and return whether any has colors."""
    given = options.given
    all_values = options.stretch == AUTO
    deep = [frame for frame in frames if header_of(frame).kind not in ("uint8", "bool")]
    through = [frame for frame in frames if header_of(frame).transparent]
    flat = [f for f in frames if header_of(f).kind == "uint8" and not header_of(f).transparent]
    for frame, look in looks(deep):
        seen.add(header_of(frame), look)
    step = max(1, -(-len(through) // _SAMPLE))
    for frame, look in looks(through[::step]):
        seen.add(header_of(frame), look)
    if flat and (all_values or not through):
        for frame, look in looks(flat):
            seen.add(header_of(frame), look)
            if not all_values and look.extent.high > _ORDINARY:
                seen.extents["uint8"] = Extent(0, 255, whole=True)
                break
    elif flat:
        seen.extents["uint8"] = Extent(0, 255, whole=True)
    if given.channels is not None and options.channels is not None:
        return given.channels != 1
    return _any_color(frames, header_of, looks)


def _any_color(frames: Sequence[Frame], header_of: Callable[[Frame], Header], looks: Looks) -> bool:
    grays = [header_of(frame).gray for frame in frames]
    if any(gray is False for gray in grays):
        return True
    unknown = [frame for frame, gray in zip(frames, grays, strict=True) if gray is None]
    return any(not look.gray for _, look in looks(unknown))


def _with_ranges(
    given: Decisions, seen: _Seen, total: int, options: LoadOptions, source: str
) -> Decisions:
    """Decide which values become levels 0 and 255, and say it."""
    if options.stretch == AUTO and seen.extents:
        stretch = stretch_range(seen.extents)
        given = replace(given, stretch=stretch)
    ranges = dict(given.ranges)
    for kind, extent in seen.extents.items():
        count = seen.counts[kind]
        what = f"{source}: {count} images" if kind != "uint8" else source
        natural = ranges.get(kind) or natural_range(kind, extent)
        if kind == "float" and natural == BYTES and extent.high <= _ORDINARY:
            natural = None  # Whole by chance: no float files of levels are as dark as that.
        limits = given.stretch or natural
        if limits is None:
            if 2 * seen.unclear > total:
                raise unclear(source, f"{kind} values", extent)
            continue  # A few among others: each is a fault, reported with its name.
        if natural is not None:
            ranges[kind] = natural
        tell_range(what, kind, extent, limits, chosen=given.stretch is not None)
    return replace(given, ranges=ranges)


def _ground(given: Decisions, seen: _Seen, source: str) -> str:
    """Choose the ground on which the fewest transparent images show nothing, white if possible."""
    plain = seen.plain
    chosen = given.ground or min(GROUNDS, key=plain.__getitem__)
    lost = plain[chosen]
    best = min(GROUNDS, key=plain.__getitem__)
    if lost and plain[best] < lost:
        warn(
            f"{source}: on {chosen}, nothing is to be seen in {lost} of {seen.transparent} "
            f"transparent images: choose ground={best!r} (--ground {best})"
        )
    elif lost:
        warn(
            f"{source}: nothing is to be seen in {lost} of {seen.transparent} transparent images "
            f"on {chosen}, nor on another ground"
        )
    else:
        why = "" if chosen == "white" or given.ground else ", on which more is seen than on white"
        say(
            f"{source}: transparent images are put on {chosen}{why}; choose another with ground= "
            "(--ground)"
        )
    return chosen


def _channels(given: Decisions, options: LoadOptions, source: str, *, colored: bool) -> int:
    if given.channels is None:
        return 3 if colored else 1
    if options.channels is None and given.channels == 1 and colored:
        warn(f"{source}: color images are made gray, as the images of the record are")
    return given.channels
