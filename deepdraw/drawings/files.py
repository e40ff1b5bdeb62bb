"""Reads the three official stroke formats of Quick, Draw! lazily, one drawing at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deepdraw.drawings.kinds import word_of
from deepdraw.drawings.simplification import cut, simplify
from deepdraw.runtime import LARGEST, open_unpacked

MAX_LENGTH = 2**16 - 1
SUFFIXES = (".ndjson", ".bin", ".ndjson.gz", ".bin.gz")
_HEADER = struct.Struct("<Q2sbIH")  # key_id, country, recognized, timestamp, number of strokes
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True)
class Sketch:
    """One drawing from an official file."""

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
    """Read the drawings of one official file, `<word>.ndjson` (simplified or raw) or `<word>.bin`, or of a gzip of it.

    The content of an ndjson line shows which of the two formats it has: a raw stroke has three arrays (x, y, t), a
    simplified one has two. Raw drawings are simplified. A line whose word is not the file's counts as broken, unless
    `any_word` is set: then an ndjson file may hold several words.

    Raises:
        ValueError: if there is no such file, or a .bin file does not parse. A broken line of ndjson is skipped.
    """
    is_bin = path.name.lower().removesuffix(".gz").endswith(".bin")
    with open_unpacked(path) as file:
        yield from _read_bin(file, path) if is_bin else _read_ndjson(file, word_of(path), any_word)


def _read_ndjson(file: BinaryIO, word: str, any_word: bool) -> Iterator[Sketch | Broken]:
    for number, line in enumerate(_lines(file), start=1):
        if line.isspace():
            continue
        try:
            if len(line) > LARGEST["drawing"]:
                raise ValueError(f"it has more than {LARGEST['drawing']:,} bytes")
            yield _parse_line(line, word, any_word)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            yield Broken(number, f"no {reason} in it" if isinstance(error, KeyError) else reason)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file. A line that is too long is cut, just above the limit."""
    most = LARGEST["drawing"] + 1
    while line := file.readline(most):
        yield line
        while len(line) == most and not line.endswith(b"\n"):  # skip the rest of a line that is too long
            line = file.readline(most)


def _parse_line(line: bytes, word: str, any_word: bool) -> Sketch:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if not any_word and record.get("word", word) != word:
        raise ValueError(f"a drawing of {record['word']!r:.80} in the file of {word!r}")
    recognized = record.get("recognized")
    if not isinstance(recognized, bool | None):
        raise ValueError(f"recognized is {recognized!r:.80}, neither true nor false")
    drawn = [stroke for stroke in record["drawing"] if any(stroke)]
    strokes = _parse_strokes(drawn)
    if max(len(strokes), *map(len, strokes), 0) > MAX_LENGTH:
        raise ValueError(f"more than {MAX_LENGTH:,} strokes, or points in a stroke")
    key_id = _key_id(record["key_id"]) if "key_id" in record else _hash(strokes)
    if not isinstance(word := record.get("word", word), str):
        raise ValueError(f"its word is {word!r:.80}, no text")
    return Sketch(word, key_id, recognized, strokes, len(record["drawing"]) - len(drawn))


def _key_id(given: Any) -> int:
    if isinstance(given, bool) or not (
        isinstance(given, int) or (isinstance(given, str) and given.removeprefix("-").isdecimal())
    ):
        raise ValueError(f"key_id is {given!r:.80}, no whole number")
    if len(str(given)) > 25 or not 0 <= int(given) < 2**64:
        raise ValueError(f"key_id {given!s:.80} does not fit 64 bits")
    return int(given)


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
    if xy.dtype.kind not in "iufO" or (xy.dtype == object and any(isinstance(number, str) for number in xy.flat)):
        raise ValueError("a coordinate is no number")
    if forms == {3}:
        return simplify(cut(xy, lengths))
    if xy.dtype != np.int64 or xy.min() < 0 or xy.max() > 255:
        raise ValueError("a coordinate of a simplified drawing is no whole number in 0..255")
    return cut(xy.astype(np.uint8), lengths)


def _read_bin(file: BinaryIO, path: Path) -> Iterator[Sketch | Broken]:
    number, word = 0, word_of(path)
    while header := file.read(_HEADER.size):
        number += 1
        try:
            key_id, _, recognized, _, num_strokes = _HEADER.unpack(header)
            start = file.tell()
            strokes: list[np.ndarray] = []
            while len(strokes) < num_strokes and file.tell() - start <= LARGEST["drawing"]:
                strokes.append(_read_stroke(file))
        except struct.error:
            yield Broken(number, "the file ends inside this drawing: it is not whole")
            return
        if recognized not in (0, 1) or len(strokes) < num_strokes:
            # Records have no marker, so the next one cannot be found.
            raise ValueError(f"{path}: drawing {number} does not parse, nor can what follows: fetch the file anew")
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
