"""Whether the C library keeps freed memory: a setting of the whole process, for programs only."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next allocation; do nothing elsewhere.

    By default, glibc returns every large block to the system, so that the memory of every
    activation is zeroed and page-faulted again at each step: convolutional training on a CPU was
    measured to take 1.6 times as long. With this, the process keeps the memory of its largest step.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # The C library is another one, such as musl.
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # This is the largest value that glibc accepts.
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)
