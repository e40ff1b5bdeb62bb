"""Memory that the process has freed stays with it, for the next step to use."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed; does nothing where the C library is another.

    By default large buffers, such as activations, go back to the system after each use, which hands them out anew
    zeroed and page by page: a quarter of the time of a small network's step on a CPU. The process then holds the
    most that it ever needed.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 64 << 20)):
            mallopt(option, value)
