"""Many drawings packed end to end: the form in which strokes are stored, shuffled and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

AT_ONCE = 2**15  # drawings to take at once: the index of each of their points has 8 bytes, the point has 2


@dataclass(frozen=True, eq=False)
class Drawings:
    """N drawings of S strokes with P points in all.

    points: uint8 [P, 2], x and y in 0..255, y downwards, or float32 of any range where augmented;
    stroke_lengths: uint16 [S], points in a stroke, at least 1; stroke_counts: uint16 [N], strokes in a drawing,
    at least 1; labels: uint16 [N]; key_ids: uint64 [N].
    """

    points: NDArray[np.uint8 | np.float32]
    stroke_lengths: NDArray[np.uint16]
    stroke_counts: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    key_ids: NDArray[np.uint64]

    @classmethod
    def pack(
        cls,
        drawings: Sequence[Sequence[ArrayLike]],
        labels: ArrayLike | None = None,
        key_ids: Sequence[int] | NDArray[np.uint64] | None = None,
    ) -> Drawings:
        """Pack drawings given as lists of strokes, each of points [n, 2]. Without labels or key ids these are 0."""
        strokes = [np.asarray(stroke, np.uint8) for drawing in drawings for stroke in drawing]
        return cls(
            points=np.concatenate(strokes) if strokes else np.empty((0, 2), np.uint8),
            stroke_lengths=np.array([len(stroke) for stroke in strokes], np.uint16),
            stroke_counts=np.array([len(drawing) for drawing in drawings], np.uint16),
            labels=np.zeros(len(drawings), np.uint16) if labels is None else np.asarray(labels, np.uint16),
            key_ids=np.zeros(len(drawings), np.uint64) if key_ids is None else np.asarray(key_ids, np.uint64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Drawings]) -> Drawings:
        """The drawings of all parts, in order."""
        return cls(
            points=np.concatenate([part.points for part in parts]),
            stroke_lengths=np.concatenate([part.stroke_lengths for part in parts]),
            stroke_counts=np.concatenate([part.stroke_counts for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            key_ids=np.concatenate([part.key_ids for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.stroke_counts)

    @cached_property
    def stroke_starts(self) -> NDArray[np.int64]:
        """int64 [N + 1]: drawing i owns strokes `stroke_starts[i]` to `stroke_starts[i + 1]`."""
        return _starts(self.stroke_counts)

    @cached_property
    def point_starts(self) -> NDArray[np.int64]:
        """int64 [S + 1]: stroke j owns points `point_starts[j]` to `point_starts[j + 1]`."""
        return _starts(self.stroke_lengths)

    @cached_property
    def drawing_point_starts(self) -> NDArray[np.int64]:
        """int64 [N + 1]: drawing i owns points `drawing_point_starts[i]` to `drawing_point_starts[i + 1]`."""
        return self.point_starts[self.stroke_starts]

    def complexity(self) -> Complexity:
        """The number of strokes and of points of each drawing. The points themselves are not read."""
        points = np.minimum(np.diff(self.drawing_point_starts), np.iinfo(np.uint16).max)
        return Complexity(self.stroke_counts, points.astype(np.uint16))

    def strokes(self, index: int) -> list[NDArray[np.uint8 | np.float32]]:
        """The strokes of one drawing, each [n, 2]."""
        first, last = self.stroke_starts[index], self.stroke_starts[index + 1]
        bounds = self.point_starts[first : last + 1]
        return [self.points[a:b] for a, b in pairwise(bounds)]

    def per_class(self, num_classes: int) -> NDArray[np.int64]:
        """How many drawings have each label, int64 [num_classes]."""
        return np.bincount(self.labels, minlength=num_classes)

    def slice(self, start: int, stop: int) -> Drawings:
        """The drawings from `start` up to and without `stop`, which share their memory with these."""
        first, last = self.stroke_starts[start], self.stroke_starts[min(stop, len(self))]
        return Drawings(
            points=self.points[self.point_starts[first] : self.point_starts[last]],
            stroke_lengths=self.stroke_lengths[first:last],
            stroke_counts=self.stroke_counts[start:stop],
            labels=self.labels[start:stop],
            key_ids=self.key_ids[start:stop],
        )

    def take(self, indices: NDArray[np.integer]) -> Drawings:
        """The drawings at `indices`, in that order; an index may be repeated."""
        if len(indices) > AT_ONCE:
            starts = range(0, len(indices), AT_ONCE)
            return Drawings.concatenate([self.take(indices[start : start + AT_ONCE]) for start in starts])
        strokes = ranges(self.stroke_starts[indices], self.stroke_counts[indices])
        starts, ends = self.drawing_point_starts[indices], self.drawing_point_starts[1:][indices]
        return Drawings(
            points=self.points.take(ranges(starts, ends - starts), axis=0),  # 15 times as fast as points[...]
            stroke_lengths=self.stroke_lengths[strokes],
            stroke_counts=self.stroke_counts[indices],
            labels=self.labels[indices],
            key_ids=self.key_ids[indices],
        )


@dataclass(frozen=True, eq=False)
class Complexity:
    """How much was drawn in each of N drawings.

    strokes: uint16 [N]; points: uint16 [N], over all strokes, where 65,535 stands for as many or more.
    """

    strokes: NDArray[np.uint16]
    points: NDArray[np.uint16]

    @classmethod
    def concatenate(cls, parts: Sequence[Complexity]) -> Complexity:
        """The complexity of the drawings of all parts, in order."""
        empty = np.empty(0, np.uint16)
        return cls(
            strokes=np.concatenate([empty, *(part.strokes for part in parts)]),
            points=np.concatenate([empty, *(part.points for part in parts)]),
        )

    def take(self, indices: NDArray[np.integer]) -> Complexity:
        """The complexity of the drawings at `indices`, in that order."""
        return Complexity(self.strokes[indices], self.points[indices])


def hash_text(text: str) -> int:
    """64 bits of blake2b: the key id of a drawing that has only a name."""
    return int.from_bytes(blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def mix(values: NDArray[np.uint64], salt: str) -> NDArray[np.uint64]:
    """Hash each value to 64 uniform bits. Each `salt` gives a different hash (splitmix64, Steele et al. 2014)."""
    x = values.astype(np.uint64) ^ np.uint64(hash_text(salt))
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Concatenate `arange(start, start + length)` of every pair."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
