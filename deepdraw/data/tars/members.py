"""Reads the members of an uncompressed tar: POSIX ustar, with long names as GNU and pax write them.

Archives that were concatenated (`cat a.tar b.tar`) are read as one.

Python's `tarfile` is not safe for files of strangers: it does not notice a truncated file, loops forever on a negative
size, reads headers of any length, and supports sparse members, in which few bytes stand for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from deepdraw.drawings import other_kind
from deepdraw.runtime import open_regular

BLOCK = 512  # bytes
END = bytes(BLOCK)
CHUNK = 1 << 20  # bytes
BEGINNING = "its beginning"
LONGEST_NAME = 1 << 16  # bytes of an extended header, which holds a name and other fields
REGULAR, NAME, LONG_LINK, PAX, GLOBAL_PAX = b"0\x007", b"L", b"K", b"x", b"g"
WITHOUT_DATA = b"123456"  # links, devices, folders, pipes


class Member(NamedTuple):
    """A regular file in a tar. Its content lies from byte `offset` to `offset + size`."""

    name: str
    offset: int
    size: int

    @property
    def shown(self) -> str:
        """The name for messages. Characters that cannot be printed are escaped."""
        return self.name[:200] if self.name[:200].isprintable() else ascii(self.name[:200])


def tar_members(path: Path, fix: str) -> Iterator[Member]:
    """The regular members of a tar, in order.

    Raises ValueError, naming the tar, the last member and `fix`, if it is packed, is no tar or is cut short.
    """
    last = BEGINNING
    with open_regular(path, fix=fix) as file:
        start = file.read(BLOCK)
        file.seek(0)
        try:
            for member in _members(file, os.fstat(file.fileno()).st_size):
                last = member.shown
                yield member
        except (_DamagedError, OSError) as error:
            if last == BEGINNING and (kind := other_kind(start)):
                raise ValueError(f"{path} is {kind} and no tar: unpack it or take it away") from error
            raise ValueError(f"{path} is no tar or is cut short (after {last}): {fix}") from error


class _DamagedError(Exception):
    """The bytes are no tar."""


def _members(file: BinaryIO, num_bytes: int) -> Iterator[Member]:
    place, fields = 0, {}
    while (header := _next_header(file)) is not None:
        place = file.tell() - BLOCK
        kind, size = header[156:157], _size(header)
        if kind in (NAME, LONG_LINK, PAX, GLOBAL_PAX):
            if size > LONGEST_NAME:
                raise _DamagedError
            content = _read(file, size)
            if kind == NAME:
                fields[b"path"] = content.rstrip(b"\0")
            elif kind == PAX:
                fields |= dict(_pax(content))
            place += BLOCK + _padded(size)
        else:
            if any(key.startswith(b"GNU.sparse") for key in fields):
                raise _DamagedError
            size = 0 if kind in WITHOUT_DATA else _number(fields.get(b"size", b"%d" % size))
            if place + BLOCK + size > num_bytes:
                raise _DamagedError
            if kind in REGULAR:
                yield Member(_name(header, fields), place + BLOCK, size)
            elif kind == b"S":  # sparse
                raise _DamagedError
            place, fields = place + BLOCK + _padded(size), {}
        file.seek(place)


def _next_header(file: BinaryIO) -> bytes | None:
    """The next header, beyond the blocks of zeros that end an archive; None where the file ends after such blocks."""
    header = file.read(BLOCK)
    if header != END:
        return header
    while chunk := file.read(CHUNK):
        if rest := chunk.lstrip(b"\0"):
            file.seek((file.tell() - len(rest)) // BLOCK * BLOCK)
            return file.read(BLOCK)
    return None


def _size(header: bytes) -> int:
    """The size of a member, from its header. The checksum of the header must match."""
    if len(header) < BLOCK:
        raise _DamagedError
    rest = header[:148] + 8 * b" " + header[156:]
    stored, unsigned = _number(header[148:156], 8), sum(rest)
    if stored not in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)):  # some tars add signed bytes
        raise _DamagedError
    field = header[124:136]
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _number(field, 8)


def _number(digits: bytes, base: int = 10) -> int:
    digits = digits.partition(b"\0")[0].strip()
    if len(digits) > 20 or not (digits or b"0").isdigit():
        raise _DamagedError
    try:
        return int(digits or b"0", base)
    except ValueError as error:
        raise _DamagedError from error


def _pax(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The fields of a pax header, each `<bytes of the record> <key>=<value>\\n`."""
    place = 0
    while place < len(content):
        number, _, _ = content[place : place + 20].partition(b" ")
        record = content[place : place + _number(number)]
        key, is_field, value = record[len(number) + 1 :].partition(b"=")
        if not is_field or not value.endswith(b"\n"):
            raise _DamagedError
        yield key, value[:-1]
        place += len(record)


def _name(header: bytes, fields: dict[bytes, bytes]) -> str:
    name = header[:100].partition(b"\0")[0]
    if header[257:262] == b"ustar" and header[262:263] == b"\0" and header[345]:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    return fields.get(b"path", name).decode(errors="surrogateescape")


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise _DamagedError
    return content


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
