"""The box around a drawing and the length of its line, for compiled functions over packed drawings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.compiled import compiled


@compiled
def bounds(
    points: NDArray[np.float32], stroke_lengths: NDArray[np.uint16], first_stroke: int, last_stroke: int, point: int
) -> tuple[int, np.float32, np.float32, np.float32, np.float32]:
    """Where the points of a drawing end that begin at number `point`, and their left, right, top and bottom."""
    end = point
    for s in range(first_stroke, last_stroke):
        end += stroke_lengths[s]
    left = right = points[point, 0]
    top = bottom = points[point, 1]
    for p in range(point + 1, end):
        left, right = min(left, points[p, 0]), max(right, points[p, 0])
        top, bottom = min(top, points[p, 1]), max(bottom, points[p, 1])
    return end, left, right, top, bottom


@compiled
def line_length(
    points: NDArray[np.float32], stroke_lengths: NDArray[np.uint16], first_stroke: int, last_stroke: int, point: int
) -> np.float32:
    """The length of these strokes, whose points begin at number `point`, in the unit of the points."""
    total = np.float32(0)
    for s in range(first_stroke, last_stroke):
        for p in range(point + 1, point + stroke_lengths[s]):
            dx, dy = points[p, 0] - points[p - 1, 0], points[p, 1] - points[p - 1, 1]
            total += math.sqrt(dx * dx + dy * dy)
        point += stroke_lengths[s]
    return total
