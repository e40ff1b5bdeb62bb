"""Zip archives (checkpoints, npz) that carry the hash of all their bytes, so that no damage is used in silence.

torch and numpy write zip archives; torch does not look at the checksums in them. The SHA-256 of the archive stands in
its comment, at the end, which every reader of zip archives passes over. An archive without a comment, as other tools
write them, is held to the CRC-32 of its members.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from deepdraw.runtime.files import whole_file

MARK = b"deepdraw sha256 "
COMMENT = len(MARK) + 64  # bytes
END = b"PK\x05\x06"  # how the last record of an archive starts
RECORD = 22  # bytes of that record, whose last two give the length of the comment
CHUNK = 1 << 20


def write_sealed(path: Path, write: Callable[[Any], None]) -> None:
    """Write a zip archive, whole or not at all, and seal it. `write` gets a file that only takes bytes in order."""
    with whole_file(path) as file:
        hashed = _Hashed(file)
        try:
            write(hashed)
        except RuntimeError:
            if hashed.error is None:
                raise
            raise hashed.error from None  # torch hides what the disk refused behind an error of its own
        hashed.seal()


def check_seal(file: BinaryIO) -> bool:
    """Whether the bytes of an open archive are those that were written; the file stands at its beginning after it.

    An archive that was sealed is held to its seal, one without a comment to the checksums of its members.
    """
    try:
        return _is_whole(file)
    finally:
        file.seek(0)


def _is_whole(file: BinaryIO) -> bool:
    size = file.seek(0, 2)
    if size < RECORD:
        return False
    file.seek(max(0, size - RECORD - COMMENT))
    tail = file.read()
    if tail[-RECORD:].startswith(END) and tail[-2:] == b"\0\0":
        file.seek(0)
        return _members_match(file)
    record, comment = tail[:RECORD], tail[RECORD:]
    if len(tail) < RECORD + COMMENT or record[-2:] != struct.pack("<H", COMMENT) or not comment.startswith(MARK):
        return False
    digest, left = sha256(), size - COMMENT - 2
    file.seek(0)
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            return False
        digest.update(chunk)
        left -= len(chunk)
    return comment == MARK + digest.hexdigest().encode()


def _members_match(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error):
        return False


class _Hashed(io.RawIOBase):
    """A file that hashes what is written to it, but for the last two bytes, which the seal replaces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._held = file, sha256(), b""
        self.error: OSError | None = None  # what the disk refused

    def writable(self) -> bool:
        """Bytes are taken in order alone, so neither torch nor zipfile goes back to change some."""
        return True

    def write(self, content: Any) -> int:
        """Take bytes, as a file does."""
        content = memoryview(content).cast("B")
        if len(content) >= 2:
            self._put(self._held)
            self._put(content[:-2])
            self._held = bytes(content[-2:])
        else:
            together = self._held + bytes(content)
            self._put(together[:-2])
            self._held = together[-2:]
        return len(content)

    def seal(self) -> None:
        """End the archive with its comment."""
        assert self._held == b"\0\0", "an archive with a comment of its own"
        self._file.write(struct.pack("<H", COMMENT) + MARK + self._digest.hexdigest().encode())

    def _put(self, content: bytes | memoryview) -> None:
        self._digest.update(content)
        try:
            self._file.write(content)
        except OSError as error:
            self.error = error
            raise
