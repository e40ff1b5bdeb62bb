"""Turns exceptions from bad input, the disk, memory, processes and the network into one-line messages."""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import suppress

from deepdraw.runtime.display import shown

MEMORY_FIX = "use a smaller data.batch_size, fewer data.num_workers, or a machine with more memory"
RERUN = "and run the same command again"
FIXES = {  # what the user can do about each error of the operating system
    errno.ENOSPC: f"free some space, or choose another disk, {RERUN}",
    errno.EDQUOT: f"free some of your quota, or choose another disk, {RERUN}",
    errno.EROFS: "choose a directory on a disk that can be written",
    errno.EACCES: "choose a directory that you may use, or have its owner let you",
    errno.EPERM: "choose a directory that you may use, or have its owner let you",
    errno.EMFILE: "raise `ulimit -n`, or use fewer data.num_workers",
    errno.ENFILE: "close other programs, or use fewer data.num_workers",
    errno.EAGAIN: "raise `ulimit -u`, or use fewer data.num_workers",
    errno.ENOMEM: MEMORY_FIX,
    errno.ENOENT: "put it back, or correct the path",
    errno.EIO: f"check the disk, {RERUN}",
    errno.EFBIG: "raise `ulimit -f`, or choose a file system for larger files",
    errno.EPIPE: f"keep what reads it open, {RERUN}",
}
NETWORK_ERRORS = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH)
FIXES |= dict.fromkeys((*NETWORK_ERRORS, errno.ENETUNREACH), f"check the network, {RERUN}")
PRINT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG)  # errors that print() can raise

OUT_OF_MEMORY = re.compile(
    r"(?i)out of memory|(can't|cannot|unable to) (allocate|mmap)|failed to (allocate|map segment)|insufficient memory|"
    r"bad_alloc|could not create a (primitive|memory)"
)
NO_THREAD = re.compile(r"can't start new thread|Thread creation failed")
LOADER_ERROR = re.compile(
    r"DataLoader worker \(pid\S* (?P<pid>[\d, ]+)\) (is killed by signal: (?P<signal>[\w ]+)|exited)"
)
RANK_ERROR = re.compile(r"gloo/|NCCL")  # errors of the libraries through which ranks communicate
SOURCE_POSITION = re.compile(r"\[[^\]]*\.cc:\d+\] ")  # the position in the source of those libraries
WORKER_TRACEBACK = re.compile(r"^Caught \w+ in .*?\n(Original )?Traceback[^\n]*\n", re.DOTALL)  # sent as text
TRACEBACK_END = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(: (?P<text>.*))?\s*\Z", re.DOTALL | re.MULTILINE)
OS_ERROR = re.compile(  # the text of an OSError
    r"\[Errno (?P<number>\d+)\] (?P<reason>[^:]*)(: (['\"])(?P<file>.*?)\4( -> (['\"])(?P<other>.*?)\7)?)?$"
)


def failure_line(error: BaseException | None) -> str | None:
    """The one-line message for an exception that the user or the machine caused; None for a bug in deepdraw."""
    error = _cause(error)
    if error is None:
        return None
    if _is_instance(error, "omegaconf.errors", "OmegaConfBaseException"):
        return f"{getattr(error, 'full_key', None) or 'the config'}: {str(error).splitlines()[0]}"
    message = one_line(error)
    if _is_instance(error, "concurrent.futures", "BrokenExecutor") or _is_worker_pipe_error(error):
        return f"a worker process was killed, as when memory runs out: use a machine with more memory, {RERUN}"
    if isinstance(error, OSError):
        return _os_error_line(error, message)
    if isinstance(error, ValueError | FloatingPointError):
        return message
    if _is_memory_error(error, message):
        detail = f" ({message[:200]})" if message else ""
        return f"there is not enough memory{detail}: {MEMORY_FIX}"
    return _runtime_line(error, message) if isinstance(error, RuntimeError) else None


def keeps_tracebacks() -> bool:
    """Whether HYDRA_FULL_ERROR asks for full tracebacks."""
    return os.environ.get("HYDRA_FULL_ERROR", "") not in ("", "0")


def drop_stdout_that_fails() -> None:
    """If stdout cannot be written, redirect it to /dev/null; otherwise Python would fail again when it exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def one_line(error: BaseException) -> str:
    """The message of an exception in one line, without the traceback that a worker process puts before it."""
    return shown(" ".join(_class_and_message(error)[1].split()))


def _class_and_message(error: BaseException) -> tuple[str, str]:
    """The class name and message of an exception. A worker process may have sent both as the end of a traceback."""
    message = str(error)
    if sent := WORKER_TRACEBACK.match(message):
        frame = message[sent.end() :].rpartition('\n  File "')[2]
        if last := TRACEBACK_END.search(frame):
            return last["kind"], last["text"] or ""
    return type(error).__name__, message


def _cause(error: BaseException | None) -> BaseException | None:
    """The original exception behind a wrapper of Hydra, of a worker process, or of rich (for a broken pipe)."""
    while _is_instance(error, "hydra.errors", "InstantiationException"):
        error = error and error.__cause__
    if isinstance(error, SystemExit):
        return error.__context__ if isinstance(error.__context__, BrokenPipeError) else None
    if error is None or not WORKER_TRACEBACK.match(str(error)):
        return error
    kind, text = _class_and_message(error)
    if isinstance(error, OSError) and (system := OS_ERROR.search(one_line(error))):
        return OSError(int(system["number"]), system["reason"].strip(), system["file"], None, system["other"])
    return MemoryError(text) if kind.endswith("MemoryError") else error


def _os_error_line(error: OSError, message: str) -> str:
    number = error.errno or _find_errno(message)
    files = [shown(name) for name in (error.filename, error.filename2) if name is not None]
    name = " and ".join(files) or ("stdout" if _is_stdout_error(number) else "")
    reason = error.strerror or message or type(error).__name__
    return ": ".join(part for part in (name, reason, FIXES.get(number or 0, f"see to it, {RERUN}")) if part)


def _is_instance(error: BaseException | None, module: str, name: str) -> bool:
    """Whether the exception is an instance of a class. If its module was never imported, it cannot be."""
    return isinstance(error, getattr(sys.modules.get(module), name, ()))


def _is_worker_pipe_error(error: BaseException) -> bool:
    """Whether the error comes from a broken pipe to a process that multiprocessing started."""
    frame = error.__traceback__ if isinstance(error, BrokenPipeError | ConnectionResetError | EOFError) else None
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__")).startswith("multiprocessing."):
            return True
        frame = frame.tb_next
    return False


def _find_errno(message: str) -> int | None:
    """The errno behind the message of a library that gives only the operating system's words."""
    return next((number for number in FIXES if os.strerror(number) in message), None)


def _is_stdout_error(number: int | None) -> bool:
    """Whether an error that names no file was caused by printing."""
    if number not in PRINT_ERRORS:
        return number == errno.EPIPE  # rich met it and has redirected stdout to /dev/null
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except (OSError, ValueError):  # ValueError: stdout is closed
        return True
    return False


def _is_memory_error(error: BaseException, message: str) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, RuntimeError | ImportError) or type(error).__module__ == "cv2":
        return bool(OUT_OF_MEMORY.search(message))  # torch.OutOfMemoryError is a RuntimeError with such a message
    return False


def _runtime_line(error: RuntimeError, message: str) -> str | None:
    if loader := LOADER_ERROR.search(message):
        how = f"was killed ({loader['signal']})" if loader["signal"] else "has ended"
        return (
            f"a loader process (pid {loader['pid'].strip()}) {how}, as when memory or /dev/shm is full: "
            f"use fewer data.num_workers or a smaller data.batch_size, {RERUN}"
        )
    if NO_THREAD.search(message):
        return f"{message}: {FIXES[errno.EAGAIN]}"
    if RANK_ERROR.search(message) or _is_instance(error, "torch.distributed", "DistError"):
        reason = SOURCE_POSITION.sub("", message).split(". ")[0][:200]
        return f"another rank is gone ({reason}): see what ended it, {RERUN} to go on from the last checkpoint"
    if number := _find_errno(message):
        return f"{message[:300]}: {FIXES[number]}"
    if "PytorchStreamWriter failed" in message:
        return f"a checkpoint cannot be written: {FIXES[errno.ENOSPC]}"
    return None
