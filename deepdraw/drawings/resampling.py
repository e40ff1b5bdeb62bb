"""Resamples strokes by equal arc length, a whole batch of drawings in one compiled call."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.bounds import bounds, line_length
from deepdraw.drawings.compiled import compiled

SLACK = 1 + 1e-4  # by which steps are longer than the shortest that would do, so that rounding never adds a point
STROKE_UNIT = 16  # strokes that count as 1 in the number of a stroke

_ZERO, _HALF, _ONE, _TWO = map(np.float32, (0, 0.5, 1, 2))  # numba computes float32 with float in double precision
_SLACK, _STROKE_UNIT = np.float32(SLACK), np.float32(STROKE_UNIT)


@compiled
def resample(
    points: NDArray[np.float32],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    paces: NDArray[np.float32],
    sampled: NDArray[np.float32],
) -> None:
    """Fill `sampled` [N, K, 8] with up to K points of each packed drawing (see `Drawings`, `PointSampler`).

    The first point of each stroke is kept, and the room that is left is shared along the strokes in equal steps, or as
    the `paces` [S, 2] of the strokes say (see `_along`); [0, 2] for equal steps. Of a drawing of more than K strokes
    only the first K are seen.
    """
    has_paces = len(paces) > 0
    stroke, point = 0, 0
    most = sampled.shape[1]
    for i in range(len(sampled)):
        drawing, last_stroke = sampled[i], stroke + stroke_counts[i]
        end, left, right, top, bottom = bounds(points, stroke_lengths, stroke, last_stroke, point)
        scale = _TWO / max(right - left, bottom - top, np.float32(1e-6))
        x_center, y_center = (left + right) * _HALF, (top + bottom) * _HALF
        total = line_length(points, stroke_lengths, stroke, last_stroke, point)
        room = most - (last_stroke - stroke)
        step = max(total / np.float32(room) * _SLACK, np.float32(1e-6)) if room > 0 else np.float32(np.inf)
        per_total = _ONE / total if total > _ZERO else _ZERO
        drawing[:] = _ZERO
        count, done = 0, _ZERO
        for s in range(stroke, min(last_stroke, stroke + most)):
            last = point + stroke_lengths[s]
            number = np.float32(s - stroke) / _STROKE_UNIT
            x, y = points[point, 0], points[point, 1]
            row, first = drawing[count], count
            row[0], row[1], row[2] = (x - x_center) * scale, (y - y_center) * scale, _ONE
            row[5], row[6], row[7] = _ONE, done * per_total, number
            count, ahead = count + 1, step  # ahead: from the current vertex to the next sample
            taken, length_of_stroke = _ZERO, _ZERO
            if has_paces:
                length_of_stroke = line_length(points, stroke_lengths, s, s + 1, point)
                taken = ahead = _along(step, length_of_stroke, paces[s])
            for p in range(point + 1, last):
                dx, dy = points[p, 0] - x, points[p, 1] - y
                length = math.sqrt(dx * dx + dy * dy)
                if length > _ZERO:
                    dx, dy = dx / length, dy / length
                    while ahead <= length and count < most:
                        row = drawing[count]
                        row[0] = (x + dx * ahead - x_center) * scale
                        row[1] = (y + dy * ahead - y_center) * scale
                        row[3], row[4], row[5] = dx, dy, _ONE
                        row[6], row[7] = (done + ahead) * per_total, number
                        count += 1
                        if has_paces:
                            place = _along(np.float32(count - first) * step, length_of_stroke, paces[s])
                            taken, ahead = place, ahead + (place - taken)
                        else:
                            ahead += step
                    ahead, done = ahead - length, done + length
                x, y = points[p, 0], points[p, 1]
            point = last
        stroke, point = last_stroke, end


@compiled
def _along(time: np.float32, length: np.float32, pace: NDArray[np.float32]) -> np.float32:
    """How far along a stroke of this length the pen is after a time, of which it needs `length` for the whole stroke.

    pace: by what share its speed rises and falls, once in a stroke, and where that begins, 0 to 1.
    """
    if length <= _ZERO:
        return time
    turn = np.float32(2 * math.pi)
    share, unevenness, phase = time / length, pace[0], pace[1]
    wave = math.sin(turn * (share + phase)) - math.sin(turn * phase)
    return np.float32(length * (share + unevenness / turn * wave))
