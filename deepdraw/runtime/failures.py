"""What ends a command in one line: bad input, and what disk, memory, processes and the machine refuse."""

from __future__ import annotations

import errno
import re
from contextlib import suppress

FIXES = {  # of what an operating system refuses, beside the file and the reason
    errno.ENOSPC: "free some space, or choose another disk, and run the same command again",
    errno.EDQUOT: "free some of your quota, or choose another disk, and run the same command again",
    errno.EROFS: "choose a directory on a disk that can be written",
    errno.EACCES: "choose a directory that you may write, or have its owner let you",
    errno.EPERM: "choose a directory that you may write, or have its owner let you",
    errno.EMFILE: "raise `ulimit -n`, or use fewer data.num_workers",
    errno.ENFILE: "close other programs, or use fewer data.num_workers",
    errno.ENOMEM: "use a smaller data.batch_size, fewer data.num_workers, or a machine with more memory",
    errno.ENOENT: "put it back, or correct the path",
    errno.EIO: "look after the disk, and run the same command again",
    errno.EFBIG: "raise `ulimit -f`, or choose a file system for larger files",
}
MEMORY = FIXES[errno.ENOMEM]
OUT_OF_MEMORY = re.compile(r"(?i)out of memory|can't allocate memory|cannot allocate memory|Unable to mmap|bad_alloc")
WORKER = re.compile(
    r"DataLoader worker \(pid\(?s?\)? ?(?P<pid>[\d, ]+)\) ?(is killed by signal: (?P<signal>\w+)|exited)"
)
PEER = re.compile(r"(?i)connection (closed|reset) by peer|\[.*gloo.*\]|nccl|process group|Broken pipe|timed out.*rank")


def failure_line(error: BaseException | None) -> str | None:
    """What to say, in one line, of an exception that the user or the machine caused; None for a fault of the code."""
    if isinstance(error, ValueError | FloatingPointError):
        return one_line(error)
    if isinstance(error, OSError):
        return _disk_line(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({one_line(error) or 'MemoryError'}): {MEMORY}"
    if isinstance(error, RuntimeError):
        return _runtime_line(error)
    return None


def one_line(error: BaseException) -> str:
    """What it says, in one line."""
    message = str(error).rpartition("\nValueError: ")[2]  # a worker process sends its traceback ahead of it
    return " ".join(message.split())


def _disk_line(error: OSError) -> str:
    reason = error.strerror or one_line(error) or type(error).__name__
    fix = FIXES.get(error.errno or 0, "see to it, and run the same command again")
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(files) or 'a file'}: {reason}: {fix}"


def _runtime_line(error: RuntimeError) -> str | None:
    message = one_line(error)
    with suppress(ImportError):
        import sys

        torch = sys.modules.get("torch")
        if torch is not None and isinstance(error, torch.OutOfMemoryError):
            return f"there is not enough memory ({message.split('. ')[0]}): {MEMORY}"
    if OUT_OF_MEMORY.search(message):
        return f"there is not enough memory ({message[:200]}): {MEMORY}"
    if worker := WORKER.search(message):
        how = f"was killed ({worker['signal']})" if worker["signal"] else "has ended"
        return (
            f"a loader process (pid {worker['pid'].strip()}) {how}, as when memory runs out: use fewer "
            "data.num_workers or a smaller data.batch_size, and run the same command again"
        )
    return None
