"""What a file of drawings holds: sketches, each with what the file says of it, and what could not be read."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<H")


@dataclass(frozen=True)
class Sketch:
    """One drawing from a file."""

    word: str
    key_id: int  # 0..2^64 - 1; a hash of the strokes, or of the image, where the file has none
    recognized: bool | None  # None where the file does not say
    strokes: list[NDArray[np.uint8]]  # uint8 [n, 2], n >= 1, values 0..255
    num_empty_strokes: int = 0  # strokes without a point, left out of `strokes`
    split: str | None = None  # train, val or test, where the file says it
    image: NDArray[np.uint8] | None = None  # [28, 28], dark on light, of a file of bitmaps: it has no strokes


@dataclass(frozen=True)
class Broken:
    """A line, a record or an array of a file, that holds no drawing."""

    number: int  # counted from 1
    reason: str


def hash_strokes(strokes: Sequence[NDArray[np.uint8]]) -> int:
    """The key id of a drawing that has none: 64 bits of blake2b over its strokes."""
    digest = blake2b(digest_size=8)
    for stroke in strokes:
        digest.update(_LENGTH.pack(len(stroke)) + stroke.tobytes())
    return int.from_bytes(digest.digest(), "little")


def parse_key_id(given: Any) -> int:
    """A key id, written as a number or as text. Raises ValueError if it is no whole number in 0..2^64 - 1."""
    if isinstance(given, bool) or not (
        isinstance(given, int) or (isinstance(given, str) and given.removeprefix("-").isdecimal())
    ):
        raise ValueError(f"key_id is {given!r:.80}, no whole number")
    if len(str(given)) > 25 or not 0 <= int(given) < 2**64:
        raise ValueError(f"key_id {given!s:.80} does not fit 64 bits")
    return int(given)


def one_line(error: Exception) -> str:
    """Why a record holds no drawing, in one line."""
    reason = " ".join(str(error).split())[:200]
    return f"no {reason} in it" if isinstance(error, KeyError) else reason
