"""Paints the shapes of an SVG file coarsely, to find out where each of them can be seen."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.svg_scene import Scene, Shape
from deepdraw.drawings.svg_shapes import Line
from deepdraw.drawings.svg_style import Paint

SIDE = 1024  # px of the longer side
THIN = 3.0  # px: the width of the thinnest line that is painted
OPAQUE = 0.8  # a paint of that opacity covers what is below it
MOST_WORK = 1 << 31  # pixels that are painted in all
MOST_CROSSINGS = 1 << 23  # of the edges of one shape with rows of pixels
MOST_MASKS = 64  # of areas to which shapes are confined, kept at once
FAR = 30_000.0  # px: OpenCV draws lines between points that are no farther away
SHIFT = 4  # bits of a pixel's fraction
BROAD = 8  # a stroke broader than this part of the viewport is ground, as a fill is

Box = tuple[int, int, int, int]  # left, top, right, bottom in px
Mask = NDArray[np.bool_]


class Canvas:
    """A window of the drawing, painted.

    picture: all that is painted, uint8 [H, W, 4], the last channel unused; ground: the same without strokes; top: int32
    [H, W], the number of the last shape that covers a pixel, from 1 on.
    """

    def __init__(self, scene: Scene, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self.low = low
        viewport = np.array(scene.viewport or (0, 0, np.inf, np.inf))
        self.broad = float((viewport[2:] - viewport[:2]).max()) / BROAD
        self.scale = SIDE / max(float((high - low).max()), 1e-300)
        width, height = (max(1, int(np.ceil(side))) for side in (high - low) * self.scale)
        self.picture = np.empty((height, width, 4), np.uint8)
        self.picture[:] = _four_bytes(scene.paper)
        self.ground = self.picture.copy()
        self.top = np.zeros((height, width), np.int32)
        self.work = 0
        self._masks: dict[tuple[int, ...], Mask] = {}
        for number, shape in enumerate(scene.shapes, start=1):
            self._paint(number, shape)

    def pixels(self, line: Line) -> Line:
        """Points of the drawing in px of the canvas."""
        return (line - self.low) * self.scale

    def half_width(self, shape: Shape) -> float:
        """Half the width in which the outline of a shape is painted, in px."""
        return max(THIN, shape.width * self.scale if shape.stroke else 0.0) / 2

    def clip(self, shape: Shape) -> Mask | None:
        """Where a shape can show at all, bool [H, W]; None if that is everywhere."""
        if not shape.clips:
            return None
        if (key := tuple(map(id, shape.clips))) not in self._masks:
            if len(self._masks) >= MOST_MASKS:
                self._masks.clear()
            full = (0, 0, self.top.shape[1], self.top.shape[0])
            self._count(len(shape.clips) * self.top.size)
            masks = [self._filled([self.pixels(line) for line in area], False, full) for area in shape.clips]
            self._masks[key] = np.logical_and.reduce(masks)
        return self._masks[key]

    def _paint(self, number: int, shape: Shape) -> None:
        lines, clip = [self.pixels(line) for line in shape.lines], self.clip(shape)
        if shape.fill and max(map(len, lines)) > 2 and (box := self._box(lines, 0)):
            self._count((box[2] - box[0]) * (box[3] - box[1]))
            self._lay(number, self._filled(lines, shape.is_even_odd, box), box, shape.fill, clip, is_ground=True)
        edge = shape.stroke or (shape.fill if shape.fill and shape.fill.alpha >= OPAQUE else None)
        half = self.half_width(shape)
        if not edge or not (box := self._box(lines, half)):
            return
        is_ground = shape.stroke is None or shape.width > self.broad
        pieces = self._pieces(lines, half)
        if edge.alpha >= 1 and clip is None:
            for buffer in (self.picture, self.ground) if is_ground else (self.picture,):
                self._draw(buffer, pieces, half, [*edge.rgb, 0])
            self._draw(self.top, pieces, half, [number])
            return
        self._count((box[2] - box[0]) * (box[3] - box[1]))
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        self._draw(mask, [piece - box[:2] for piece in pieces], half, [1])
        self._lay(number, mask > 0, box, edge, clip, is_ground=is_ground)

    def _lay(self, number: int, mask: Mask, box: Box, paint: Paint, clip: Mask | None, *, is_ground: bool) -> None:
        """Lay a paint where the mask of a box is set."""
        left, top, right, bottom = box
        place = np.s_[top:bottom, left:right]
        if clip is not None:
            mask = mask & clip[place]
        color = _four_bytes(paint.rgb)
        for buffer in (self.picture, self.ground) if is_ground else (self.picture,):
            part = buffer[place]
            if paint.alpha >= 1:  # four bytes at once: a third of the time
                np.copyto(part.view(np.uint32)[..., 0], color.view(np.uint32)[0], where=mask)
            else:
                part[mask] = np.rint(part[mask] * (1 - paint.alpha) + color * paint.alpha)
        if paint.alpha >= OPAQUE:
            self.top[place][mask] = number

    def _box(self, lines: list[Line], margin: float) -> Box | None:
        """The part of the canvas that lines may touch; None if they touch none."""
        low = np.min([line.min(axis=0) for line in lines], axis=0) - margin - 1
        high = np.max([line.max(axis=0) for line in lines], axis=0) + margin + 2
        size = np.array(self.top.shape[::-1])
        left, top = np.clip(low, 0, size).astype(int)
        right, bottom = np.clip(high, 0, size).astype(int)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def _count(self, work: float) -> None:
        self.work += int(work)
        if self.work > MOST_WORK:
            raise ValueError("has too many large shapes: simplify it")

    def _pieces(self, lines: list[Line], half: float) -> list[Line]:
        """The parts of lines on the canvas or near it."""
        size = np.array(self.top.shape[::-1])
        near = [
            [line] if np.abs(line).max() < FAR else cut_to(line, 0 * size - 2 * half, size + 2 * half) for line in lines
        ]
        return [piece for pieces in near for piece in pieces]

    def _draw(self, buffer: NDArray[Any], pieces: list[Line], half: float, value: list[float]) -> None:
        """Draw lines of a width into a buffer."""
        thickness = max(1, round(min(2 * half, 4.0 * SIDE)))
        for piece in pieces:
            lengths = np.abs(np.diff(piece, axis=0)).max(axis=1, initial=0.0)
            self._count(float((np.minimum(lengths, 4.0 * SIDE) + thickness).sum()) * thickness)
        # For OpenCV a pixel's center, not its corner, is a whole number.
        points = [np.rint((piece - 0.5) * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2) for piece in pieces]
        cv2.polylines(buffer, points, False, value, thickness, cv2.LINE_8, SHIFT)

    def _filled(self, lines: list[Line], is_even_odd: bool, box: Box) -> Mask:
        """What the areas within lines fill of a box, by the winding number at the centers of pixels."""
        left, top, right, bottom = box
        height, width = bottom - top, right - left
        if not lines:
            return np.zeros((bottom - top, right - left), bool)
        closed = [np.concatenate([line, line[:1]]) for line in lines]
        starts = np.concatenate([line[:-1] for line in closed]) - [left, top]
        ends = np.concatenate([line[1:] for line in closed]) - [left, top]
        upper, lower = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
        first = np.clip(np.ceil(upper - 0.5), 0, height).astype(np.int64)
        counts = np.clip(np.ceil(lower - 0.5), 0, height).astype(np.int64) - first
        if counts.sum() > MOST_CROSSINGS:
            raise ValueError("has a shape with too many long edges: simplify it")
        edge = np.repeat(np.arange(len(counts)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        slope = (ends[:, 0] - starts[:, 0])[edge] / (ends[:, 1] - starts[:, 1])[edge]
        x = starts[edge, 0] + (row + 0.5 - starts[edge, 1]) * slope
        column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
        weights = np.ones(len(edge)) if is_even_odd else np.where(ends[:, 1] > starts[:, 1], 1.0, -1.0)[edge]
        steps = np.bincount(row * (width + 1) + column, weights, height * (width + 1))
        winding = np.cumsum(steps.reshape(height, width + 1)[:, :width], axis=1)
        return winding % 2 == 1 if is_even_odd else winding != 0


def _four_bytes(rgb: tuple[float, float, float]) -> NDArray[np.uint8]:
    return np.rint([*rgb, 0]).astype(np.uint8)


def cut_to(line: Line, low: NDArray[np.float64], high: NDArray[np.float64]) -> list[Line]:
    """The parts of the segments of a line that are in a box, each as a line of two points."""
    if len(line) == 1:
        return [line] if ((line >= low) & (line <= high)).all() else []
    steps = np.diff(line, axis=0)
    start, end = segment_ranges(line[:-1], steps, low, high)
    return [line[i] + np.array([[start[i]], [end[i]]]) * steps[i] for i in np.flatnonzero(start <= end)]


def segment_ranges(
    starts: Line, steps: Line, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which part of each segment is in a box, from one share of it to another in 0..1; none if from > to."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (low - starts) / steps, (high - starts) / steps
    still, inside = steps == 0, (starts >= low) & (starts <= high)
    near = np.where(still, np.where(inside, 0.0, 2.0), np.minimum(one, other))
    far = np.where(still, np.where(inside, 1.0, -1.0), np.maximum(one, other))
    return np.maximum(near.max(axis=1), 0.0), np.minimum(far.min(axis=1), 1.0)
