"""Follows lines that are one pixel wide from node to node: what numba compiles of `deepdraw.drawings.tracing`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.compiled import compiled

DY = np.array([-1, -1, 0, 1, 1, 1, 0, -1])  # the eight steps from a pixel, clockwise from up
DX = np.array([0, 1, 1, 1, 0, -1, -1, -1])


def find_steps(lines: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The steps by which lines [H, W] go on from each of their pixels: uint8 [H, W], a bit for each of the eight.

    A step across a corner counts only where no pixel of the line lies beside it. The border must be empty.
    """
    steps = np.zeros(lines.shape, np.uint8)
    for step, shift in enumerate(zip(-DY, -DX, strict=True)):
        there = lines & np.roll(lines, shift, axis=(0, 1))
        if step % 2:
            there &= ~np.roll(lines, shift[0], axis=0) & ~np.roll(lines, shift[1], axis=1)
        steps |= there.astype(np.uint8) << step
    return steps


@compiled
def follow(
    steps: NDArray[np.uint8],
    is_node: NDArray[np.bool_],
    starts: NDArray[np.int64],
    points: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> tuple[int, int]:
    """Take every step once, in chains from `starts` [N, 2] (y, x) to the next node: the number of chains and of points.

    steps: of `find_steps`, which are taken away; points [P, 2] (x, y) and lengths [P] are written.
    """
    num_chains = num_points = 0
    for start in range(len(starts)):
        while steps[starts[start, 0], starts[start, 1]]:
            y, x = starts[start]
            first = num_points
            points[num_points] = x, y
            num_points += 1
            while steps[y, x]:
                step = 0
                while not steps[y, x] >> step & 1:
                    step += 1
                steps[y, x] ^= 1 << step
                y, x = y + DY[step], x + DX[step]
                steps[y, x] ^= 1 << (step + 4) % 8
                points[num_points] = x, y
                num_points += 1
                if is_node[y, x]:
                    break
            lengths[num_chains] = num_points - first
            num_chains += 1
    return num_chains, num_points
