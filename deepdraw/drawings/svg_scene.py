"""What an SVG file paints: its shapes in the order of painting, each with its colors and where it can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

import numpy as np

from deepdraw.drawings.svg_shapes import (
    SHAPES,
    Line,
    Matrix,
    Size,
    box_of,
    fit,
    moved,
    outlines,
    parse_origin,
    parse_transform,
    place,
)
from deepdraw.drawings.svg_style import Paint, Sheet, parse_color, parse_length, parse_share, style_of, tag_of
from deepdraw.drawings.svg_tree import check

MOST_ELEMENTS = 10_000  # those that <use> repeats are counted each time
MOST_NESTED = 100  # groups within groups
MOST_POINTS = 1 << 20  # on the lines and curves of all shapes together
GROUPS = {"svg", "g", "a", "switch"}
# What is painted, but has no outline that could be drawn.
OUTLINELESS = {"text": "text", "foreignObject": "text", "image": "a raster image"}
GRADIENTS = {"linearGradient", "radialGradient"}
WHITE = (255.0, 255.0, 255.0)
UNKNOWN = Paint((128, 128, 128), 1.0)  # stands for a pattern
HREF = ("href", "{http://www.w3.org/1999/xlink}href")
CONDITIONS = ("requiredExtensions", "requiredFeatures")


@dataclass(frozen=True, eq=False)
class Shape:
    """A shape that is painted. All places and lengths are in the units of the outermost viewBox.

    lines: its outline, one for each part; fill, stroke: None if it has none; width: of its stroke; clips: areas to
    which it is confined, each a list of outlines.
    """

    lines: list[Line]
    fill: Paint | None
    stroke: Paint | None
    width: float = 0.0
    is_even_odd: bool = False
    clips: tuple[tuple[Line, ...], ...] = ()


@dataclass
class Scene:
    """All shapes, in the order of painting, and the box that shows (left, top, right, bottom); None without bounds.

    paper: the color below them; left_out: what has no outline, and so is in no shape.
    """

    shapes: list[Shape] = field(default_factory=list)
    paper: tuple[float, float, float] = WHITE
    viewport: tuple[float, float, float, float] | None = None
    left_out: set[str] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where and how the children of an element are painted."""

    style: dict[str, str]
    matrix: Matrix
    size: Size
    opacity: float = 1.0
    clips: tuple[tuple[Line, ...], ...] = ()
    ancestors: tuple[ElementTree.Element, ...] = ()


def read_scene(root: ElementTree.Element) -> Scene:
    """What a browser paints of an SVG file. Raises ValueError if it is too much, and exceptions of svgelements."""
    return _Painter(root).scene


class _Painter:
    def __init__(self, root: ElementTree.Element) -> None:
        self.scene = Scene()
        self.sheet = Sheet.parse("\n".join(one.text or "" for one in root.iter() if tag_of(one) == "style"))
        self.by_id = {one.get("id", ""): one for one in reversed(list(root.iter())) if one.get("id")}
        self.num_elements = self.num_points = 0
        box = box_of(root.get("viewBox"))
        width, height = (parse_length(root.get(name), 0) for name in ("width", "height"))
        size = Size(width, height) if width > 0 and height > 0 else Size(*box[2:]) if box else None
        matrix = np.eye(3)
        if box and size:
            # One unit of the viewBox stays one unit, so that a drawing that is simplified already stays as it is.
            full = fit(box, size, root.get("preserveAspectRatio", ""))
            matrix = np.diag([full[0, 0] / full[1, 1], 1.0, 1.0])
            back = matrix @ np.linalg.inv(full)
            left, top = back[:2, 2]
            right, bottom = back[:2] @ [size.width, size.height, 1]
            self.scene.viewport = (left, top, right, bottom)
        elif size:
            self.scene.viewport = (0, 0, size.width, size.height)
        inner = Size(*box[2:]) if box else size or Size(100, 100)
        style = self._style(root, _Place({}, matrix, inner))
        background = parse_color(style["background-color"]) or parse_color(style["background"])
        self.scene.paper = background.rgb if background else WHITE
        if style["display"] != "none":
            self._children(root, _Place(style, matrix, inner, parse_share(style["opacity"])))

    def _style(self, element: ElementTree.Element, at: _Place) -> dict[str, str]:
        return style_of(element, at.ancestors, self.sheet, at.style)

    def _children(self, element: ElementTree.Element, at: _Place) -> None:
        at = replace(at, ancestors=(*at.ancestors, element))
        check("groups within groups", len(at.ancestors), MOST_NESTED)
        for child in element:
            if tag_of(element) != "switch":
                self._paint(child, at)
            elif tag_of(child) and not any(child.get(name) for name in CONDITIONS):
                self._paint(child, at)
                return

    def _paint(self, element: ElementTree.Element, at: _Place) -> None:
        tag = tag_of(element)
        self.num_elements += 1
        check("elements", self.num_elements, MOST_ELEMENTS)
        if tag not in SHAPES | GROUPS | OUTLINELESS.keys() and tag != "use":
            return
        style = self._style(element, at)
        opacity = at.opacity * parse_share(style["opacity"])
        if style["display"] == "none" or opacity <= 0:
            return
        if tag in OUTLINELESS:
            self.scene.left_out |= {OUTLINELESS[tag]} if style["visibility"] == "visible" else set()
            return
        if style["mask"] != "none":
            self.scene.left_out.add("a mask")
        lines = outlines(element, at.size) if tag in SHAPES else []
        matrix = at.matrix @ self._transform(style, at.size, lines)
        here = replace(at, style=style, matrix=matrix, opacity=opacity)
        here = replace(here, clips=(*at.clips, *self._clips(style, here)))
        if tag in SHAPES:
            self._add(lines, here)
        elif tag == "use":
            self._use(element, here)
        elif tag == "svg":
            self._viewport(element, here, element)
        else:
            self._children(element, here)

    def _transform(self, style: dict[str, str], size: Size, lines: list[Line]) -> Matrix:
        if style["transform"] in ("", "none"):
            return np.eye(3)
        matrix = parse_transform(style["transform"])
        left = top = 0.0
        if style["transform-box"] in ("fill-box", "content-box") and lines:
            points = np.concatenate(lines)
            (left, top), extent = points.min(axis=0), np.ptp(points, axis=0)
            size = Size(*extent)
        origin = parse_origin(style["transform-origin"], left, top, size)
        return moved(*origin) @ matrix @ moved(-origin[0], -origin[1])

    def _add(self, lines: list[Line], at: _Place) -> None:
        """Add a shape, unless nothing of it is painted."""
        style = at.style
        if style["visibility"] != "visible":
            return
        width = parse_length(style["stroke-width"], at.size.diagonal, default=1.0)
        width *= float(np.sqrt(abs(np.linalg.det(at.matrix[:2, :2]))))
        stroke = self._color(style, "stroke", at.opacity) if width > 0 else None
        fill = self._color(style, "fill", at.opacity)
        placed = [place(line, at.matrix) for line in lines]
        self.num_points += sum(map(len, placed))
        check("points on its curves", self.num_points, MOST_POINTS)
        if placed and (fill or stroke):
            is_even_odd = style["fill-rule"] == "evenodd"
            self.scene.shapes.append(Shape(placed, fill, stroke, width, is_even_odd, at.clips))

    def _color(self, style: dict[str, str], name: str, opacity: float) -> Paint | None:
        """The paint of a fill or a stroke; None if it does not show."""
        text = style[name]
        if text.lower() == "currentcolor":
            text = style["color"]
        if text.startswith("url("):
            reference, _, text = text.removeprefix("url(").partition(")")
            target = self.by_id.get(reference.strip("'\"# "))
            paint = parse_color(text) if target is None else self._server(target)
        else:
            paint = parse_color(text)
        alpha = opacity * parse_share(style[f"{name}-opacity"]) * paint.alpha if paint else 0.0
        return Paint(paint.rgb, alpha) if paint and alpha > 0 else None

    def _server(self, element: ElementTree.Element, depth: int = 0) -> Paint | None:
        """One color in place of a gradient, the mean of its stops, or of a pattern."""
        if tag_of(element) not in GRADIENTS:
            self.scene.left_out.add("a pattern")
            return UNKNOWN
        self.scene.left_out.add("a gradient")
        stops = [self._stop(stop) for stop in element if tag_of(stop) == "stop"]
        colors = [stop for stop in stops if stop]
        if colors:
            red, green, blue = np.mean([color.rgb for color in colors], axis=0)
            return Paint((red, green, blue), sum(color.alpha for color in colors) / len(stops))
        target = self._target(element)
        return self._server(target, depth + 1) if target is not None and depth < MOST_NESTED and not stops else None

    def _stop(self, stop: ElementTree.Element) -> Paint | None:
        style = style_of(stop, (), self.sheet, {})
        text = style["color"] if style["stop-color"].lower() == "currentcolor" else style["stop-color"]
        color = parse_color(text)
        return Paint(color.rgb, color.alpha * parse_share(style["stop-opacity"])) if color else None

    def _target(self, element: ElementTree.Element) -> ElementTree.Element | None:
        """The element of this file that `href` names."""
        href = next((element.get(name, "") for name in HREF if element.get(name)), "")
        return self.by_id.get(href[1:]) if href.startswith("#") else None

    def _use(self, element: ElementTree.Element, at: _Place) -> None:
        target = self._target(element)
        if target is None or target in at.ancestors:
            return
        x, y = parse_length(element.get("x"), at.size.width), parse_length(element.get("y"), at.size.height)
        at = replace(at, matrix=at.matrix @ moved(x, y), ancestors=(*at.ancestors, element))
        check("groups within groups", len(at.ancestors), MOST_NESTED)
        if tag_of(target) in ("symbol", "svg"):
            style = self._style(target, at)
            if style["display"] != "none":
                opacity = at.opacity * parse_share(style["opacity"])
                self._viewport(target, replace(at, style=style, opacity=opacity), element)
        else:
            self._paint(target, at)

    def _viewport(self, element: ElementTree.Element, at: _Place, sized: ElementTree.Element) -> None:
        """Paint an <svg> or <symbol> within its own viewport, whose size is that of the element or of its <use>."""
        whole = at.size

        def side(name: str, of: float) -> float:
            given = sized.get(name) or element.get(name) or "100%"
            return parse_length(given, of, default=of)

        size = Size(side("width", whole.width), side("height", whole.height))
        matrix = at.matrix
        if tag_of(element) == "svg":
            matrix = matrix @ moved(
                parse_length(element.get("x"), whole.width), parse_length(element.get("y"), whole.height)
            )
        if size.width <= 0 or size.height <= 0:
            return
        corners = np.array([[0, 0], [size.width, 0], [size.width, size.height], [0, size.height], [0, 0.0]])
        shows = at.style["overflow"] in ("visible", "auto")
        clips = at.clips if shows else (*at.clips, (place(corners, matrix),))
        box = box_of(element.get("viewBox"))
        if box:
            matrix = matrix @ fit(box, size, element.get("preserveAspectRatio", ""))
            size = Size(*box[2:])
        self._children(element, replace(at, matrix=matrix, size=size, clips=clips))

    def _clips(self, style: dict[str, str], at: _Place) -> Iterator[tuple[Line, ...]]:
        """The area of a clip-path that has the units of the drawing; one in units of the shape is not followed."""
        reference = style["clip-path"].removeprefix("url(").rstrip(")").strip("'\"# ")
        clip = self.by_id.get(reference)
        if clip is None or tag_of(clip) != "clipPath" or clip.get("clipPathUnits") == "objectBoundingBox":
            return
        outer = at.matrix @ self._transform(self._style(clip, at), at.size, [])
        lines: list[Line] = []
        for element in clip:
            if tag_of(element) in SHAPES:
                inner = outlines(element, at.size)
                matrix = outer @ self._transform(self._style(element, at), at.size, inner)
                lines += [place(line, matrix) for line in inner]
        self.num_points += sum(map(len, lines))
        check("points on its curves", self.num_points, MOST_POINTS)
        yield tuple(lines)
