"""What augmentation does to whole strokes, without moving a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings, ranges


def drop_strokes(drawings: Drawings, dropout: float, chance: NDArray[np.float32]) -> Drawings:
    """Leave out the strokes whose `chance` [S] is below `dropout` times the rest of the drawing's line.

    If this would drop all strokes of a drawing, the stroke with the highest `chance` is kept.
    """
    if not len(drawings):
        return drawings
    starts, counts = drawings.stroke_starts[:-1], drawings.stroke_counts
    steps = np.hypot(*np.diff(drawings.points.astype(np.float32), axis=0, append=np.zeros((1, 2), np.float32)).T)
    steps[drawings.point_starts[1:] - 1] = 0
    lengths = np.add.reduceat(steps, drawings.point_starts[:-1])
    shares = lengths / np.repeat(np.maximum(np.add.reduceat(lengths, starts), 1), counts)
    luckiest = np.repeat(np.maximum.reduceat(chance, starts), counts)
    keep = (chance >= dropout * (1 - shares)) | (chance == luckiest)
    return Drawings(
        points=drawings.points.compress(np.repeat(keep, drawings.stroke_lengths), axis=0),
        stroke_lengths=drawings.stroke_lengths[keep],
        stroke_counts=np.add.reduceat(keep, starts, dtype=np.uint16),
        labels=drawings.labels,
        key_ids=drawings.key_ids,
    )


def stop_drawings(drawings: Drawings, shares: NDArray[np.float64]) -> Drawings:
    """Each drawing as it was when this share [N] of its line was drawn, 1 for all of it, points float32."""
    from deepdraw.drawings.cutting import stop_at  # imports numba, which is slow

    given = np.ascontiguousarray(drawings.points, np.float32)
    points, lengths, counts = stop_at(given, drawings.stroke_lengths, drawings.stroke_counts, shares)
    return Drawings(points, lengths, counts, drawings.labels, drawings.key_ids)


def cut_strokes(drawings: Drawings, split: float, chances: NDArray[np.float32]) -> Drawings:
    """Cut strokes into two, by two chances for each, [S, 2], points float32: see `split_strokes`."""
    from deepdraw.drawings.cutting import split_strokes  # imports numba, which is slow

    given = np.ascontiguousarray(drawings.points, np.float32)
    points, lengths, counts = split_strokes(
        given, drawings.stroke_lengths, drawings.stroke_counts, float(split), chances
    )
    return Drawings(points, lengths, counts, drawings.labels, drawings.key_ids)


def rearrange_strokes(drawings: Drawings, reverse: NDArray[np.bool_], ranks: NDArray[np.float32]) -> Drawings:
    """Draw strokes from their end to their start where `reverse` [S] says so, those of each drawing by rank [S]."""
    drawing_of_stroke = np.repeat(np.arange(len(drawings)), drawings.stroke_counts)
    order = np.lexsort((ranks, drawing_of_stroke))
    starts, lengths = drawings.point_starts[:-1][order], drawings.stroke_lengths[order]
    forwards = ranges(starts, lengths)
    backwards = np.repeat(2 * starts + lengths - 1, lengths) - forwards
    at = np.where(np.repeat(reverse[order], lengths), backwards, forwards)
    return Drawings(
        drawings.points.take(at, axis=0), lengths, drawings.stroke_counts, drawings.labels, drawings.key_ids
    )
