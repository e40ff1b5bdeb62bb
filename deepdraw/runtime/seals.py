"""Seals zip archives (checkpoints, npz) with a hash of all their bytes, so that damage is always noticed.

torch and numpy write zip archives, and torch does not check the checksums in them. The seal is the SHA-256 of the
archive in the comment at its end, which other readers ignore. An archive without a comment, as other tools write it, is
checked by the CRC-32 of its members.
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

SEAL_START = b"deepdraw sha256 "
COMMENT_BYTES = len(SEAL_START) + 64  # bytes
END_RECORD_START = b"PK\x05\x06"  # the first bytes of the last record of an archive
END_RECORD_BYTES = 22  # bytes of that record; its last two bytes are the length of the comment
CHUNK_BYTES = 1 << 20


def write_sealed(path: Path, write: Callable[[Any], None]) -> None:
    """Write a zip archive, whole or not at all, and seal it. `write` gets a file that can only be written in order."""
    with whole_file(path) as file:
        hashed = _Hashed(file)
        try:
            write(hashed)
        except BaseException as error:
            hashed.is_abandoned = True
            if hashed.error is None or not isinstance(error, RuntimeError):
                raise
            raise hashed.error from None  # torch hides the error of the disk behind its own
        hashed.seal()


def check_seal(file: BinaryIO) -> bool:
    """Whether an open archive is undamaged. Afterwards the file is at its beginning again.

    A sealed archive is checked by its seal, an archive without a comment by the checksums of its members.
    """
    try:
        return _is_whole(file)
    finally:
        file.seek(0)


def archive_hash(path: Path) -> str:
    """The SHA-256 of an archive in hexadecimal: as its seal says, or of all its bytes where it has none.

    A seal is not checked here; see `check_seal`.
    """
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - COMMENT_BYTES))
        comment = file.read()
        if comment.startswith(SEAL_START):
            return comment.removeprefix(SEAL_START).decode("ascii", "replace")
        file.seek(0)
        digest = sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()


def _is_whole(file: BinaryIO) -> bool:
    size = file.seek(0, 2)
    if size < END_RECORD_BYTES:
        return False
    file.seek(max(0, size - END_RECORD_BYTES - COMMENT_BYTES))
    tail = file.read()
    if tail[-END_RECORD_BYTES:].startswith(END_RECORD_START) and tail[-2:] == b"\0\0":
        file.seek(0)
        return _members_match(file)
    record, comment = tail[:END_RECORD_BYTES], tail[END_RECORD_BYTES:]
    is_sealed = record[-2:] == struct.pack("<H", COMMENT_BYTES) and comment.startswith(SEAL_START)
    if len(tail) < END_RECORD_BYTES + COMMENT_BYTES or not is_sealed:
        return False
    digest, left = sha256(), size - COMMENT_BYTES - 2
    file.seek(0)
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            return False
        digest.update(chunk)
        left -= len(chunk)
    return comment == SEAL_START + digest.hexdigest().encode()


def _members_match(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error):
        return False


class _Hashed(io.RawIOBase):
    """A file that hashes everything written to it, except the last two bytes, which the seal replaces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._last_two_bytes = file, sha256(), b""
        self.error: OSError | None = None  # the error of the disk, if there was one
        self.is_abandoned = False  # then torch's writer still ends its archive, and an error would end the process

    def writable(self) -> bool:
        """True. The file cannot seek, so torch and zipfile write in order."""
        return True

    def write(self, content: Any) -> int:
        """Write bytes, as a file does."""
        content = memoryview(content).cast("B")
        if len(content) >= 2:
            self._put(self._last_two_bytes)
            self._put(content[:-2])
            self._last_two_bytes = bytes(content[-2:])
        else:
            together = self._last_two_bytes + bytes(content)
            self._put(together[:-2])
            self._last_two_bytes = together[-2:]
        return len(content)

    def seal(self) -> None:
        """Write the seal as the comment at the end of the archive."""
        assert self._last_two_bytes == b"\0\0", "an archive with a comment of its own"
        self._file.write(struct.pack("<H", COMMENT_BYTES) + SEAL_START + self._digest.hexdigest().encode())

    def _put(self, content: bytes | memoryview) -> None:
        if self.is_abandoned:
            return
        self._digest.update(content)
        try:
            self._file.write(content)
        except OSError as error:
            self.error = error
            raise
