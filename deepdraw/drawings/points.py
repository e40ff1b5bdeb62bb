"""Strokes to points: what a backbone sees that reads a drawing in the order in which it was drawn."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer

POINT_NUMBERS = ("x", "y", "is_start", "dx", "dy", "is_point", "order", "stroke")
MOST_POINTS = 4096
EVEN = np.empty((0, 2), np.float32)  # paces of a pen that is equally fast everywhere


class PointSampler:
    """Resamples packed drawings by equal arc length to at most `points` points each.

    Each point has 8 numbers (`POINT_NUMBERS`): x and y, centered on the drawing's box, whose longer side is 2; 1 for
    the first point of a stroke; the unit direction of the line there, 0 at a first point; 1 for a point, 0 for
    padding, which is 0 throughout; the share of the line that was drawn before, 0 to 1; the number of the stroke / 16.
    images: what becomes of drawings that are images, which have no strokes: refused, or traced, that is given the
    strokes that `deepdraw.drawings.trace` finds. Raises ValueError for a number of points out of range.
    """

    def __init__(self, points: int = 96, images: Literal["refused", "traced"] = "refused") -> None:
        if not 8 <= points <= MOST_POINTS:
            raise ValueError(f"input.points={points} must lie between 8 and {MOST_POINTS}")
        if images not in ("refused", "traced"):
            raise ValueError(f"input.images={images!r} must be refused or traced")
        self.points, self.images = points, images

    def check_images(self, rasterizer: Rasterizer | None) -> None:
        """Raise ValueError unless drawings that are images may come in, beside the pixels of `rasterizer`, if any."""
        if self.images == "refused":
            raise ValueError(
                "the drawings are images, and this backbone sees strokes: try backbone=tiny, or have their lines "
                "traced with input.images=traced (images=traced in predict and embed)"
            )
        if rasterizer is not None and rasterizer.images == "canvas":
            raise ValueError(
                "input.images=traced draws the pixels of an image from its traced lines: set render.images=drawing"
            )

    def __call__(
        self, drawings: Drawings, out: NDArray[np.float32] | None = None, paces: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The points of every drawing: float32 [N, points, 8], written into `out` if it is given.

        With `paces`, float32 [S, 2], the points of a stroke lie where a pen of uneven speed is at equal times (see
        `PaceAugmentation`).
        """
        from deepdraw.drawings.resampling import resample  # imports numba, which is slow

        if out is None:
            out = np.empty((len(drawings), self.points, len(POINT_NUMBERS)), np.float32)
        points = np.ascontiguousarray(drawings.points, np.float32)
        resample(points, drawings.stroke_lengths, drawings.stroke_counts, EVEN if paces is None else paces, out)
        return out


def drawings_of_points(sampled: NDArray[np.float32]) -> Drawings:
    """The drawings that a network sees in points [N, K, 8] of a `PointSampler`, without labels and key ids."""
    present = sampled[..., POINT_NUMBERS.index("is_point")] > 0
    points = sampled[present]
    starts = points[:, POINT_NUMBERS.index("is_start")] > 0
    return Drawings(
        points=points[:, :2],
        stroke_lengths=np.diff(np.append(np.flatnonzero(starts), len(points))).astype(np.uint16),
        stroke_counts=(sampled[..., POINT_NUMBERS.index("is_start")] > 0).sum(axis=1).astype(np.uint16),
        labels=np.zeros(len(sampled), np.uint16),
        key_ids=np.zeros(len(sampled), np.uint64),
    )
