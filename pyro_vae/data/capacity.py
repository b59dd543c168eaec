"""Whether images fit in memory, and what happens if they do not."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from pyro_vae.data.messages import DataError, say
from pyro_vae.data.options import LoadOptions

_SHARE = 0.5  # the part of the memory that images may take
_UNPACKED = 2**28  # bytes that any file may unpack to
_MOST_PACKED = 200  # how many times smaller a file of images may be; that of dSprites is 115 times
#: Where Linux states the memory limit of a container, which psutil does not know. No limit is
#: written as "max", or as a number larger than any memory.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def should_stream(
    count: int, shape: tuple[int, int, int], options: LoadOptions, source: str, copies: int = 1
) -> bool:
    """Decide whether images stay in their files: by choice, or because they would fill the memory.

    Args:
        count: number of images.
        shape: (C, H, W), as they would be held in memory.
        options: may make the choice, by `stream`.
        source: where the images come from, as shown to people.
        copies: number of copies that are in memory at once while they are read.
    """
    if options.stream is not None:
        return options.stream
    channels, height, width = shape
    needed, memory = copies * count * channels * height * width, memory_bytes()
    if needed <= _SHARE * memory:
        return False
    say(
        f"{source}: {count} images of {channels}×{height}×{width} would take {needed / 1e9:.1f} of "
        f"this machine's {memory / 1e9:.1f} GB of memory: they stay in their files and are read "
        "batch by batch; a smaller size (size=64, --size 64) may fit, and trains faster"
    )
    return True


def refuse_too_large(needed: int, options: LoadOptions, source: str, remedy: str) -> None:
    """Refuse to load what does not fit in memory, unless `stream=False` insists on it.

    The operating system would end the program otherwise.

    Args:
        needed: bytes of memory.
        options: insist on it, or not, by `stream`.
        source: what would take the memory, as shown to people.
        remedy: what to do instead, as shown to people.

    Raises:
        DataError: more bytes are needed than there is memory.
    """
    if options.stream is None:
        require_memory(needed, source, remedy)


def require_memory(needed: int, source: str, remedy: str) -> None:
    """Refuse what would take more memory than there is; see `refuse_too_large`."""
    memory = memory_bytes()
    if needed > memory:
        raise DataError(
            f"{source} would take {needed / 1e9:.1f} GB of memory, and this machine has "
            f"{memory / 1e9:.1f}: {remedy}"
        )


def refuse_unfolding(unpacked: int, stored: int, options: LoadOptions, source: str) -> None:
    """Refuse a small file that unpacks to a huge one, unless `stream=False` insists on it.

    Args:
        unpacked: bytes once unpacked.
        stored: bytes of the file.
        options: insist on it, or not, by `stream`.
        source: the file, as shown to people.

    Raises:
        DataError: the content is larger than images compress to.
    """
    if options.stream is None and unpacked > max(_UNPACKED, _MOST_PACKED * stored):
        raise DataError(
            f"{source} unpacks from {stored:,} to {unpacked:,} bytes, more than images do: if you "
            "trust it, load it with stream=False (--stream false)"
        )


def memory_bytes() -> int:
    """Return the memory of this machine, or the limit of the container if that is lower."""
    return min([psutil.virtual_memory().total, *_container_limits()])


def _container_limits() -> Iterator[int]:
    for path in _LIMITS:
        try:
            yield int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
