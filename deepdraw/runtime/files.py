"""The one place that writes files: a reader finds the old file or the new one, never a half.

A file is written beside its place under a name that no other process uses, brought to the disk, and renamed. A process
that is killed leaves such a part behind; the next one that writes the same file removes it, as its lock has died with
its owner: processes that the owner has forked do not hold it. A link at the place of a file is replaced, never
followed. A file that grows under its own name (`open_growing`, `append_text`) is no link either, has no second name,
and is written by one process at a time.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where parts of killed processes stay
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"\..*\.[0-9a-f]{16}\.part")  # the name of a part
PROBE = 1 << 16  # bytes that a folder must take to count as writable
LONGEST = 200  # bytes of a file's own name within that of its part
FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) if hasattr(os, "O_CLOEXEC") else 0
_held: set[int] = set()  # the descriptors by which this process has files locked


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes the place of `path` once the block has ended well; folders are made.

    Raises OSError, naming `path`, where the disk refuses. Then, as after any other exception, `path` is as it was and
    nothing is left beside it.
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
    """A folder to write into, which takes the name `path` once the block has ended well, and else goes away.

    Raises OSError, naming `path`, where the disk refuses or `path` is there already and no empty folder.
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


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `content` in the place of what `path` held."""
    with whole_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in the place of what `path` held, its ends of line as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write `mapping` with sorted keys. Raises ValueError for NaN and infinity, which JSON has no word for."""
    write_text(path, json.dumps(mapping, indent=2, sort_keys=True, allow_nan=False) + "\n")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file with its mode and times in the place of what `path` held; nothing waits for the disk.

    For copies that can be made again, as a kill leaves half of one.
    """
    with open(source, "rb") as opened, _naming(path):
        path.unlink(missing_ok=True)
        with create_file(path) as file:
            shutil.copyfileobj(opened, file)
        status = os.fstat(opened.fileno())
        os.chmod(path, stat.S_IMODE(status.st_mode))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def append_text(path: Path, text: str) -> None:
    """Add `text` as UTF-8 at the end of a file, in one write, and bring it to the disk.

    Whoever reads the file must expect the last line to be torn, as a power cut leaves it. Raises OSError as
    `open_growing` does.
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
    """A file that keeps its name while it grows, made if absent, open to be written on from byte `end` or its end.

    Each write reaches the operating system at once, and may write less than it is given only where the disk is full.
    What lies after `end` is cut off. Raises OSError, naming `path`, for a link, for what is no regular file or has a
    second name, and where another process is writing it.
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
    """Give a file or folder that grew as `part`, and is whole and on the disk now, its name `path`."""
    with _naming(path):
        os.replace(part, path)
    _sync_folder(path.parent)


def create_file(path: Path, mode: int = 0o666) -> BinaryIO:
    """A new file to write bytes to, under its own name. FileExistsError where there is one, or a link."""
    with _naming(path):
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, mode), "wb")


def create_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Create a file that is never seen without its content. FileExistsError where there is one, or anything else.

    mode: its permissions, of which the umask takes some. On a file system without links the file may be seen empty,
    for the moment of one write.
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
    """Give a part its name, where there is no file of that name."""
    try:
        os.link(part, path)
    except FileExistsError:
        if os.stat(part).st_nlink < 2:  # else a network file system did so, and was asked again as its answer was lost
            raise
    except (OSError, NotImplementedError):  # a file system without links
        with create_file(path, mode) as file:
            file.write(content)


def check_writable(folder: Path) -> None:
    """Make the folder and try to write there: better before hours of work than after. Raises OSError naming it."""
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
    """Remove what killed processes left half written in this folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if PART.fullmatch(path.name):
            _remove_if_abandoned(path)


def _part_of(path: Path) -> Path:
    name = path.name.encode()[:LONGEST].decode(errors="ignore")
    return path.with_name(f".{name}.{secrets.token_hex(8)}.part")


class _Locked(FileIO):
    """A file that this process has locked for as long as it is open."""

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
        if os.fstat(file.fileno()).st_nlink:  # else another process took it for abandoned, before it was locked
            return file, part
        file.close()


def _make_part(path: Path) -> tuple[int, Path]:
    """A new folder as a part of `path`, and the descriptor by which it is locked until `_unlock`."""
    while True:
        part = _part_of(path)
        part.mkdir()
        with suppress(FileNotFoundError):  # another process took it for abandoned, before it was locked
            descriptor = os.open(part, os.O_RDONLY | FLAGS)
            _lock(descriptor)
            if part.is_dir():
                return descriptor, part
            _unlock(descriptor)


def _lock(descriptor: int, wait: bool = True) -> bool:
    """Lock an open file for as long as it is open; False where another process has locked it and `wait` is not set."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where nothing counts as abandoned either
            pass
    _held.add(descriptor)
    return True


def _unlock(descriptor: int) -> None:
    _held.discard(descriptor)
    os.close(descriptor)


def _let_go() -> None:
    """In a forked child: hold none of the parent's locks, which else outlast the parent that is killed."""
    nothing = os.open(os.devnull, os.O_RDWR | FLAGS)
    for descriptor in _held:  # whoever has it for a file may still close it
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _remove_abandoned(path: Path) -> None:
    """Remove the parts of `path` whose writers were killed."""
    start = _part_of(path).name.rpartition(".part")[0][:-16]
    for part in path.parent.iterdir():
        if part.name.startswith(start) and PART.fullmatch(part.name):
            _remove_if_abandoned(part)


def _remove_if_abandoned(part: Path) -> None:
    """Remove a part whose writer is gone, and its lock with it; a link of that name is left alone."""
    if fcntl is None:
        return
    try:
        folder = part.is_dir()
        descriptor = os.open(part, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NONBLOCK | FLAGS)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder:  # locked until it is gone: a writer that has just made it waits for that, and makes another
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink()
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that was asked for, not its part, and never no file."""
    try:
        yield
    except OSError as error:
        raise _named(error, path) from error


def _named(error: OSError, path: Path) -> OSError:
    """The error with the name of the file; numpy tells of a full disk without its number."""
    reason = "a link, which is not followed" if error.errno == errno.ELOOP else error.strerror or str(error)
    return OSError(error.errno or errno.EIO, reason or type(error).__name__, str(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # of file systems that bring no folder to the disk
        _sync(folder)
