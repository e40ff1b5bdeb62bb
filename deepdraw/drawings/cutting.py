"""Cuts strokes at a length along them: a whole batch of drawings in one compiled call."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.bounds import line_length
from deepdraw.drawings.compiled import compiled

Strokes = tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16]]
NEAREST_END = 0.1  # share of a stroke that each of its two parts has at least


@compiled
def stop_at(
    points: NDArray[np.float32],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    shares: NDArray[np.float64],
) -> Strokes:
    """Points, stroke lengths and stroke counts of what the pen drew of each drawing in a share of its line, [N].

    The last line ends where the share does. The first point of a drawing always stays.
    """
    kept, lengths = np.empty_like(points), np.empty_like(stroke_lengths)
    counts = np.empty_like(stroke_counts)
    stroke, point, written, strokes_written = 0, 0, 0, 0
    for i in range(len(stroke_counts)):
        first_stroke, last_stroke = strokes_written, stroke + stroke_counts[i]
        left = np.float64(line_length(points, stroke_lengths, stroke, last_stroke, point)) * shares[i]
        if shares[i] >= 1:
            left = np.inf
        for s in range(stroke, last_stroke):
            last = point + stroke_lengths[s]
            if left > 0 or strokes_written == first_stroke:
                first = written
                kept[written] = points[point]
                written += 1
                for p in range(point + 1, last):
                    dx, dy = np.float64(points[p, 0] - points[p - 1, 0]), np.float64(points[p, 1] - points[p - 1, 1])
                    step = math.sqrt(dx * dx + dy * dy)
                    if step > left:
                        if left > 0:
                            kept[written, 0] = points[p - 1, 0] + dx * left / step
                            kept[written, 1] = points[p - 1, 1] + dy * left / step
                            written += 1
                        left = 0.0
                        break
                    kept[written] = points[p]
                    written += 1
                    left -= step
                lengths[strokes_written] = written - first
                strokes_written += 1
            point = last
        counts[i] = strokes_written - first_stroke
        stroke = last_stroke
    return kept[:written], lengths[:strokes_written], counts


@compiled
def split_strokes(
    points: NDArray[np.float32],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    split: float,
    chances: NDArray[np.float32],
) -> Strokes:
    """Points, stroke lengths and stroke counts of drawings some of whose strokes are cut into two that meet.

    chances: [S, 2]. A stroke is cut where the first is below `split` times its share of the drawing's line, at the
    place along it that the second says.
    """
    cut_points = np.empty((len(points) + 2 * len(stroke_lengths), 2), np.float32)
    lengths = np.empty(2 * len(stroke_lengths), np.uint16)
    counts = np.empty_like(stroke_counts)
    stroke, point, written, strokes_written = 0, 0, 0, 0
    for i in range(len(stroke_counts)):
        first_stroke, last_stroke = strokes_written, stroke + stroke_counts[i]
        total = line_length(points, stroke_lengths, stroke, last_stroke, point)
        for s in range(stroke, last_stroke):
            last, first = point + stroke_lengths[s], written
            length = line_length(points, stroke_lengths, s, s + 1, point)
            left = np.inf  # to the place where it is cut
            has_room = strokes_written - first_stroke + (last_stroke - s) < 65535
            if chances[s, 0] * total < split * length and has_room:
                left = length * (NEAREST_END + (1 - 2 * NEAREST_END) * np.float64(chances[s, 1]))
            cut_points[written] = points[point]
            written += 1
            for p in range(point + 1, last):
                dx, dy = np.float64(points[p, 0] - points[p - 1, 0]), np.float64(points[p, 1] - points[p - 1, 1])
                step = math.sqrt(dx * dx + dy * dy)
                if left <= step:
                    cut_points[written, 0] = points[p - 1, 0] + dx * left / step
                    cut_points[written, 1] = points[p - 1, 1] + dy * left / step
                    cut_points[written + 1] = cut_points[written]
                    lengths[strokes_written] = written + 1 - first
                    strokes_written += 1
                    first, written, left = written + 1, written + 2, np.inf
                cut_points[written] = points[p]
                written += 1
                left -= step
            lengths[strokes_written] = written - first
            strokes_written += 1
            point = last
        counts[i] = strokes_written - first_stroke
        stroke = last_stroke
    return cut_points[:written], lengths[:strokes_written], counts
