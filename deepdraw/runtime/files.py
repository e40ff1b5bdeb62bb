"""The one place that writes files. A reader finds the old file or the new one, never half of it.

A file is first written as a part: beside its place, under a unique name, and locked. It is then flushed to the disk and
renamed. A link at the place of a file is replaced, never followed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any, BinaryIO

from deepdraw.runtime.parts import (
    OPEN_FLAGS,
    errors_naming,
    make_part,
    open_part,
    remove_abandoned,
    sync,
    sync_folder,
    unlock,
    with_file_name,
)

PROBE_BYTES = 1 << 16  # bytes that are written to try whether a folder is writable


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to. It replaces `path` if the block ends without an exception. Missing folders are created.

    Raises OSError, naming `path`, if the disk refuses. After any exception `path` is unchanged and no part is left.
    """
    path = Path(path)
    with errors_naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        locked, part = open_part(path)
    with _replaces(part, path, os.unlink), BufferedWriter(locked) as file:
        yield file
        with errors_naming(path):
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into. It gets the name `path` if the block ends without an exception, else it is removed.

    Raises OSError, naming `path`, if the disk refuses, or if `path` exists and is not an empty folder.
    """
    path = Path(path)
    with _locked_folder(path) as part, _replaces(part, path, lambda folder: shutil.rmtree(folder, ignore_errors=True)):
        yield part
        with errors_naming(path):
            for file in part.rglob("*"):
                sync(file)


@contextmanager
def _locked_folder(path: Path) -> Iterator[Path]:
    """A new folder as a part of `path`, which is locked within the block."""
    with errors_naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock, part = make_part(path)
    try:
        yield part
    finally:
        unlock(lock)
        remove_abandoned(path)  # again, because workers of a killed process may have written for a moment more


@contextmanager
def _replaces(part: Path, path: Path, remove: Callable[[Path], None]) -> Iterator[None]:
    """Rename a part to `path` if the block ends without an exception, else remove it."""
    try:
        yield
        with errors_naming(path):
            os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            remove(part)
        if isinstance(error, OSError) and error.filename is None:
            raise with_file_name(error, path) from error
        raise
    sync_folder(path.parent)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, on the same disk, for files that are needed within the block alone. It is then removed.

    The folder of a process that was killed is removed by the next one. Raises OSError, naming `path`, if the disk
    refuses.
    """
    path = Path(path)
    with _locked_folder(path) as part:
        try:
            yield part
        except OSError as error:
            inside = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(part)
            raise with_file_name(error, path) if inside else error from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
            remove_abandoned(path)  # again, because workers of a killed process may have written for a moment more


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
    with open(source, "rb") as opened, errors_naming(path):
        path.unlink(missing_ok=True)
        with create_file(path) as file:
            shutil.copyfileobj(opened, file)
        status = os.fstat(opened.fileno())
        os.chmod(path, stat.S_IMODE(status.st_mode))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def create_file(path: Path, mode: int = 0o666) -> BinaryIO:
    """A new file to write bytes to, under its own name. Raises FileExistsError if the name is taken, also by a link."""
    with errors_naming(path):
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, mode), "wb")


def create_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Create a file that appears together with its content. Raises FileExistsError if the name is taken.

    mode: its permissions, before the umask. On a file system without hard links the file may appear empty for a moment.
    """
    with errors_naming(path):
        locked, part = open_part(path, mode)
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
    with errors_naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file, part = open_part(probe)
        try:
            file.write(bytes(PROBE_BYTES))
            os.fsync(file.fileno())
        finally:
            file.close()
            part.unlink()
