"""Whether images fit in memory, and what is done where they do not."""

import os
from collections.abc import Iterator
from pathlib import Path

from pyro_vae.data.messages import DataError, say
from pyro_vae.data.settings import Settings

_SHARE = 0.5  # of the memory, that images may take
#: Where Linux says how much memory a container may take; "max" and the like: as much as there is.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def to_stream(
    count: int, shape: tuple[int, int, int], settings: Settings, source: str, copies: int = 1
) -> bool:
    """Whether images stay in their files: if so chosen, or else if they would fill the memory.

    Args:
        count: how many images there are.
        shape: (C, H, W), as they would be held.
        settings: say what was chosen.
        source: where they come from, for people.
        copies: how often they are in memory at once while they are read.
    """
    if settings.stream is not None:
        return settings.stream
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


def refuse_too_large(needed: int, settings: Settings, source: str, remedy: str) -> None:
    """Refuse what cannot be held, before the system ends the program for it, unless so chosen.

    Raises:
        DataError: more bytes are needed than there is memory; says so, and the remedy.
    """
    memory = memory_bytes()
    if settings.stream is None and needed > memory:
        raise DataError(
            f"{source} would take {needed / 1e9:.1f} GB of memory, and this machine has "
            f"{memory / 1e9:.1f}: {remedy}"
        )


def memory_bytes() -> int:
    """The memory of this machine, or of the container in which this runs."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_container_limits()])


def _container_limits() -> Iterator[int]:
    for path in _LIMITS:
        try:
            yield int(path.read_text())
        except (OSError, ValueError):
            continue
