"""Traces the lines of an image into strokes, so that they are drawn like the strokes of any drawing.

The ink is thinned to lines one pixel wide, which are followed from end to end and from crossing to crossing, and
simplified as Quick, Draw! does it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.ink import find_ink
from deepdraw.drawings.simplification import cut, simplify

SIDE = 256  # pixels on the longer side of a drawing that is traced, as in Quick, Draw!
SPUR = 0.6  # length of the shortest side branch, in widths of the lines: thinning makes shorter ones of bumps
WIDEST = 24  # pixels; a line is no wider
FILLED = 3  # widths of the lines from which on an area is filled, and its outline is a line
NUM_STEPS = np.array([bin(bits).count("1") for bits in range(256)], np.uint8)


def trace(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The strokes of the drawing in a gray image [H, W], each uint8 [n, 2], as the official simplification gives them.

    The width, darkness and place of the lines do not matter, nor does paper that is gray or unevenly lit. A filled
    area becomes its outline. An image without ink has no strokes.
    """
    from skimage.morphology import skeletonize  # slow to import, so only when an image is traced

    ink = find_ink(image, SIDE)
    if ink is None:
        return []
    ink = np.pad(ink, 1)
    depth = np.asarray(cv2.distanceTransform(ink.view(np.uint8), cv2.DIST_L2, 3), np.float32)
    lines = skeletonize(ink)
    width = min(WIDEST, 2 * float(np.median(depth[lines])))
    if depth.max() > FILLED * width / 2:
        lines = skeletonize(_outlined(ink, depth, width))
    return simplify(_strokes(lines, SPUR * width))


def _outlined(ink: NDArray[np.bool_], depth: NDArray[np.float32], width: float) -> NDArray[np.bool_]:
    """The ink [H, W] with only the outlines of areas that are much wider than the lines.

    depth: the distance of each pixel from the paper.
    """
    filled = (depth > FILLED * width / 2).view(np.uint8)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(FILLED * width / 2) + 1,) * 2)
    return ink & ~(cv2.dilate(filled, around).view(bool) & (depth > width / 2))


def _strokes(lines: NDArray[np.bool_], spur: float) -> list[NDArray[np.int64]]:
    """The strokes [n, 2] of lines one pixel wide [H, W], without side branches of up to `spur` pixels."""
    from deepdraw.drawings.chains import find_steps, follow  # imports numba, which is slow

    steps = find_steps(lines)
    degrees = NUM_STEPS[steps]
    is_node = degrees != 2
    starts = np.concatenate([np.argwhere(lines & is_node), np.argwhere(lines & ~is_node)])  # the latter for rings
    points = np.empty((int(degrees.sum()), 2), np.int64)
    lengths = np.empty(len(points), np.int64)
    num_chains, num_points = follow(steps, is_node, starts, points, lengths)
    chains = cut(points[:num_points], lengths[:num_chains].tolist())
    dots = np.argwhere(lines & (degrees == 0))[:, None, ::-1]
    return [*(chain for chain in chains if not _is_spur(chain, degrees, spur)), *dots]


def _is_spur(chain: NDArray[np.int64], degrees: NDArray[np.uint8], spur: float) -> bool:
    """Whether a chain is a short branch with a free end."""
    ends = degrees[chain[[0, -1], 1], chain[[0, -1], 0]]
    return len(chain) <= spur and ends.min() == 1 and ends.max() > 2
