"""Sorts more drawings than fit in memory: each category is sorted in a file of its own, and the files are merged.

The order is that of a hash of the key id, so it looks random, and is the same however the drawings were divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Drawings, mix

PLACE_BITS = 14
NUM_PLACES = 2**PLACE_BITS  # equal ranges of hashes, of which a merge reads whole ones


def order_hash(key_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """By what drawings are sorted, uint64 [N]."""
    return mix(key_ids, "order")


@dataclass(frozen=True)
class SortedPart:
    """Drawings of one class, sorted, in the file `path` from the byte `offset` on."""

    path: Path
    offset: int
    label: int
    num_drawings: int
    num_strokes: int
    num_points: int

    def between(self, first: int, last: int) -> Drawings:
        """The drawings in the places from `first` up to and without `last`."""
        hashes, key_ids, stroke_starts, point_starts, stroke_counts, stroke_lengths, points = self._arrays()
        bounds = [np.uint64(place << (64 - PLACE_BITS)) for place in (first, last) if place < NUM_PLACES]
        start, end = (*np.searchsorted(hashes, bounds).tolist(), self.num_drawings)[:2]
        strokes = slice(stroke_starts[start], stroke_starts[end])
        return Drawings(
            points=points[point_starts[start] : point_starts[end]],
            stroke_lengths=stroke_lengths[strokes],
            stroke_counts=stroke_counts[start:end],
            labels=np.full(end - start, self.label, np.uint16),
            key_ids=key_ids[start:end],
        )

    def _arrays(self) -> list[NDArray[Any]]:
        n, content, at = self.num_drawings, np.memmap(self.path, np.uint8, "r"), self.offset
        forms: list[tuple[Any, tuple[int, ...]]] = [
            *((np.uint64, (n,)), (np.uint64, (n,)), (np.int64, (n + 1,)), (np.int64, (n + 1,))),
            *((np.uint16, (n,)), (np.uint16, (self.num_strokes,)), (np.uint8, (self.num_points, 2))),
        ]
        arrays = []
        for dtype, shape in forms:
            arrays.append(np.ndarray(shape, dtype, content, at))
            at += arrays[-1].nbytes
        return arrays


def write_sorted(file: BinaryIO, path: Path, drawings: Drawings) -> tuple[SortedPart, NDArray[np.int64]]:
    """Append drawings of one class, labeled 0, to the file `path`: where they are, and how many are in each place."""
    hashes = order_hash(drawings.key_ids)
    order = np.argsort(hashes, kind="stable")
    hashes, drawings = hashes[order], drawings.take(order)
    file.write(bytes(-file.tell() % 8))
    offset = file.tell()
    for array in (
        *(hashes, drawings.key_ids, drawings.stroke_starts, drawings.drawing_point_starts),
        *(drawings.stroke_counts, drawings.stroke_lengths, drawings.points),
    ):
        file.write(array.data)
    part = SortedPart(path, offset, 0, len(drawings), len(drawings.stroke_lengths), len(drawings.points))
    return part, np.bincount(hashes >> np.uint64(64 - PLACE_BITS), minlength=NUM_PLACES)


class SortedDrawings:
    """Drawings in sorted parts, each of another class, labeled by its number. Only what is asked for is read."""

    def __init__(self) -> None:
        self._parts: list[SortedPart] = []
        self._places = np.zeros(NUM_PLACES, np.int64)

    def add(self, part: SortedPart, label: int, places: NDArray[np.int64]) -> None:
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
