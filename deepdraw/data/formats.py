"""The three official stroke forms of Quick, Draw!, read lazily, one drawing at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deepdraw.data.simplification import cut, simplify

MAX_LENGTH = 2**16 - 1
SUFFIXES = (".ndjson", ".bin")
_HEADER = struct.Struct("<Q2sbIH")  # key_id, country, recognized, timestamp, number of strokes
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True)
class Sketch:
    """One drawing as it was read."""

    word: str
    key_id: int  # 0..2^64 - 1; a hash of the strokes where the file has none
    recognized: bool | None  # None where the file does not say
    strokes: list[np.ndarray]  # uint8 [n, 2], n >= 1, values 0..255
    num_empty_strokes: int = 0  # strokes without a point, left out of `strokes`


@dataclass(frozen=True)
class Broken:
    """A line of an ndjson file, or a record of a .bin file, that holds no drawing."""

    number: int  # counted from 1
    reason: str


def read_sketches(path: Path, *, any_word: bool = False) -> Iterator[Sketch | Broken]:
    """Read the drawings of one official file, named `<word>.ndjson` (simplified or raw) or `<word>.bin`.

    Which of the two forms an ndjson line has is told by its content: a raw stroke has three arrays (x, y, t),
    a simplified one has two. Raw drawings are simplified. A line of another word than the file's is broken, unless
    `any_word` lets an ndjson file hold several.

    Raises:
        ValueError: if a .bin file does not parse; ndjson goes on with the next line, a .bin file cannot.
    """
    with path.open("rb") as file:
        yield from _read_bin(file, path.stem) if path.suffix == ".bin" else _read_ndjson(file, path.stem, any_word)


def _read_ndjson(file: BinaryIO, word: str, any_word: bool) -> Iterator[Sketch | Broken]:
    for number, line in enumerate(file, start=1):
        if line.isspace():
            continue
        try:
            yield _parse_line(line, word, any_word)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            yield Broken(number, f"no {error} in it" if isinstance(error, KeyError) else str(error))


def _parse_line(line: bytes, word: str, any_word: bool) -> Sketch:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if not any_word and record.get("word", word) != word:
        raise ValueError(f"a drawing of {record['word']!r} in the file of {word!r}")
    recognized = record.get("recognized")
    if not isinstance(recognized, bool | None):
        raise ValueError(f"recognized is {recognized!r}, neither true nor false")
    drawn = [stroke for stroke in record["drawing"] if any(stroke)]
    strokes = _parse_strokes(drawn)
    if max(len(strokes), *map(len, strokes), 0) > MAX_LENGTH:
        raise ValueError(f"more than {MAX_LENGTH:,} strokes, or points in a stroke")
    key_id = int(record["key_id"]) if "key_id" in record else _hash(strokes)
    if not 0 <= key_id < 2**64:
        raise ValueError(f"key_id {key_id} does not fit 64 bits")
    return Sketch(record.get("word", word), key_id, recognized, strokes, len(record["drawing"]) - len(drawn))


def _parse_strokes(drawn: list[list[list[float]]]) -> list[np.ndarray]:
    forms = {len(stroke) for stroke in drawn}
    if not forms:
        return []
    if forms not in ({2}, {3}):
        raise ValueError("a stroke has neither two arrays (x, y) nor three (x, y, t)")
    lengths = [len(stroke[0]) for stroke in drawn]
    if any(len(array) != length for stroke, length in zip(drawn, lengths, strict=True) for array in stroke):
        raise ValueError("the arrays of a stroke differ in length")
    # One array for all strokes: a tenth of the time of one array each.
    xy = np.array([list(chain.from_iterable(stroke[axis] for stroke in drawn)) for axis in (0, 1)]).T
    if forms == {3}:
        return simplify(cut(xy, lengths))
    if xy.dtype != np.int64 or xy.min() < 0 or xy.max() > 255:
        raise ValueError("a coordinate of a simplified drawing is no whole number in 0..255")
    return cut(xy.astype(np.uint8), lengths)


def _read_bin(file: BinaryIO, word: str) -> Iterator[Sketch | Broken]:
    number = 0
    while header := file.read(_HEADER.size):
        number += 1
        try:
            key_id, _, recognized, _, num_strokes = _HEADER.unpack(header)
            strokes = [_read_stroke(file) for _ in range(num_strokes)]
        except struct.error:
            yield Broken(number, "the file ends inside this drawing: it is not whole")
            return
        if recognized not in (0, 1):
            # Records have no marker to find the next one by.
            raise ValueError(f"{file.name}: drawing {number} does not parse, nor can what follows: fetch the file anew")
        full = [stroke for stroke in strokes if len(stroke)]
        yield Sketch(word, key_id, bool(recognized), full, num_strokes - len(full))


def _read_stroke(file: BinaryIO) -> np.ndarray:
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    xy = file.read(2 * length)
    if len(xy) < 2 * length:
        raise struct.error("the stroke is cut off")
    return np.frombuffer(xy, np.uint8).reshape(2, length).T


def _hash(strokes: list[np.ndarray]) -> int:
    digest = blake2b(digest_size=8)
    for stroke in strokes:
        digest.update(_LENGTH.pack(len(stroke)) + stroke.tobytes())
    return int.from_bytes(digest.digest(), "little")
