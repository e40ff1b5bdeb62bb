"""Building blocks of stroke programs: straight sides, curves, ovals, outlines, rays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Stroke = NDArray[np.float64]
"""Points [n, 2] along one stroke, x to the right and y downwards, about 0..1."""

Point = tuple[float, float] | NDArray[np.float64]
"""x and y, or an array [2] of both."""

Program = Callable[[np.random.Generator], list[Stroke]]
"""Draws a category: returns the ideal strokes of one drawing, the most important first, with random proportions."""

SIDE = np.arange(1, 8)[:, None] / 7
CURVE = np.arange(13) / 12
BERNSTEIN = {
    3: np.stack([(1 - CURVE) ** 2, 2 * CURVE * (1 - CURVE), CURVE**2], axis=1),
    4: np.stack([(1 - CURVE) ** 3, 3 * CURVE * (1 - CURVE) ** 2, 3 * CURVE**2 * (1 - CURVE), CURVE**3], axis=1),
}


def path(*corners: Point) -> Stroke:
    """Straight sides from corner to corner."""
    xy = np.array(corners)
    sides = xy[:-1, None] + (xy[1:] - xy[:-1])[:, None] * SIDE
    return np.concatenate([xy[:1], sides.reshape(-1, 2)])


def curve(*controls: Point) -> Stroke:
    """The Bézier curve of three or four control points, from the first to the last."""
    return BERNSTEIN[len(controls)] @ np.array(controls)


def oval(x: float, y: float, width: float, height: float | None = None, start: float = 0, sweep: float = 360) -> Stroke:
    """An arc of the ellipse about (x, y) with these half axes: `sweep` degrees clockwise from `start`."""
    num_steps = 3 + int(abs(sweep) / 12)
    angles = np.radians(start + sweep / num_steps * np.arange(num_steps + 1))
    return np.stack([x + width * np.cos(angles), y + (height or width) * np.sin(angles)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Stroke:
    """A closed rectangle."""
    return path((left, top), (right, top), (right, bottom), (left, bottom), (left, top))


def outline(x: float, y: float, radii: list[float], turn: float = -90) -> Stroke:
    """A closed polygon about (x, y): one corner for each radius, at equal angles from `turn` degrees on."""
    angles = np.radians(turn + 360 / len(radii) * np.arange(len(radii) + 1))
    reach = np.array([*radii, radii[0]])
    return path(*np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1))


def blade(tip: Point, other: Point, bulge: float) -> Stroke:
    """A closed outline pointed at both tips, whose sides pull away by `bulge` times their distance."""
    (x, y), (u, v) = tip, other
    across, down = (v - y) * bulge, (x - u) * bulge
    there = curve(tip, ((x + u) / 2 + across, (y + v) / 2 + down), other)
    return np.concatenate([there, curve(other, ((x + u) / 2 - across, (y + v) / 2 - down), tip)[1:]])


def rays(x: float, y: float, inner: float, outer: float, num: int | np.integer, turn: float = -90) -> list[Stroke]:
    """`num` straight strokes that point away from (x, y), from radius `inner` to `outer`."""
    angles = np.radians(turn + 360 / num * np.arange(num))
    units = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [path((x, y) + inner * unit, (x, y) + outer * unit) for unit in units]


def turned(strokes: list[Stroke], degrees: float) -> list[Stroke]:
    """All strokes turned clockwise about the origin."""
    x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [stroke @ np.array([[x, y], [-y, x]]) for stroke in strokes]


def perhaps(rng: np.random.Generator, chance: float, *details: Stroke) -> tuple[Stroke, ...]:
    """All of these details with probability `chance`, else none."""
    return details if rng.random() < chance else ()
