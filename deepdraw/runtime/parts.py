"""A part: the file or folder under another name that takes its place when it is complete, and is locked until then.

A process that is killed leaves its part behind. The lock on the part ends with its owner (forked children do not keep
it), so the next process that writes the same file knows the part as abandoned and removes it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, the parts of killed processes stay
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"\..*\.[0-9a-f]{16}\.part")  # the name of a part
MAX_NAME_BYTES = 200  # bytes of a file's name that the name of its part repeats
OPEN_FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) if hasattr(os, "O_CLOEXEC") else 0
_locked_descriptors: set[int] = set()  # the file descriptors through which this process holds locks


def remove_parts(folder: Path) -> None:
    """Remove the incomplete files that killed processes left in this folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if PART.fullmatch(path.name):
            _remove_if_abandoned(path)


def _part_of(path: Path) -> Path:
    name = path.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.{os.urandom(8).hex()}.part")


class LockedFile(FileIO):
    """A file that this process holds locked while it is open."""

    def close(self) -> None:
        if not self.closed:
            _locked_descriptors.discard(self.fileno())
        super().close()


def open_part(path: Path, mode: int = 0o666) -> tuple[LockedFile, Path]:
    """A new part of `path`, in the place of those whose writers were killed."""
    remove_abandoned(path)
    while True:
        part = _part_of(path)
        file = LockedFile(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, mode), "r+")
        lock(file.fileno())
        if os.fstat(file.fileno()).st_nlink:  # 0: another process removed it as abandoned, before it was locked
            return file, part
        file.close()


def make_part(path: Path) -> tuple[int, Path]:
    """A new folder as a part of `path`, and the file descriptor that holds its lock until `unlock`."""
    remove_abandoned(path)
    while True:
        part = _part_of(path)
        part.mkdir()
        with suppress(FileNotFoundError):  # another process removed it as abandoned, before it was locked
            descriptor = os.open(part, os.O_RDONLY | OPEN_FLAGS)
            lock(descriptor)
            if part.is_dir():
                return descriptor, part
            unlock(descriptor)


def lock(descriptor: int, wait: bool = True) -> bool:
    """Lock an open file until it is closed. Returns False if another process holds the lock and `wait` is False."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # on a file system without locks no part counts as abandoned, so none is needed
            pass
    _locked_descriptors.add(descriptor)
    return True


def unlock(descriptor: int) -> None:
    """Close a file that was locked, which unlocks it."""
    _locked_descriptors.discard(descriptor)
    os.close(descriptor)


def _drop_locks_of_parent() -> None:
    """In a forked child, give up the parent's locks: they would otherwise stay when the parent is killed."""
    null = os.open(os.devnull, os.O_RDWR | OPEN_FLAGS)
    for descriptor in _locked_descriptors:  # it must stay open, because a file object of the child may still close it
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _locked_descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_locks_of_parent)


def remove_abandoned(path: Path) -> None:
    """Remove the parts of `path` whose writers were killed."""
    start = _part_of(path).name.rpartition(".part")[0][:-16]
    for part in path.parent.iterdir():
        if part.name.startswith(start) and PART.fullmatch(part.name):
            _remove_if_abandoned(part)


def _remove_if_abandoned(part: Path) -> None:
    """Remove a part if its lock is free, which means that its writer has ended. A link of that name is left alone."""
    if fcntl is None:
        return
    try:
        folder = part.is_dir()
        descriptor = os.open(part, (os.O_RDONLY if folder else os.O_RDWR) | getattr(os, "O_NONBLOCK", 0) | OPEN_FLAGS)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder:  # it stays locked until it is removed; a process that has just created it waits and creates another
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink()
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Make every OSError in the block name the requested file, instead of its part or no file."""
    try:
        yield
    except OSError as error:
        raise with_file_name(error, path) from error


def with_file_name(error: OSError, path: Path) -> OSError:
    """The same error with the name of the file. numpy reports a full disk without an errno."""
    reason = "a link, which is not followed" if error.errno == errno.ELOOP else error.strerror or str(error)
    return OSError(error.errno or errno.EIO, reason or type(error).__name__, str(path))


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where its file system can."""
    with suppress(OSError):  # some file systems cannot flush a folder
        sync(folder)
