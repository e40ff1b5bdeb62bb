"""Strokes to pixels: antialiased lines of an exact width. The drawing keeps its aspect ratio."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings

Polarity = Literal["black_on_white", "white_on_black"]
Images = Literal["drawing", "canvas"]


class Rasterizer:
    """Draws packed drawings into square gray images.

    size: pixels on a side; line_width: pixels of the image, at least 0.5; margin: share of the size left free
    on each side, in [0, 0.5); polarity: "black_on_white" or "white_on_black". The longer side of each drawing
    fills the space between the margins; the shorter side is centered. images: what an image stands for that comes in
    instead of strokes: "drawing", whose lines are traced and drawn like strokes, or "canvas", which is fitted into the
    square as it is (see `deepdraw.drawings.fit_to_square`).
    """

    def __init__(
        self,
        size: int,
        line_width: float = 3.0,
        margin: float = 0.02,
        polarity: Polarity = "black_on_white",
        images: Images = "canvas",
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
        if images not in ("drawing", "canvas"):
            raise ValueError(f"render.images={images!r} must be drawing or canvas")
        self.size, self.line_width, self.margin, self.polarity = size, line_width, margin, polarity
        self.images = images

    def __call__(self, drawings: Drawings, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Draw every drawing: uint8 [N, size, size], written into `out` if it is given."""
        return self.draw(drawings, np.ones(len(drawings), np.float32), out)

    def draw(
        self, drawings: Drawings, line_width_factors: NDArray[np.float32], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Draw every drawing with lines of `line_width` times its factor [N]: uint8 [N, size, size], or into `out`."""
        from deepdraw.drawings.lines import draw_lines  # imports numba, which is slow, so only when something is drawn

        if out is None:
            out = np.empty((len(drawings), self.size, self.size), np.uint8)
        draw_lines(
            np.ascontiguousarray(drawings.points, np.float32),
            drawings.stroke_lengths,
            drawings.stroke_counts,
            (self.line_width * line_width_factors.astype(np.float64)).astype(np.float32),
            np.float32(self.size * (1 - 2 * self.margin)),
            np.uint8(255 if self.polarity == "black_on_white" else 0),
            out,
        )
        return out
