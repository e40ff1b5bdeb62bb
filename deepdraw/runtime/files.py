"""The one place that writes files: a reader finds the old file or the new one, never a half.

A file is written beside its place under a name that no other process uses, brought to the disk, and renamed. A process
that is killed leaves such a part behind; the next one that writes the same file removes it, as its lock has died with
its owner. A link at the place of a file is replaced, never followed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where parts of killed processes stay
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"\..*\.[0-9a-f]{16}\.part")  # the name of a part
LONGEST = 200  # bytes of a file's own name within that of its part
FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) if hasattr(os, "O_CLOEXEC") else 0


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
        descriptor, part = _open_part(path)
    try:
        with open(descriptor, "wb") as file:
            yield file
            with _naming(path):
                file.flush()
                os.fsync(file.fileno())
        with _naming(path):
            os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            raise _named(error, path) from error
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, which takes the name `path` once the block has ended well, and else goes away.

    Raises OSError, naming `path`, where the disk refuses or `path` is there already.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        part = _part_of(path)
        part.mkdir()
        lock = _lock_of(os.open(part, os.O_RDONLY))
    try:
        yield part
        with _naming(path):
            for file in part.rglob("*"):
                _sync(file)
            if os.path.lexists(path):
                raise FileExistsError(17, "File exists", str(path))
            os.rename(part, path)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            raise _named(error, path) from error
        raise
    finally:
        os.close(lock)
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


def append_text(path: Path, text: str) -> None:
    """Add `text` as UTF-8 at the end of a file, in one write, and bring it to the disk. A link is refused.

    Whoever reads the file must expect the last line to be torn, as a full disk or a power cut leaves it.
    """
    with _naming(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | FLAGS, 0o666)
        with open(descriptor, "ab", buffering=0) as file:
            end, encoded = os.fstat(file.fileno()).st_size, text.encode("utf-8")
            if file.write(encoded) != len(encoded):
                os.ftruncate(file.fileno(), end)
                raise OSError(28, "No space left on device", str(path))
            os.fsync(file.fileno())


def create_file(path: Path) -> BinaryIO:
    """A new file to write bytes to, for logs that grow under their own name. FileExistsError where there is one."""
    with _naming(path):
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o666), "wb")


def check_writable(folder: Path) -> None:
    """Make the folder and try to write there: better before hours of work than after. Raises OSError naming it."""
    probe = folder / "writable"
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, part = _open_part(probe)
        os.close(descriptor)
        part.unlink()


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left half written in this folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if PART.fullmatch(path.name) and _is_abandoned(path):
            _remove(path)


def _part_of(path: Path) -> Path:
    name = path.name.encode()[:LONGEST].decode(errors="ignore")
    return path.with_name(f".{name}.{secrets.token_hex(8)}.part")


def _open_part(path: Path) -> tuple[int, Path]:
    """A new part of `path`, locked for as long as it is open."""
    while True:
        part = _part_of(path)
        descriptor = _lock_of(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666))
        if os.fstat(descriptor).st_nlink:  # else another process took it for abandoned, before it was locked
            return descriptor, part
        os.close(descriptor)


def _lock_of(descriptor: int) -> int:
    if fcntl is not None:
        with suppress(OSError):  # of file systems without locks, where nothing counts as abandoned either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _remove_abandoned(path: Path) -> None:
    """Remove the parts of `path` whose writers were killed."""
    start = _part_of(path).name.rpartition(".part")[0][:-16]
    for part in path.parent.iterdir():
        if part.name.startswith(start) and PART.fullmatch(part.name) and _is_abandoned(part):
            _remove(part)


def _is_abandoned(part: Path) -> bool:
    """Whether the process that wrote it is gone, and its lock with it."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK | FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with suppress(OSError):
            part.unlink()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that was asked for, not its part, and never no file."""
    try:
        yield
    except OSError as error:
        raise _named(error, path) from error


def _named(error: OSError, path: Path) -> OSError:
    return type(error)(error.errno, error.strerror or type(error).__name__, str(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # of file systems that bring no folder to the disk
        _sync(folder)
