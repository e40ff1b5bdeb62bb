"""Which parts of the outlines in an SVG file can be seen, on the paper and below and above other shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.svg_canvas import OPAQUE, THIN, Canvas, segment_ranges
from deepdraw.drawings.svg_scene import Scene, Shape
from deepdraw.drawings.svg_shapes import Line

FAINT_STROKE = 12  # of 255: a stroke that differs less from the ground is not seen
FAINT_EDGE = 40  # of 255: nor is the edge between two areas that differ less
PAPER_SHARE = 0.8  # a plain rectangle that takes that much of the viewport is paper
SHRUNK = 0.7  # the window is made smaller if what is seen takes less of it
MOST_SAMPLES = 1 << 20  # points that are looked at on all lines; they are closer than 1 px on no line
BESIDE = 3.0  # px: how far beside the edge of a line the ground is looked at
CRUMB = 2.0  # px: a shorter piece of a line that is cut is left out
GAP = 4  # times its width: a line goes on below another one where it is covered for no longer

Flags = NDArray[np.bool_]


def visible_lines(scene: Scene) -> list[Line]:
    """The visible parts of the outlines of all shapes, in the order of painting; in the units of the scene.

    A stroke is seen where it differs from the ground, which is made of paper and fills, and where nothing opaque of
    another color is above it; so strokes in the color of the paper erase, unless they lie within an area. A shape
    without a stroke is seen where its edge differs from one of its sides. A plain rectangle that takes most of the
    viewport is paper and has no edge.
    """
    scene = _without_full_sheets(scene)
    if not scene.shapes or _all_shows(scene):
        return [line for shape in scene.shapes for line in shape.lines]
    plain = [_is_paper(shape, scene) for shape in scene.shapes]
    found = _looked_at(scene, [not flag for flag in plain])
    return found or _looked_at(scene, [True] * len(plain))


def _without_full_sheets(scene: Scene) -> Scene:
    """The same scene without the first shapes that color all of the viewport: they are its paper."""
    shapes, paper = scene.shapes, scene.paper
    while shapes and (box := _plain_rectangle(shapes[0])) and scene.viewport and shapes[0].fill:
        if shapes[0].fill.alpha < 1 or (box[0] > scene.viewport[:2]).any() or (box[1] < scene.viewport[2:]).any():
            break
        paper, shapes = shapes[0].fill.rgb, shapes[1:]
    return Scene(shapes, paper, scene.viewport, scene.left_out)


def _all_shows(scene: Scene) -> bool:
    """Whether nothing can hide: strokes of one color, in the viewport, and nothing else. So most drawings are."""
    stroke = scene.shapes[0].stroke
    if not stroke or any(shape.fill or shape.clips or shape.stroke != stroke for shape in scene.shapes):
        return False
    contrast = max(abs(own - paper) for own, paper in zip(stroke.rgb, scene.paper, strict=True))
    if contrast * stroke.alpha <= FAINT_STROKE:
        return False
    if scene.viewport is None:
        return True
    points = np.concatenate([line for shape in scene.shapes for line in shape.lines])
    return bool((points >= scene.viewport[:2]).all() and (points <= scene.viewport[2:]).all())


def _looked_at(scene: Scene, wanted: list[bool]) -> list[Line]:
    """The visible lines of the wanted shapes, looked at as closely as they need."""
    outlines = [(number, line) for number, shape in enumerate(scene.shapes) if wanted[number] for line in shape.lines]
    found: list[Line] = []
    low, high = _window(scene, [line for shape in scene.shapes for line in shape.lines])
    for _ in range(3):
        found = _Look(Canvas(scene, low, high), scene, outlines).visible() if outlines else []
        if not found:
            return []
        new_low, new_high = _window(scene, found)
        if (new_high - new_low).max() > SHRUNK * (high - low).max():
            break
        low, high = new_low, new_high
    return found


def _window(scene: Scene, lines: list[Line]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box of all lines, with the strokes' width around them, within the viewport."""
    low = np.min([line.min(axis=0) for line in lines], axis=0)
    high = np.max([line.max(axis=0) for line in lines], axis=0)
    if scene.viewport:
        low, high = np.maximum(low, scene.viewport[:2]), np.minimum(high, scene.viewport[2:])
        high = np.maximum(high, low)
    broadest = max(shape.width if shape.stroke else 0.0 for shape in scene.shapes)
    margin = 0.6 * broadest + max(0.02 * float((high - low).max()), 1e-9 * float(np.abs([low, high]).max()), 1e-300)
    return low - margin, high + margin


def _plain_rectangle(shape: Shape) -> tuple[Line, Line] | None:
    """The upper left and the lower right corner of a shape that is an upright rectangle without a border or clip."""
    if shape.stroke or not shape.fill or shape.clips or len(shape.lines) != 1 or not 4 <= len(shape.lines[0]) <= 5:
        return None
    corners = np.unique(shape.lines[0], axis=0)
    low, high = corners.min(axis=0), corners.max(axis=0)
    is_upright = len(corners) == 4 and (np.isclose(corners, low) | np.isclose(corners, high)).all()
    return (low, high) if is_upright else None


def _is_paper(shape: Shape, scene: Scene) -> bool:
    """Whether a shape is a plain rectangle that takes most of the viewport or, without one, lies below all others."""
    box = _plain_rectangle(shape)
    if box is None:
        return False
    low, high = box
    if scene.viewport:
        left, right = np.array(scene.viewport[:2]), np.array(scene.viewport[2:])
        shown = np.maximum(np.minimum(high, right) - np.maximum(low, left), 0)
        return bool(np.prod(shown) >= PAPER_SHARE * np.prod(right - left))
    if scene.shapes[0] is not shape or len(scene.shapes) == 1:
        return False
    others = np.concatenate([line for other in scene.shapes[1:] for line in other.lines])
    return bool((others.min(axis=0) >= low).all() and (others.max(axis=0) <= high).all())


class _Look:
    """Looks at lines of a scene, point by point, on its canvas. All lines are looked at together.

    outlines: lines, each with the index of its shape.
    """

    def __init__(self, canvas: Canvas, scene: Scene, outlines: list[tuple[int, Line]]) -> None:
        self.canvas, self.scene = canvas, scene
        self.lines = [np.concatenate([line, line]) if len(line) == 1 else line for _, line in outlines]
        lengths = np.array([len(line) for line in self.lines])
        shape_of_line = np.array([number for number, _ in outlines])
        points = canvas.pixels(np.concatenate(self.lines))
        ends = np.cumsum(lengths)
        self.is_last = np.zeros(len(points), bool)  # the last point of a line begins no segment
        self.is_last[ends - 1] = True
        begins = np.flatnonzero(~self.is_last)
        self.starts, self.steps = points[begins], points[begins + 1] - points[begins]
        self.first_segment = ends - lengths - np.arange(len(lengths))  # of each line
        self.line = np.repeat(np.arange(len(lengths)), lengths - 1)  # of each segment
        self.shape = shape_of_line[self.line]
        self.half = np.array([canvas.half_width(shape) for shape in scene.shapes])
        size = np.array(canvas.top.shape[::-1], float)
        self.low, self.high = np.zeros(2), size
        if scene.viewport:
            corners = canvas.pixels(np.array(scene.viewport).reshape(2, 2))
            self.low, self.high = np.maximum(corners[0], 0), np.minimum(corners[1], size)
        self._take_samples()

    def _take_samples(self) -> None:
        """Points along all segments, some 1 px apart where they can be seen: their segments and shares of these."""
        margin = self.half[self.shape][:, None]
        start, end = segment_ranges(self.starts, self.steps, self.low - margin, self.high + margin)
        start, end = np.where(start <= end, start, 0.0), np.where(start <= end, end, 0.0)
        lengths = np.hypot(*self.steps.T) * (end - start)
        step = max(1.0, float(lengths.sum()) / MOST_SAMPLES)
        counts = np.maximum(np.ceil(lengths / step), 1).astype(np.int64)
        # Besides those the beginning of a segment, where the part that can be seen is later, and the end of a line.
        late, last = start > 0, np.append(self.line[1:] != self.line[:-1], True)
        totals = counts + late + last
        self.segment = np.repeat(np.arange(len(totals)), totals)
        place = np.arange(len(self.segment)) - np.repeat(np.cumsum(totals) - totals, totals)
        k = place - late[self.segment]
        self.share = start[self.segment] + ((end - start) / counts)[self.segment] * k
        self.share[k < 0] = 0.0
        self.share[(place == (totals - 1)[self.segment]) & last[self.segment]] = 1.0
        self.places = self.starts[self.segment] + self.share[:, None] * self.steps[self.segment]

    def visible(self) -> list[Line]:
        """The visible parts of all lines."""
        covered, over_ink = self._covered()
        margin = self.half[self.shape[self.segment]][:, None]
        inside = ((self.places >= self.low - margin) & (self.places <= self.high + margin)).all(axis=1)
        seen = inside & self._contrast() & ~covered & self._unclipped()
        bounds = np.searchsorted(self.segment, [*self.first_segment, len(self.starts)])
        number_seen = np.add.reduceat(seen, bounds[:-1], dtype=np.int64)
        found: list[Line] = []
        for number, line in enumerate(self.lines):
            here = slice(bounds[number], bounds[number + 1])
            if number_seen[number] == here.stop - here.start:
                found.append(line[:1] if len(line) == 2 and (line[0] == line[1]).all() else line)
            elif number_seen[number]:
                found += self._pieces(number, seen[here], over_ink[here], here)
        return found

    def _contrast(self) -> Flags:
        """Whether an outline differs from the ground on one of its sides; if it is an eraser's, on both."""
        ground, shape = self.canvas.ground, self.shape[self.segment]
        has_stroke = np.array([one.stroke is not None for one in self.scene.shapes])[shape]
        own, alpha = self._own()
        here = ground[_index(self.places, ground.shape)].astype(np.float32)
        own = np.where((has_stroke | (alpha >= OPAQUE))[:, None], own, here)
        erases = np.array([_erases(one, self.scene.paper) for one in self.scene.shapes])[shape]
        differs, known = np.where(erases, np.float32(np.inf), np.float32(0)), np.zeros(len(shape), bool)
        normals = _normals(self.steps) * (self.half[self.shape] + BESIDE)[:, None]
        for side in (1, -1):
            beside = self.places + side * normals[self.segment]
            is_inside = ((beside >= self.low) & (beside <= self.high)).all(axis=1)
            color = ground[_index(beside, ground.shape)]
            here_differs = np.abs(color - own).max(axis=1)
            both = np.where(erases, np.minimum(differs, here_differs), np.maximum(differs, here_differs))
            differs = np.where(is_inside, both, differs)
            known |= is_inside
        differs = np.where(known, differs, np.abs(here - own).max(axis=1))
        faint = np.where(has_stroke, FAINT_STROKE / np.maximum(alpha, 1e-3), np.minimum(FAINT_EDGE, 255 * alpha / 2))
        return differs > faint

    def _own(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The color [N, 4] and the opacity of the outline at each point."""
        paints = [one.stroke or one.fill for one in self.scene.shapes]
        colors = np.array([[*paint.rgb, 0] for paint in paints if paint], np.float32)
        alphas = np.array([paint.alpha for paint in paints if paint], np.float32)
        shape = self.shape[self.segment]
        return colors[shape], alphas[shape]

    def _covered(self) -> tuple[Flags, Flags]:
        """Whether something above covers an outline in another color, and whether that is itself ink on the ground."""
        at = _index(self.places, self.canvas.top.shape)
        picture = self.canvas.picture[at].astype(np.float32)
        is_other = np.abs(picture - self._own()[0]).max(axis=1) > FAINT_STROKE
        over_ink = np.abs(picture - self.canvas.ground[at]).max(axis=1) > FAINT_STROKE
        return (self.canvas.top[at] > self.shape[self.segment] + 1) & is_other, over_ink

    def _unclipped(self) -> Flags:
        """Whether the areas to which its shape is confined hold a point."""
        holds = np.ones(len(self.segment), bool)
        if not any(shape.clips for shape in self.scene.shapes):
            return holds
        numbers, bounds = np.unique(self.shape[self.segment], return_index=True)  # they are in order
        for number, first, last in zip(numbers, bounds, [*bounds[1:], len(holds)], strict=True):
            if (clip := self.canvas.clip(self.scene.shapes[number])) is not None:
                holds[first:last] = clip[_index(self.places[first:last], clip.shape)]
        return holds

    def _pieces(self, number: int, seen: Flags, over_ink: Flags, here: slice) -> list[Line]:
        """The parts of a line whose points are seen, with all its own points on them."""
        line, share = self.lines[number], self.share[here]
        segment = self.segment[here] - self.first_segment[number]
        points = line[segment] + share[:, None] * (line[segment + 1] - line[segment])
        steps = np.hypot(*np.diff(self.places[here], axis=0, prepend=self.places[here][:1]).T)
        gap = GAP * max(2 * self.half[self.shape[self.first_segment[number]]], THIN)
        seen = _bridged(seen, over_ink, np.cumsum(steps), gap)
        is_own = (share == 0) | (share == 1)
        pieces: list[tuple[int, int, Line]] = []
        for first, last in _runs(seen):
            if steps[first + 1 : last].sum() >= CRUMB:
                kept = is_own[first:last].copy()
                kept[[0, -1]] = True
                pieces.append((first, last, points[first:last][kept]))
        closes = len(line) > 2 and (line[0] == line[-1]).all()
        if closes and len(pieces) > 1 and pieces[0][0] == 0 and pieces[-1][1] == len(seen):
            *inner, last_piece = pieces[1:]  # the line goes on beyond its first point
            return [np.concatenate([last_piece[2], pieces[0][2][1:]]), *(piece[2] for piece in inner)]
        return [piece[2] for piece in pieces]


def _erases(shape: Shape, paper: tuple[float, float, float]) -> bool:
    """Whether a shape is a stroke in the color of the paper."""
    if not shape.stroke or shape.fill:
        return False
    return max(abs(own - other) for own, other in zip(shape.stroke.rgb, paper, strict=True)) <= FAINT_STROKE


def _normals(steps: Line) -> Line:
    """The unit vector across each segment, [n, 2]."""
    lengths = np.hypot(*steps.T)[:, None]
    return np.divide(steps[:, ::-1] * [-1, 1], lengths, out=np.ones_like(steps) * [0.0, 1.0], where=lengths > 0)


def _index(places: Line, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels in which points are; those outside of the canvas count as on its border."""
    x, y = np.clip(np.floor(places), 0, [shape[1] - 1, shape[0] - 1]).astype(np.int64).T
    return y, x


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Where each run of set flags begins and ends."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bridged(seen: Flags, over_ink: Flags, along: NDArray[np.float64], longest: float) -> Flags:
    """The same flags, set in short gaps where other ink is above: a line that crosses below another goes on."""
    seen = seen.copy()
    for first, last in _runs(~seen):
        is_gap = first > 0 and last < len(seen)
        if is_gap and over_ink[first:last].all() and along[last] - along[first - 1] <= longest:
            seen[first:last] = True
    return seen
