"""Draws antialiased lines of an exact width, a whole batch of drawings in one compiled call.

The ink of a pixel depends on its distance to the nearest segment: full ink up to half a pixel inside the edge of the
line, none from half a pixel outside it, and a linear ramp in between. This makes ends and joints round, and a segment
of length 0 a dot.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.bounds import bounds
from deepdraw.drawings.compiled import compiled

LANES = 8  # pixels of a row that are computed together, as many float32 as an AVX register holds
LEVEL = 1e-3  # the slope below which a segment's rows are not cut at its band, which would lose precision

_ZERO, _HALF, _ONE, _FULL = map(np.float32, (0, 0.5, 1, 255))  # numba computes float32 with float in double precision


@compiled
def draw_lines(
    points: NDArray[np.float32],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    line_widths: NDArray[np.float32],
    room: np.float32,
    paper: np.uint8,
    images: NDArray[np.uint8],
) -> None:
    """Draw packed drawings (see `Drawings`), each in lines [N] pixels wide, into `images` [N, size, size].

    The longer side of each drawing, line ends included, fills `room` pixels around the center. paper: 255 for black on
    white, 0 for white on black.
    """
    middle = _HALF * np.float32(images.shape[1] - 1)  # pixel centers have whole coordinates
    stroke, point = 0, 0
    for i in range(len(images)):
        image, last_stroke = images[i], stroke + stroke_counts[i]
        _, left, right, top, bottom = bounds(points, stroke_lengths, stroke, last_stroke, point)
        scale = max(room - line_widths[i], _ZERO) / max(right - left, bottom - top, _ONE)
        x_center, y_center = (left + right) * _HALF, (top + bottom) * _HALF
        image[:] = paper
        for s in range(stroke, last_stroke):
            x, y = (points[point, 0] - x_center) * scale + middle, (points[point, 1] - y_center) * scale + middle
            end = point + stroke_lengths[s]
            for p in range(min(point + 1, end - 1), end):
                x_next = (points[p, 0] - x_center) * scale + middle
                y_next = (points[p, 1] - y_center) * scale + middle
                _draw_segment(image, paper, x, y, x_next, y_next, line_widths[i])
                x, y = x_next, y_next
            point = end
        stroke = last_stroke


@compiled
def _draw_segment(
    image: NDArray[np.uint8],
    paper: np.uint8,
    x: np.float32,
    y: np.float32,
    x_end: np.float32,
    y_end: np.float32,
    line_width: np.float32,
) -> None:
    """Draw one segment over the image. In each row only the pixels that it can reach are changed."""
    size, reach = image.shape[0], (line_width + _ONE) * _HALF
    dx, dy = x_end - x, y_end - y
    square = dx * dx + dy * dy
    per_square = _ONE / square if square > _ZERO else _ZERO
    sloped = abs(dy) > np.float32(LEVEL) * abs(dx)
    slope = dx / dy if sloped else _ZERO
    spread = reach * math.sqrt(square) / abs(dy) if sloped else np.float32(size)
    left, right = min(x, x_end) - reach, max(x, x_end) + reach
    top = max(0, math.ceil(min(y, y_end) - reach))
    bottom = min(size - 1, math.floor(max(y, y_end) + reach))
    for row in range(top, bottom + 1):
        y_from = np.float32(row) - y
        crossing = x + y_from * slope if sloped else (x + x_end) * _HALF
        first = max(0, math.ceil(max(left, crossing - spread)))
        last = min(size - 1, math.floor(min(right, crossing + spread)))
        if last < first:
            continue
        # The compiler turns whole lanes into vector instructions. Computing more pixels than needed does no harm.
        count = min((last - first + LANES) // LANES * LANES, size)
        first = min(first, size - count)
        pixels = image[row, first : first + count]
        x_from, along_row = np.float32(first) - x, y_from * dy
        for k in range(len(pixels)):
            x_to = x_from + np.float32(np.int32(k))
            along = (x_to * dx + along_row) * per_square
            along = along if along > _ZERO else _ZERO
            along = along if along < _ONE else _ONE
            x_off, y_off = x_to - along * dx, y_from - along * dy
            cover = reach - math.sqrt(x_off * x_off + y_off * y_off)
            cover = cover if cover > _ZERO else _ZERO
            cover = cover if cover < _ONE else _ONE
            ink = np.uint8(np.int32(cover * _FULL + _HALF))
            before = pixels[k] ^ paper
            pixels[k] = (ink if ink > before else before) ^ paper
