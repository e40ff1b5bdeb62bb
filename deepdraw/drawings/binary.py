"""Reads the official binary files of Quick, Draw!, one drawing after another without any marker between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.sketch import Broken, Sketch
from deepdraw.runtime import LARGEST

_HEADER = struct.Struct("<Q2sbIH")  # key_id, country, recognized, timestamp, number of strokes
_LENGTH = struct.Struct("<H")


def read_bin(file: BinaryIO, path: Path, word: str, number: int = 0) -> Iterator[Sketch | Broken]:
    """The drawings of a .bin file after its first `number`. Raises ValueError, naming it, where it does not parse."""
    while header := file.read(_HEADER.size):
        number += 1
        try:
            key_id, _, recognized, _, num_strokes = _HEADER.unpack(header)
            start = file.tell()
            strokes: list[NDArray[np.uint8]] = []
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


def _read_stroke(file: BinaryIO) -> NDArray[np.uint8]:
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    xy = file.read(2 * length)
    if len(xy) < 2 * length:
        raise struct.error("the stroke is cut off")
    return np.frombuffer(xy, np.uint8).reshape(2, length).T
