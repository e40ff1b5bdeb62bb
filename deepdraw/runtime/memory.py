"""Makes the process keep the memory that it frees, so that the next step can use it again."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory. With another C library this does nothing.

    By default, large buffers such as activations go back to the system after each use, and the system clears them page
    by page before it hands them out again. That takes a quarter of a small network's step on a CPU. The price is that
    the process keeps as much memory as it ever needed.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 64 << 20)):
            mallopt(option, value)
