"""The box around a drawing, for compiled functions over packed drawings."""

from __future__ import annotations

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
