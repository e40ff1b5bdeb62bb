"""Reads files of strokes many drawings at a time: the same drawings as `read_sketches`, over thirty times as fast.

Nearly all lines and records are usual ones, which `scan.py` reads in compiled code; the others are read one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.binary import read_bin
from deepdraw.drawings.files import read_sketches
from deepdraw.drawings.kinds import word_of
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.records import BOM, read_line
from deepdraw.drawings.sketch import Broken, Sketch, hash_strokes
from deepdraw.runtime import LARGEST, MB, open_unpacked, suffix_among

CHUNK = 4 * MB  # bytes that are read at a time
TOGETHER = 1024  # sketches that are packed at a time
LARGEST_RECORD = LARGEST["drawing"] + 2**17 + 32  # bytes: with the stroke that makes it too large
NOT_SAID = -1  # recognized, or the split, where the file does not say
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Bulk:
    """N drawings of a file, in its order.

    drawings: labeled 0, and unlike elsewhere with those that have no stroke; recognized: int8 [N], 1, 0, or NOT_SAID;
    num_empty_strokes: int64 [N], strokes without a point, which were left out; split: int8 [N], an index into SPLITS,
    or NOT_SAID.
    """

    drawings: Drawings
    recognized: NDArray[np.int8]
    num_empty_strokes: NDArray[np.int64]
    split: NDArray[np.int8]

    @classmethod
    def pack(cls, sketches: Sequence[Sketch]) -> Bulk:
        """The same drawings packed."""
        key_ids = np.array([sketch.key_id for sketch in sketches], np.uint64)
        said = [NOT_SAID if sketch.recognized is None else sketch.recognized for sketch in sketches]
        told = [NOT_SAID if sketch.split is None else SPLITS.index(sketch.split) for sketch in sketches]
        return cls(
            Drawings.pack([sketch.strokes for sketch in sketches], key_ids=key_ids),
            np.array(said, np.int8),
            np.array([sketch.num_empty_strokes for sketch in sketches], np.int64),
            np.array(told, np.int8),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Bulk]) -> Bulk:
        """The drawings of all parts, in order."""
        parts = parts or [cls.pack([])]
        return cls(
            Drawings.concatenate([part.drawings for part in parts]),
            np.concatenate([part.recognized for part in parts]),
            np.concatenate([part.num_empty_strokes for part in parts]),
            np.concatenate([part.split for part in parts]),
        )

    def take(self, indices: NDArray[np.integer]) -> Bulk:
        """The drawings at `indices`, in that order."""
        drawings, empty = self.drawings.take(indices), self.num_empty_strokes[indices]
        return Bulk(drawings, self.recognized[indices], empty, self.split[indices])


def read_bulk(path: Path, word: str | None = None) -> Iterator[Bulk | Broken]:
    """Read the drawings of one file of strokes, as `read_sketches` does, many at a time."""
    sketches: list[Sketch] = []
    for item in _read(path, word or word_of(path)):
        if isinstance(item, Sketch):
            sketches.append(item)
        if sketches and (isinstance(item, Bulk) or len(sketches) == TOGETHER):
            yield Bulk.pack(sketches)
            sketches = []
        if not isinstance(item, Sketch):
            yield item
    if sketches:
        yield Bulk.pack(sketches)


def _read(path: Path, word: str) -> Iterator[Bulk | Sketch | Broken]:
    form = suffix_among(path.name.lower().removesuffix(".gz"), (".ndjson", ".bin"))
    if form == ".bin":
        with open_unpacked(path) as file:
            yield from _read_bin(file, path, word)
    elif form == ".ndjson" and word.isprintable() and not set(word) & set('"\\'):
        with open_unpacked(path) as file:
            yield from _read_ndjson(file, word)
    else:
        yield from read_sketches(path, word=word)


def _read_ndjson(file: BinaryIO, word: str) -> Iterator[Bulk | Sketch | Broken]:
    from deepdraw.drawings.scan import scan_lines  # imports numba, which is slow

    number, most = 0, LARGEST["drawing"]
    written = np.frombuffer(word.encode(), np.uint8)
    for lines in _whole_lines(file):
        text = np.frombuffer(lines if lines.endswith(b"\n") else lines + b"\n", np.uint8)
        arrays = _arrays(len(text) // 4, len(text) // 9, len(text) // 20)
        has_key = np.empty(len(arrays[-1]), np.bool_)
        start = 0
        while start < len(lines):
            start, *read = scan_lines(text, start, written, most, *arrays, has_key)
            if read[0]:
                number += read[0]
                yield _with_keys(_bulk(read, *arrays), has_key)
            if start < len(lines):
                number, end = number + 1, lines.find(b"\n", start) + 1 or len(lines)
                line = lines[start : min(end, start + most + 1)]
                if not line.isspace():
                    yield read_line(line, number, word)
                start = end


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The content of a file, without a byte order mark, in pieces of whole lines. A line that is too long is cut."""
    rest, start = b"", file.read(len(BOM)).removeprefix(BOM)
    while chunk := start + file.read(CHUNK):
        start = b""
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest = (rest + chunk)[: LARGEST["drawing"] + 1]
    if rest:
        yield rest


def _read_bin(file: BinaryIO, path: Path, word: str) -> Iterator[Bulk | Sketch | Broken]:
    from deepdraw.drawings.scan import scan_records  # imports numba, which is slow

    number, rest = 0, b""
    while len(rest) <= LARGEST_RECORD and (chunk := file.read(CHUNK)):
        content = np.frombuffer(rest + chunk, np.uint8)
        arrays = _arrays(len(content) // 2, len(content) // 4, len(content) // 17)
        num_empty_strokes = np.empty(len(arrays[-1]), np.int64)
        start, *read = scan_records(content, *arrays, num_empty_strokes)
        if read[0]:
            number += read[0]
            yield replace(_bulk(read, *arrays), num_empty_strokes=num_empty_strokes[: read[0]])
        rest = content[start:].tobytes()
    yield from read_bin(BytesIO(rest), path, word, number)


def _arrays(num_points: int, num_strokes: int, num_drawings: int) -> tuple[NDArray[Any], ...]:
    """Arrays for so many, and one more: points, stroke lengths, stroke counts, key ids, recognized."""
    return (
        np.empty((num_points + 1, 2), np.uint8),
        np.empty(num_strokes + 1, np.uint16),
        np.empty(num_drawings + 1, np.uint16),
        np.empty(num_drawings + 1, np.uint64),
        np.empty(num_drawings + 1, np.int8),
    )


def _bulk(
    read: Sequence[int],
    points: NDArray[np.uint8],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    key_ids: NDArray[np.uint64],
    recognized: NDArray[np.int8],
) -> Bulk:
    """A copy of what compiled code has read: so many drawings, strokes and points."""
    num_drawings, num_strokes, num_points = read
    drawings = Drawings(
        points=points[:num_points].copy(),
        stroke_lengths=stroke_lengths[:num_strokes].copy(),
        stroke_counts=stroke_counts[:num_drawings].copy(),
        labels=np.zeros(num_drawings, np.uint16),
        key_ids=key_ids[:num_drawings].copy(),
    )
    said, empty = recognized[:num_drawings].copy(), np.zeros(num_drawings, np.int64)
    return Bulk(drawings, said, empty, np.full(num_drawings, NOT_SAID, np.int8))


def _with_keys(bulk: Bulk, has_key: NDArray[np.bool_]) -> Bulk:
    """The same, with a hash of the strokes as the key id of those that have none."""
    for index in np.flatnonzero(~has_key[: len(bulk.drawings)]).tolist():
        strokes = [stroke.astype(np.uint8, copy=False) for stroke in bulk.drawings.strokes(index)]
        bulk.drawings.key_ids[index] = hash_strokes(strokes)
    return bulk
