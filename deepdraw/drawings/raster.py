"""Strokes to pixels: antialiased lines of an exact width. The drawing keeps its aspect ratio."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings

Polarity = Literal["black_on_white", "white_on_black"]
Images = Literal["drawing", "canvas"]
Channels = Literal["ink", "shaded", "thirds"]


class Rasterizer:
    """Draws packed drawings into square images, gray or of three channels.

    size: pixels on a side; line_width: pixels of the image, at least 0.5; margin: share of the size left free
    on each side, in [0, 0.5); polarity: "black_on_white" or "white_on_black". The longer side of each drawing
    fills the space between the margins; the shorter side is centered. images: what an image stands for that comes in
    instead of strokes: "drawing", whose lines are traced and drawn like strokes, or "canvas", which is fitted into the
    square as it is (see `deepdraw.drawings.fit_to_square`). channels: "ink" is one, the gray image. The others are
    three, which tell the order of drawing; all are ink on the same paper, drawn along the line from its beginning, the
    first point of the first stroke, to its end:

    - "shaded": all ink; ink that fades from 255 at the beginning to 38 at the end; ink by the direction a of the line,
      255 (0.6 + 0.4 cos 2a), so 255 where it is horizontal, 153 diagonal (and a dot), 51 vertical.
    - "thirds": the first third of the line's length; the first two thirds; all.

    Raises ValueError for an option out of range, and for an image as it is in channels that need an order.
    """

    def __init__(
        self,
        size: int,
        line_width: float = 3.0,
        margin: float = 0.02,
        polarity: Polarity = "black_on_white",
        images: Images = "canvas",
        channels: Channels = "ink",
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
        if channels not in ("ink", "shaded", "thirds"):
            raise ValueError(f"render.channels={channels!r} must be ink, shaded or thirds")
        if channels != "ink" and images == "canvas":
            raise ValueError(
                f"render.channels={channels} needs lines in an order, which render.images=canvas does not give: "
                "set render.images=drawing or render.channels=ink"
            )
        self.size, self.line_width, self.margin, self.polarity = size, line_width, margin, polarity
        self.images, self.channels = images, channels

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image: (size, size) in ink, else (3, size, size)."""
        return (self.size, self.size) if self.channels == "ink" else (3, self.size, self.size)

    def __call__(self, drawings: Drawings, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Draw every drawing: uint8 [N, *shape], written into `out` if it is given."""
        return self.draw(drawings, np.ones(len(drawings), np.float32), out)

    def draw(
        self, drawings: Drawings, line_width_factors: NDArray[np.float32], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Draw every drawing with lines of `line_width` times its factor [N]: uint8 [N, *shape], or into `out`."""
        from deepdraw.drawings.lines import KINDS, draw_lines  # imports numba, which is slow, so only to draw

        if out is None:
            out = np.empty((len(drawings), *self.shape), np.uint8)
        draw_lines(
            np.ascontiguousarray(drawings.points, np.float32),
            drawings.stroke_lengths,
            drawings.stroke_counts,
            (self.line_width * line_width_factors.astype(np.float64)).astype(np.float32),
            np.float32(self.size * (1 - 2 * self.margin)),
            np.uint8(255 if self.polarity == "black_on_white" else 0),
            KINDS[self.channels],
            out if out.ndim == 4 else out[:, None],
        )
        return out
