"""Strokes to pixels: antialiased lines of a true width, the drawing's aspect ratio kept.

OpenCV does not draw the width it is asked for: an antialiased line of thickness 1, 2, 4, 6 puts down the ink
of one 1.33, 3.33, 5.33, 7.33 pixels wide. So a drawing is drawn on a canvas just so much larger that this
width, scaled down to the image's size, becomes the width that was meant.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.data.drawings import Drawings

Polarity = Literal["black_on_white", "white_on_black"]

THINNEST = 1.33  # pixels of ink across an OpenCV line of thickness 1; measured over all angles, +- 0.06
SUBPIXEL_BITS = 6
DOT = 8  # radius in subpixels at which OpenCV's disc has the ink of a dot as wide as the thinnest line


class Rasterizer:
    """Draws packed drawings into square grey images.

    size: pixels on a side; line_width: pixels of the image, at least 0.5; margin: share of the size left free
    on each side, in [0, 0.5); polarity: "black_on_white" or "white_on_black". The longer side of each drawing
    fills what the margins leave, the shorter is centred.
    """

    def __init__(
        self, size: int, line_width: float = 3.0, margin: float = 0.02, polarity: Polarity = "black_on_white"
    ) -> None:
        if size < 8:
            raise ValueError(f"render.size={size} is too small to draw on: choose at least 8 pixels")
        if not 0.5 <= line_width <= size / 4:
            raise ValueError(
                f"render.line_width={line_width} must lie between 0.5 and a quarter of the size, {size / 4}"
            )
        if not 0 <= margin < 0.5:
            raise ValueError(f"render.margin={margin} must lie in [0, 0.5): it is a share of the size")
        if polarity not in ("black_on_white", "white_on_black"):
            raise ValueError(f"render.polarity={polarity!r} must be black_on_white or white_on_black")
        self.size, self.line_width, self.margin, self.polarity = size, line_width, margin, polarity

    def __call__(self, drawings: Drawings) -> NDArray[np.uint8]:
        """Draw every drawing: uint8 [N, size, size]."""
        return self.draw(drawings, np.ones(len(drawings), np.float32))

    def draw(self, drawings: Drawings, line_width_factors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw each drawing `line_width` times its factor [N] wide: uint8 [N, size, size]."""
        ink, paper = (0, 255) if self.polarity == "black_on_white" else (255, 0)
        line_widths = self.line_width * line_width_factors.astype(np.float64)
        steps = np.maximum(0, np.ceil((line_widths - THINNEST) / 2 - 0.02)).astype(np.int64)
        sides = np.rint(self.size * (THINNEST + 2 * steps) / line_widths).astype(np.int64)
        points = self._place(drawings, line_widths, sides)
        dots = _dots(drawings, points)
        images = np.empty((len(drawings), self.size, self.size), np.uint8)
        pixels = np.empty(max(sides, default=0) ** 2, np.uint8)
        for i, (image, step, side) in enumerate(zip(images, steps.tolist(), sides.tolist(), strict=True)):
            first, last = drawings.stroke_starts[i], drawings.stroke_starts[i + 1]
            bounds = drawings.point_starts[first : last + 1].tolist()
            strokes = [points[a:b] for a, b in pairwise(bounds)]
            canvas = image if side == self.size else pixels[: side * side].reshape(side, side)
            canvas.fill(paper)
            cv2.polylines(canvas, strokes, False, ink, max(1, 2 * step), cv2.LINE_AA, SUBPIXEL_BITS)
            for dot in dots[first:last].nonzero()[0]:
                radius = max(DOT, step << SUBPIXEL_BITS)
                cv2.circle(canvas, strokes[dot][0].tolist(), radius, ink, -1, cv2.LINE_AA, SUBPIXEL_BITS)
            if canvas is not image:
                shrink = cv2.INTER_LINEAR if side <= 2 * self.size else cv2.INTER_AREA
                cv2.resize(canvas, (self.size, self.size), dst=image, interpolation=shrink)
        return images

    def _place(
        self, drawings: Drawings, line_widths: NDArray[np.float64], sides: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Scale and centre each drawing on its canvas: int32 [P, 2] in OpenCV's fixed-point pixel centres."""
        if not len(drawings):
            return np.empty((0, 2), np.int32)
        points = drawings.points.astype(np.float32)
        starts = drawings.drawing_point_starts
        low = np.minimum.reduceat(points, starts[:-1])
        high = np.maximum.reduceat(points, starts[:-1])
        room = (self.size * (1 - 2 * self.margin) - line_widths).astype(np.float32)[:, None]
        scale = room / np.maximum((high - low).max(axis=1, keepdims=True), 1)
        shift = self.size / 2 - (low + high) / 2 * scale
        owners = np.repeat(np.arange(len(drawings)), np.diff(starts))
        enlargement = (sides / self.size).astype(np.float32)[:, None]
        placed = (points * scale[owners] + shift[owners]) * enlargement[owners] - 0.5
        return np.rint(placed * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _dots(drawings: Drawings, points: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which strokes stay on one of the placed points [P, 2]: OpenCV's lines leave these out. bool [S]."""
    if not len(drawings):
        return np.empty(0, np.bool_)
    starts = drawings.point_starts[:-1]
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    return (low == high).all(axis=1)
