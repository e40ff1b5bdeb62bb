"""The one place that writes files. A reader finds the old file or the new one, never half of it.

A file is first written as a part: beside its place, under a unique name, and locked. It is then flushed to the disk and
renamed. A process that is killed leaves its part behind. The lock on the part ends with its owner (forked children do
not keep it), so the next process that writes the same file knows the part as abandoned and removes it. A link at the
place of a file is replaced, never followed. A file that grows under its own name (`open_growing`, `append_text`) must
not be a link or have a second hard link, and one process at a time may write it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # on Windows, the parts of killed processes stay
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"\..*\.[0-9a-f]{16}\.part")  # the name of a part
PROBE = 1 << 16  # bytes that are written to try whether a folder is writable
LONGEST = 200  # bytes of a file's name that the name of its part repeats
FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) if hasattr(os, "O_CLOEXEC") else 0
_held: set[int] = set()  # the file descriptors through which this process holds locks


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to. It replaces `path` if the block ends without an exception. Missing folders are created.

    Raises OSError, naming `path`, if the disk refuses. After any exception `path` is unchanged and no part is left.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        locked, part = _open_part(path)
    try:
        with BufferedWriter(locked) as file:
            yield file
            with _naming(path):
                file.flush()
                os.fsync(file.fileno())
        with _naming(path):
            os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename is None:
            raise _named(error, path) from error
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into. It gets the name `path` if the block ends without an exception, else it is removed.

    Raises OSError, naming `path`, if the disk refuses, or if `path` exists and is not an empty folder.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        lock, part = _make_part(path)
    try:
        yield part
        with _naming(path):
            for file in part.rglob("*"):
                _sync(file)
            os.rename(part, path)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:
            raise _named(error, path) from error
        raise
    finally:
        _unlock(lock)
    _sync_folder(path.parent)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, on the same disk, for files that are needed within the block alone. It is then removed.

    The folder of a process that was killed is removed by the next one. Raises OSError, naming `path`, if the disk
    refuses.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        lock, part = _make_part(path)
    try:
        yield part
    except OSError as error:
        inside = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(part)
        raise _named(error, path) if inside else error from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _unlock(lock)
        _remove_abandoned(path)  # again, because workers of a killed process may have written for a moment more


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace the content of `path` by `content`."""
    with whole_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` by `text` in UTF-8. Line ends are not changed."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write `mapping` with sorted keys. Raises ValueError for NaN and infinity, which JSON cannot hold."""
    write_text(path, json.dumps(mapping, indent=2, sort_keys=True, allow_nan=False) + "\n")


def copy_file(source: Path, path: Path) -> None:
    """Replace `path` by a copy of a file with its mode and times, without waiting for the disk.

    Use it only for copies that can be made again: a killed process may leave half a copy.
    """
    with open(source, "rb") as opened, _naming(path):
        path.unlink(missing_ok=True)
        with create_file(path) as file:
            shutil.copyfileobj(opened, file)
        status = os.fstat(opened.fileno())
        os.chmod(path, stat.S_IMODE(status.st_mode))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def append_text(path: Path, text: str) -> None:
    """Append `text` in UTF-8 to a file, in one write, and flush it to the disk.

    A reader must expect an incomplete last line, which a power cut can leave. Raises OSError as `open_growing` does.
    """
    with open_growing(path) as file, _naming(path):
        end, encoded = file.tell(), text.encode("utf-8")
        try:
            if file.write(encoded) != len(encoded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise
        os.fsync(file.fileno())


def open_growing(path: Path, end: int | None = None) -> FileIO:
    """A file that grows under its own name, opened for appending. It is created if missing and cut off at byte `end`.

    Each write goes to the operating system at once; only a full disk makes it write less than it was given. Raises
    OSError, naming `path`, for a link, for anything but a regular file, for a file with a second hard link, and if
    another process is writing it.
    """
    path = Path(path)
    with _naming(path):
        file = _Locked(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | FLAGS, 0o666), "r+")
        try:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "no regular file")
            if status.st_nlink > 1:
                raise OSError(errno.EMLINK, "a file that has a second name elsewhere, and would be changed there too")
            if not _lock(file.fileno(), wait=False):
                raise OSError(errno.EBUSY, "another process is writing it")
            if end is not None:
                os.ftruncate(file.fileno(), end)
            file.seek(0, os.SEEK_END)
        except BaseException:
            file.close()
            raise
        return file


def name_grown(part: Path, path: Path) -> None:
    """Rename a file or folder from `part` to `path`. It must be complete and flushed to the disk."""
    with _naming(path):
        os.replace(part, path)
    _sync_folder(path.parent)


def create_file(path: Path, mode: int = 0o666) -> BinaryIO:
    """A new file to write bytes to, under its own name. Raises FileExistsError if the name is taken, also by a link."""
    with _naming(path):
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, mode), "wb")


def create_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Create a file that appears together with its content. Raises FileExistsError if the name is taken.

    mode: its permissions, before the umask. On a file system without hard links the file may appear empty for a moment.
    """
    with _naming(path):
        _remove_abandoned(path)
        locked, part = _open_part(path, mode)
        try:
            with BufferedWriter(locked) as file:
                file.write(content)
                file.flush()
                _link(part, path, content, mode)
        finally:
            part.unlink(missing_ok=True)


def _link(part: Path, path: Path, content: bytes, mode: int) -> None:
    """Link a part to its final name, if that name is free."""
    try:
        os.link(part, path)
    except FileExistsError:
        if os.stat(part).st_nlink < 2:  # 2: the link was made, but a network file system lost its answer and retried
            raise
    except (OSError, NotImplementedError):  # a file system without links
        with create_file(path, mode) as file:
            file.write(content)


def check_writable(folder: Path) -> None:
    """Create the folder and try to write there, before hours of work are spent. Raises OSError naming the folder."""
    probe = folder / "writable"
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(probe)
        file, part = _open_part(probe)
        try:
            file.write(bytes(PROBE))
            os.fsync(file.fileno())
        finally:
            file.close()
            part.unlink()


def remove_parts(folder: Path) -> None:
    """Remove the incomplete files that killed processes left in this folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if PART.fullmatch(path.name):
            _remove_if_abandoned(path)


def _part_of(path: Path) -> Path:
    name = path.name.encode()[:LONGEST].decode(errors="ignore")
    return path.with_name(f".{name}.{os.urandom(8).hex()}.part")


class _Locked(FileIO):
    """A file that this process holds locked while it is open."""

    def close(self) -> None:
        if not self.closed:
            _held.discard(self.fileno())
        super().close()


def _open_part(path: Path, mode: int = 0o666) -> tuple[_Locked, Path]:
    """A new part of `path`."""
    while True:
        part = _part_of(path)
        file = _Locked(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, mode), "r+")
        _lock(file.fileno())
        if os.fstat(file.fileno()).st_nlink:  # 0: another process removed it as abandoned, before it was locked
            return file, part
        file.close()


def _make_part(path: Path) -> tuple[int, Path]:
    """A new folder as a part of `path`, and the file descriptor that holds its lock until `_unlock`."""
    while True:
        part = _part_of(path)
        part.mkdir()
        with suppress(FileNotFoundError):  # another process removed it as abandoned, before it was locked
            descriptor = os.open(part, os.O_RDONLY | FLAGS)
            _lock(descriptor)
            if part.is_dir():
                return descriptor, part
            _unlock(descriptor)


def _lock(descriptor: int, wait: bool = True) -> bool:
    """Lock an open file until it is closed. Returns False if another process holds the lock and `wait` is False."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # on a file system without locks no part counts as abandoned, so none is needed
            pass
    _held.add(descriptor)
    return True


def _unlock(descriptor: int) -> None:
    _held.discard(descriptor)
    os.close(descriptor)


def _drop_locks_of_parent() -> None:
    """In a forked child, give up the parent's locks: they would otherwise stay when the parent is killed."""
    null = os.open(os.devnull, os.O_RDWR | FLAGS)
    for descriptor in _held:  # it must stay open, because a file object of the child may still close it
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_locks_of_parent)


def _remove_abandoned(path: Path) -> None:
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
        descriptor = os.open(part, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NONBLOCK | FLAGS)
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
def _naming(path: Path) -> Iterator[None]:
    """Make every OSError in the block name the requested file, instead of its part or no file."""
    try:
        yield
    except OSError as error:
        raise _named(error, path) from error


def _named(error: OSError, path: Path) -> OSError:
    """The same error with the name of the file. numpy reports a full disk without an errno."""
    reason = "a link, which is not followed" if error.errno == errno.ELOOP else error.strerror or str(error)
    return OSError(error.errno or errno.EIO, reason or type(error).__name__, str(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot flush a folder
        _sync(folder)
