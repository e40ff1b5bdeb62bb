"""The official simplification of Quick, Draw!: from device coordinates to the fewest points in 0..255."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

EPSILON = 2.0
TINY = 1e-300  # a length below it counts as none: 255 divided by it is not finite
MOST_STEPS = (10**8, 50)  # limit of the search for the farthest points: in all, or for each point if that is more


def simplify(strokes: Sequence[ArrayLike]) -> list[np.ndarray]:
    """Simplify a drawing as Google did (googlecreativelab/quickdraw-dataset, README).

    Moves the drawing to the top-left corner, scales it uniformly so that its longer side is 255, resamples
    every stroke at 1 px, keeps what Ramer-Douglas-Peucker keeps at epsilon 2.0, and rounds last. What
    it drops may be the outermost point: as in the official files, a drawing can end 2 px short of 0 or 255.

    All strokes are processed at once. Many drawings that already have the same scale can be given as one, which takes
    an eighth of the time.

    Args:
        strokes: one float array [n, 2] of x and y per stroke, n >= 1, in any unit.

    Returns:
        One uint8 array [m, 2] per stroke, values 0..255. A drawing without extent becomes dots at (0, 0).

    Raises:
        ValueError: if there is no stroke, a stroke has no point, a coordinate is not finite, or the strokes wind so
            much that simplification would take too long.
    """
    arrays = [np.asarray(stroke, dtype=np.float64) for stroke in strokes]
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    if not lengths.size or not lengths.all():
        raise ValueError("a drawing to simplify needs at least one stroke, and every stroke at least one point")
    xy = np.concatenate(arrays)
    with np.errstate(over="ignore", invalid="ignore"):
        xy = xy - xy.min(axis=0)
    if not np.isfinite(xy).all():
        raise ValueError("a drawing to simplify has a coordinate that is too large, or not finite; drop that drawing")
    # Points are complex numbers from here on: length is abs, turning a chord onto the x axis is a product.
    extent = xy.max()
    points = (xy[:, 0] + 1j * xy[:, 1]) * (255 / extent if extent > TINY else 0)
    points, lengths = _resample(points, lengths)
    keep = _rdp(points, lengths)
    xy = np.rint(points[keep].view(np.float64)).astype(np.uint8).reshape(-1, 2)
    return cut(xy, np.add.reduceat(keep, np.cumsum(lengths) - lengths, dtype=np.int64).tolist())


def cut(xy: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """Strokes of these lengths from points [P, 2] that lie end to end; the sum of `lengths` is P."""
    return [xy[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True)]


def _resample(points: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points 1 px apart along every stroke, but only those next to a given point, and the last one.

    The other points lie on a straight line between two of these, so they are never the farthest from a chord.
    """
    ends = np.cumsum(lengths)
    steps = np.abs(np.diff(points, prepend=points[0]))
    steps[ends[:-1]] = 0
    along = np.cumsum(steps)
    starts, stops = np.repeat(along[ends - lengths], lengths), np.repeat(along[ends - 1], lengths)
    before = starts + np.floor(along - starts)
    # A stroke begins where the one before ended: a pixel for each stroke keeps their positions apart.
    apart = np.repeat(np.arange(len(lengths)), lengths)
    places = np.stack([before + apart, np.minimum(before + 1, stops) + apart], axis=1).ravel()
    places = np.maximum.accumulate(places)
    wanted = np.diff(places, prepend=-1) > 0
    wanted[2 * ends - 1] |= lengths > 1  # an official dot is a point written twice
    counts = np.add.reduceat(wanted, 2 * (ends - lengths), dtype=np.int64)
    return np.interp(places[wanted], along + apart, points), counts


def _rdp(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which of complex [P], strokes of `lengths` end to end, Ramer-Douglas-Peucker keeps: bool [P].

    All chords of one depth are split at once; there are about 6 depths in a drawing.
    """
    keep = np.zeros(len(points), dtype=bool)
    lasts = np.cumsum(lengths) - 1
    firsts = lasts - lengths + 1
    keep[firsts] = keep[lasts] = True
    steps, most = 0, max(MOST_STEPS[0], MOST_STEPS[1] * len(points))
    while True:
        inside = lasts - firsts - 1
        longer = inside > 0
        firsts, lasts, inside = firsts[longer], lasts[longer], inside[longer]
        if not len(firsts):
            return keep
        steps += int(inside.sum())
        if steps > most:
            raise ValueError(f"a drawing of {len(points):,} points winds too much to be simplified; drop that drawing")
        offsets = np.cumsum(inside) - inside
        chord_of = np.repeat(np.arange(len(inside)), inside)
        index = np.arange(len(chord_of)) + np.repeat(firsts + 1 - offsets, inside)
        chords = points[lasts] - points[firsts]
        spans = np.abs(chords)
        has_length = spans > TINY
        turns = np.divide(chords.conj(), spans, out=np.zeros_like(chords), where=has_length)
        away = points[index] - points[firsts][chord_of]
        distances = np.abs((away * turns[chord_of]).imag)
        if not has_length.all():  # a closed stroke: its chord is a point
            distances = np.where(has_length[chord_of], distances, np.abs(away))
        farthest = np.maximum.reduceat(distances, offsets)
        peaks = np.flatnonzero(distances == farthest[chord_of])[::-1]
        middles = np.empty_like(firsts)
        middles[chord_of[peaks]] = index[peaks]  # backwards, so that the first of equals is written last
        split = farthest > EPSILON
        keep[middles[split]] = True
        firsts, lasts = (
            np.concatenate([firsts[split], middles[split]]),
            np.concatenate([middles[split], lasts[split]]),
        )
