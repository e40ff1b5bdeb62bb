"""What augmentation does to the points of strokes: affine maps, and waves that move them smoothly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings


def matrices(
    angle: NDArray[np.float32], slant: NDArray[np.float32], width: NDArray[np.float32], height: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The maps that stretch, then slant, then rotate: float32 [N, 2, 2]."""
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[cos * width, (cos * slant - sin) * height], [sin * width, (sin * slant + cos) * height]]
    return np.array(rows, np.float32).transpose(2, 0, 1)


def wave(drawings: Drawings, jitter: float, chance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move points along each axis by a plane wave with up to 2 periods along each side: float32 [P, 2].

    chance: [N, 2, 3], which gives each axis of each drawing its wave vector and phase. Neighboring points move
    alike, so strokes that meet still meet. It is a smooth form of the elastic distortions of Simard et al. (2003).
    """
    points = drawings.points.astype(np.float32)
    if not len(drawings):
        return points
    starts = drawings.drawing_point_starts
    sides = np.maximum.reduceat(points, starts[:-1]) - np.minimum.reduceat(points, starts[:-1])
    side = np.maximum(sides.max(axis=1), 1)
    lengths = np.diff(starts)
    vectors = np.repeat((4 * chance[:, :, :2] - 2) / side[:, None, None], lengths, axis=0)
    periods = np.einsum("pij,pj->pi", vectors, points) + np.repeat(chance[:, :, 2], lengths, axis=0)
    amplitude = np.repeat(np.float32(jitter * np.sqrt(2)) * side, lengths)[:, None]
    return points + amplitude * np.sin(2 * np.pi * periods)
