"""Reads the official bitmaps of Quick, Draw!: an array of many images of 28 x 28, white ink on black."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deepdraw.drawings.sketch import Sketch, hash_strokes
from deepdraw.runtime import NO_ARRAY, read_npy_header

SIDE = 28
BLOCK = 4096  # images that are read at once
FIX = f"give uint8 [N, {SIDE * SIDE}], an image of {SIDE} x {SIDE} in each row, white ink on black"


def read_bitmaps(file: BinaryIO, path: Path, word: str) -> Iterator[Sketch]:
    """The images of a .npy file, dark on light, one for each row. Raises ValueError, naming it, for another array.

    The key id of an image is a hash of its pixels.
    """
    number = _read_header(file, path)
    for start in range(0, number, BLOCK):
        size = min(BLOCK, number - start) * SIDE * SIDE
        block = file.read(size)
        if len(block) < size:
            raise ValueError(f"{path} is cut short, it has {number:,} images by its header: fetch it anew")
        for image in 255 - np.frombuffer(block, np.uint8).reshape(-1, SIDE, SIDE):
            yield Sketch(word, hash_strokes([image]), None, [], image=image)


def _read_header(file: BinaryIO, path: Path) -> int:
    """The number of images."""
    try:
        shape, is_fortran, dtype = read_npy_header(file)
    except NO_ARRAY as error:
        raise ValueError(f"{path} is no array that can be read ({error!s:.200}): {FIX}") from error
    if dtype != np.uint8 or is_fortran or len(shape) not in (2, 3) or not shape[0] or not _is_square(shape[1:]):
        raise ValueError(f"{path} holds {dtype} {list(shape)[:4]}{', in Fortran order' if is_fortran else ''}: {FIX}")
    return shape[0]


def _is_square(shape: tuple[Any, ...]) -> bool:
    return math.prod(shape) == SIDE * SIDE and shape in ((SIDE * SIDE,), (SIDE, SIDE))
