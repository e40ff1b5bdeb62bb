"""Views of a drawing: the same one, mirrored, turned or not finished. Nothing of them is left to chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.image_augment import warp
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.point_augment import matrices
from deepdraw.drawings.stroke_augment import stop_drawings

UNEVENNESS = 0.3  # of a pen of uneven speed


@dataclass(frozen=True)
class View:
    """An `Augmentation` that changes all drawings alike, to score them otherwise than they were drawn.

    drawn: the share of its line after which each drawing ends, above 0; mirrored: left and right change places;
    degrees: by which it is turned then, clockwise. A drawing that ends early is fitted into the image as
    a whole one is. pace: where along a stroke a pen begins whose speed rises and falls by `UNEVENNESS`, 0 to 1, which
    moves the points that a backbone sees; None for one of even speed.
    """

    drawn: float = 1.0
    mirrored: bool = False
    degrees: float = 0.0
    pace: float | None = None

    def __call__(self, drawings: Drawings, salt: str) -> tuple[Drawings, NDArray[np.float32]]:
        """The drawings in this view, whatever the salt, and 1 as the factor on each line width."""
        if self.drawn < 1:
            drawings = stop_drawings(drawings, np.full(len(drawings), self.drawn))
        points = drawings.points
        if self.mirrored or self.degrees:
            points = points.astype(np.float32) @ matrices(*self._affine())[0].T
        seen = Drawings(points, drawings.stroke_lengths, drawings.stroke_counts, drawings.labels, drawings.key_ids)
        return seen, np.ones(len(drawings), np.float32)

    def paces(self, drawings: Drawings, salt: str) -> NDArray[np.float32] | None:
        """The unevenness of the pen along each stroke, float32 [S, 2], or None (see `PaceAugmentation`)."""
        if self.pace is None:
            return None
        return np.tile(np.array([[UNEVENNESS, self.pace]], np.float32), (len(drawings.stroke_lengths), 1))

    def change_image(self, image: NDArray[np.uint8], key_id: int, salt: str) -> tuple[NDArray[np.uint8], float]:
        """The image in this view, gray uint8 [H, W], and 1 as the factor on its line width; it has no beginning."""
        assert self.drawn == 1
        angle, slant, width, height = (float(one[0]) for one in self._affine())
        return warp(image, angle, slant, width, height), 1.0

    def _affine(self) -> tuple[NDArray[np.float32], ...]:
        width = -1 if self.mirrored else 1
        return tuple(np.array([value], np.float32) for value in (np.deg2rad(self.degrees), 0, width, 1))
