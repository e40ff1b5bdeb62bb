"""Sorts more drawings than fit in memory: each category is sorted in a file of its own, and the files are merged.

The order is that of a hash of the key id, so it looks random, and is the same however the drawings were divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Drawings, mix

PLACE_BITS = 12
NUM_PLACES = 2**PLACE_BITS  # equal ranges of hashes, of which a merge reads whole ones
_LAYOUT = {  # the arrays of a sorted part, in this order: dtype and numbers in a row
    **{"place_starts": (np.int64, 1), "stroke_starts": (np.int64, 1), "point_starts": (np.int64, 1)},
    **{"key_ids": (np.uint64, 1), "stroke_counts": (np.uint16, 1)},
    **{"stroke_lengths": (np.uint16, 1), "points": (np.uint8, 2)},
}


def order_hash(key_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """By what drawings are sorted, uint64 [N]."""
    return mix(key_ids, "order")


@dataclass(frozen=True)
class SortedPart:
    """Drawings of one class, sorted, in the file `path`; starts: the byte at which each array of _LAYOUT starts."""

    path: Path
    starts: tuple[int, ...]
    label: int
    num_drawings: int

    def between(self, first: int, last: int) -> Drawings:
        """The drawings in the places from `first` up to and without `last`. Nothing else is read."""
        with open(self.path, "rb", buffering=0) as file:
            a, b = (int(self._read(file, "place_starts", place, place + 1)[0]) for place in (first, last))
            strokes = [int(self._read(file, "stroke_starts", drawing, drawing + 1)[0]) for drawing in (a, b)]
            points = [int(self._read(file, "point_starts", drawing, drawing + 1)[0]) for drawing in (a, b)]
            return Drawings(
                points=self._read(file, "points", *points).reshape(-1, 2),
                stroke_lengths=self._read(file, "stroke_lengths", *strokes),
                stroke_counts=self._read(file, "stroke_counts", a, b),
                labels=np.full(b - a, self.label, np.uint16),
                key_ids=self._read(file, "key_ids", a, b),
            )

    def _read(self, file: FileIO, name: str, first: int, last: int) -> NDArray[Any]:
        """The rows from `first` up to `last` of an array."""
        number, (dtype, width) = list(_LAYOUT).index(name), _LAYOUT[name]
        row = np.dtype(dtype).itemsize * width
        file.seek(self.starts[number] + first * row)
        content = file.read((last - first) * row)
        return np.frombuffer(content, dtype)


def write_sorted(file: BinaryIO, path: Path, drawings: Drawings) -> tuple[SortedPart, NDArray[np.int64]]:
    """Append drawings of one class, labeled 0, to the file `path`: where they are, and how many are in each place."""
    hashes = order_hash(drawings.key_ids)
    order = np.argsort(hashes, kind="stable")
    drawings = drawings.take(order)
    places = np.bincount((hashes >> np.uint64(64 - PLACE_BITS)).astype(np.int64), minlength=NUM_PLACES)
    arrays = {
        "place_starts": np.concatenate([[0], np.cumsum(places)]),
        "stroke_starts": drawings.stroke_starts,
        "point_starts": drawings.drawing_point_starts,
    }
    starts = []
    for name, (dtype, _) in _LAYOUT.items():
        starts.append(file.tell())
        file.write(np.ascontiguousarray(arrays.get(name, getattr(drawings, name, None)), dtype).data)
    return SortedPart(path, tuple(starts), 0, len(drawings)), places


class SortedDrawings:
    """Drawings in sorted parts, each of another class, labeled by its number. Only what is asked for is read."""

    def __init__(self) -> None:
        self._parts: list[SortedPart] = []
        self._places = np.zeros(NUM_PLACES, np.int64)

    def add(self, part: SortedPart, places: NDArray[np.int64], label: int) -> None:
        """Add a part, and how many of its drawings are in each place."""
        self._parts.append(replace(part, label=label))
        self._places += places

    def __len__(self) -> int:
        return int(self._places.sum())

    def per_class(self, num_classes: int) -> NDArray[np.int64]:
        """How many drawings each class has, int64 [num_classes]."""
        counts = np.zeros(num_classes, np.int64)
        counts[[part.label for part in self._parts]] = [part.num_drawings for part in self._parts]
        return counts

    def stretches(self, size: int) -> list[Callable[[], Drawings]]:
        """All drawings in their order, `size` at a time: calls, which may be made elsewhere, that return them."""
        ends = np.concatenate([[0], np.cumsum(self._places)])
        starts = np.arange(0, ends[-1], size)
        firsts = np.searchsorted(ends, starts, side="right") - 1
        lasts = np.searchsorted(ends, np.minimum(starts + size, ends[-1]))
        parts = tuple(sorted(self._parts, key=lambda part: part.label))
        return [
            partial(_merge, parts, first, last, skipped, size)
            for first, last, skipped in zip(
                firsts.tolist(), lasts.tolist(), (starts - ends[firsts]).tolist(), strict=True
            )
        ]


def _merge(parts: Sequence[SortedPart], first: int, last: int, skipped: int, number: int) -> Drawings:
    """Of the drawings in the places from `first` up to `last`, in order, `number` behind those to be `skipped`."""
    drawings = Drawings.concatenate([part.between(first, last) for part in parts])
    order = np.argsort(order_hash(drawings.key_ids), kind="stable")
    return drawings.take(order[skipped : skipped + number])
