"""Strokes to pixels: antialiased lines of a true width, the drawing's aspect ratio kept.

OpenCV does not draw the width it is asked for: an antialiased line of thickness 1, 2, 4, 6 puts down the ink of one
1.33, 3.33, 5.33, 7.33 pixels wide. So a drawing is drawn on a canvas just so much larger that this width, scaled down
to the image's size, becomes the width that was meant.
"""

from __future__ import annotations

import math
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

    size: pixels on a side; line_width: pixels of the image, at least 0.5; margin: share of the size left free on each
    side, in [0, 0.5); polarity: "black_on_white" or "white_on_black". The longer side of each drawing fills what the
    margins leave, the shorter is centred.
    """

    def __init__(
        self, size: int, line_width: float = 3.0, margin: float = 0.02, polarity: Polarity = "black_on_white"
    ) -> None:
        if size < 8:
            raise ValueError(f"render.size={size} is too small to draw on: choose at least 8 pixels")
        if not 0.5 <= line_width <= size / 4:
            raise ValueError(f"render.line_width={line_width} must lie between 0.5 and a quarter of the size, {size / 4}")
        if not 0 <= margin < 0.5:
            raise ValueError(f"render.margin={margin} must lie in [0, 0.5): it is a share of the size")
        if polarity not in ("black_on_white", "white_on_black"):
            raise ValueError(f"render.polarity={polarity!r} must be black_on_white or white_on_black")
        self.size, self.line_width, self.margin, self.polarity = size, line_width, margin, polarity
        steps = max(0, math.ceil((line_width - THINNEST) / 2 - 0.02))
        self._thickness = max(1, 2 * steps)
        self._canvas = round(size * (THINNEST + 2 * steps) / line_width)
        self._radius = max(DOT, steps << SUBPIXEL_BITS)
        self._shrink = cv2.INTER_LINEAR if self._canvas <= 2 * size else cv2.INTER_AREA

    def __call__(self, drawings: Drawings) -> NDArray[np.uint8]:
        """Draw every drawing: uint8 [N, size, size]."""
        ink, paper = (0, 255) if self.polarity == "black_on_white" else (255, 0)
        points = self._place(drawings)
        dots = _dots(drawings)
        images = np.empty((len(drawings), self.size, self.size), np.uint8)
        canvas = np.empty((self._canvas, self._canvas), np.uint8)
        for i, image in enumerate(images):
            first, last = drawings.stroke_starts[i], drawings.stroke_starts[i + 1]
            bounds = drawings.point_starts[first : last + 1].tolist()
            strokes = [points[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
            target = image if self._canvas == self.size else canvas
            target.fill(paper)
            cv2.polylines(target, strokes, False, ink, self._thickness, cv2.LINE_AA, SUBPIXEL_BITS)
            for dot in dots[first:last].nonzero()[0]:
                cv2.circle(target, strokes[dot][0].tolist(), self._radius, ink, -1, cv2.LINE_AA, SUBPIXEL_BITS)
            if target is canvas:
                cv2.resize(canvas, (self.size, self.size), dst=image, interpolation=self._shrink)
        return images

    def _place(self, drawings: Drawings) -> NDArray[np.int32]:
        """Scale and centre each drawing on the canvas: int32 [P, 2] in OpenCV's fixed-point pixel centres."""
        if not len(drawings):
            return np.empty((0, 2), np.int32)
        points = drawings.points.astype(np.float32)
        starts = drawings.drawing_point_starts
        low = np.minimum.reduceat(points, starts[:-1])
        high = np.maximum.reduceat(points, starts[:-1])
        room = self.size * (1 - 2 * self.margin) - self.line_width
        scale = room / np.maximum((high - low).max(axis=1, keepdims=True), 1)
        shift = self.size / 2 - (low + high) / 2 * scale
        lengths = np.diff(starts)
        placed = points * np.repeat(scale, lengths, axis=0) + np.repeat(shift, lengths, axis=0)
        return np.rint((placed * (self._canvas / self.size) - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _dots(drawings: Drawings) -> NDArray[np.bool_]:
    """Which strokes stay on one point: OpenCV's lines leave these out. bool [S]."""
    if not len(drawings):
        return np.empty(0, np.bool_)
    starts = drawings.point_starts[:-1]
    low, high = np.minimum.reduceat(drawings.points, starts), np.maximum.reduceat(drawings.points, starts)
    return (low == high).all(axis=1)
