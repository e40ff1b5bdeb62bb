"""Draws antialiased lines of an exact width, a whole batch of drawings in one compiled call.

The ink of a pixel depends on its distance to the nearest segment: full ink up to half a pixel inside the edge of the
line, none from half a pixel outside it, and a linear ramp in between. This makes ends and joints round, and a segment
of length 0 a dot.

Further channels tell the order and the direction of the lines, each as ink that is less full (see `Rasterizer`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.bounds import bounds, line_length
from deepdraw.drawings.compiled import compiled

LANES = 8  # pixels of a row that are computed together, as many float32 as an AVX register holds
INK, SHADED, THIRDS = range(3)
KINDS = {"ink": INK, "shaded": SHADED, "thirds": THIRDS}  # of channels
FADING = 0.85  # share of the ink that the end of a drawing lacks
LEANING = 0.4  # ink of a horizontal line above that of a diagonal one, as a share of full ink; of a vertical one below
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
    kind: int,
    images: NDArray[np.uint8],
) -> None:
    """Draw packed drawings (see `Drawings`), each in lines [N] pixels wide, into `images` [N, C, size, size].

    The longer side of each drawing, line ends included, fills `room` pixels around the center. paper: 255 for black on
    white, 0 for white on black. kind: of the channels: INK is one, SHADED and THIRDS are three.
    """
    middle = _HALF * np.float32(images.shape[2] - 1)  # pixel centers have whole coordinates
    stroke, point = 0, 0
    for i in range(len(images)):
        image, last_stroke = images[i], stroke + stroke_counts[i]
        _, left, right, top, bottom = bounds(points, stroke_lengths, stroke, last_stroke, point)
        scale = max(room - line_widths[i], _ZERO) / max(right - left, bottom - top, _ONE)
        x_center, y_center = (left + right) * _HALF, (top + bottom) * _HALF
        image[:] = paper
        done = total = _ZERO  # pixels of the drawing's line
        if kind != INK:
            total = line_length(points, stroke_lengths, stroke, last_stroke, point) * scale
        for s in range(stroke, last_stroke):
            x, y = (points[point, 0] - x_center) * scale + middle, (points[point, 1] - y_center) * scale + middle
            end = point + stroke_lengths[s]
            for p in range(min(point + 1, end - 1), end):
                x_next = (points[p, 0] - x_center) * scale + middle
                y_next = (points[p, 1] - y_center) * scale + middle
                if kind == INK:
                    _draw_segment(image[0], paper, x, y, x_next, y_next, line_widths[i], None, None)
                elif kind == SHADED:
                    done = _shade_segment(image, paper, x, y, x_next, y_next, line_widths[i], done, total)
                else:
                    done = _draw_in_thirds(image, paper, x, y, x_next, y_next, line_widths[i], done, total)
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
    shades: NDArray[np.uint8] | None,
    inks: Any,
) -> None:
    """Draw one segment over the image. In each row only the pixels that it can reach are changed.

    shades: two more images, drawn with less ink, of which 255 is full. inks: three float32; the first has `inks[0]` at
    the beginning of the segment and `inks[1]` more at its end, the second `inks[2]`. Both are None for one image.
    """
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
        if shades is not None:
            by_order, by_direction = shades[0, row, first : first + count], shades[1, row, first : first + count]
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
            pixels[k] = _inked(pixels[k], paper, cover * _FULL)
            if shades is not None:
                by_order[k] = _inked(by_order[k], paper, cover * (inks[0] + along * inks[1]))
                by_direction[k] = _inked(by_direction[k], paper, cover * inks[2])


@compiled
def _inked(pixel: np.uint8, paper: np.uint8, ink: np.float32) -> np.uint8:
    """The pixel with at least so much ink, 0 to 255."""
    rounded, before = np.uint8(np.int32(ink + _HALF)), pixel ^ paper
    return (rounded if rounded > before else before) ^ paper


@compiled
def _shade_segment(
    image: NDArray[np.uint8],
    paper: np.uint8,
    x: np.float32,
    y: np.float32,
    x_end: np.float32,
    y_end: np.float32,
    line_width: np.float32,
    done: np.float32,
    total: np.float32,
) -> np.float32:
    """Draw one segment in ink, by its place in the drawing's line, and by its direction, into image [3, size, size].

    done, total: pixels of the line before the segment, and of the whole line. Returns those up to its end.
    """
    dx, dy = x_end - x, y_end - y
    square = dx * dx + dy * dy
    end = done + math.sqrt(square)
    fading = _FULL * np.float32(FADING) / total if total > _ZERO else _ZERO
    before, after = _FULL - fading * min(done, total), _FULL - fading * min(end, total)
    lean = (dx * dx - dy * dy) / square if square > _ZERO else _ZERO  # the cosine of twice its angle
    level = _FULL * (_ONE + np.float32(LEANING) * (lean - _ONE))
    _draw_segment(image[0], paper, x, y, x_end, y_end, line_width, image[1:], (before, after - before, level))
    return end


@compiled
def _draw_in_thirds(
    image: NDArray[np.uint8],
    paper: np.uint8,
    x: np.float32,
    y: np.float32,
    x_end: np.float32,
    y_end: np.float32,
    line_width: np.float32,
    done: np.float32,
    total: np.float32,
) -> np.float32:
    """Draw what of one segment lies in the first third, the first two thirds, and the whole of the drawing's line.

    image: [3, size, size]; done, total and the result: as for `_shade_segment`.
    """
    dx, dy = x_end - x, y_end - y
    length = math.sqrt(dx * dx + dy * dy)
    for k in range(2):
        room = total * np.float32(k + 1) / np.float32(3) - done
        if room >= _ZERO:
            share = room / length if length > room else _ONE
            _draw_segment(image[k], paper, x, y, x + dx * share, y + dy * share, line_width, None, None)
    _draw_segment(image[2], paper, x, y, x_end, y_end, line_width, None, None)
    return done + length
