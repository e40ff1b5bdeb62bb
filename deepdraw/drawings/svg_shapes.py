"""Outlines of the shapes of an SVG file, and its transforms and viewports, as arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.svg_style import parse_length, tag_of
from deepdraw.drawings.svg_tree import NUMBER

POINTS = 64  # points sampled on a curve before it is simplified
SHAPES = {"path", "line", "polyline", "polygon", "rect", "circle", "ellipse"}
PLACES = {"left": "0%", "top": "0%", "center": "50%", "right": "100%", "bottom": "100%"}  # of transform-origin
LONGEST = 1000  # characters of a transform

Line = NDArray[np.float64]  # points [n, 2]
Matrix = NDArray[np.float64]  # [3, 3]


class Size(NamedTuple):
    """Width and height that percents are of."""

    width: float
    height: float

    @property
    def diagonal(self) -> float:
        return float(np.hypot(self.width, self.height)) / 2**0.5


def outlines(element: ElementTree.Element, size: Size) -> list[Line]:
    """The outline of a shape, a line for each of its parts; of an open shape it stays open. Curves have many points."""
    tag = tag_of(element)
    if tag == "path":
        return list(_flattened(element.get("d", "")))
    if tag in ("polyline", "polygon"):
        return _polygon(element.get("points", ""), is_closed=tag == "polygon")

    def x(name: str) -> float:
        return parse_length(element.get(name), size.width)

    def y(name: str) -> float:
        return parse_length(element.get(name), size.height)

    if tag == "line":
        return [np.array([[x("x1"), y("y1")], [x("x2"), y("y2")]])]
    if tag == "circle":
        rx = ry = parse_length(element.get("r"), size.diagonal)
    else:
        rx, ry = (x("rx") if element.get("rx") else y("ry")), (y("ry") if element.get("ry") else x("rx"))
    if tag == "rect":
        width, height = x("width"), y("height")
        radii = min(max(rx, 0), width / 2), min(max(ry, 0), height / 2)
        return [_rectangle(x("x"), y("y"), width, height, *radii)] if width > 0 and height > 0 else []
    return [np.array([x("cx"), y("cy")]) + [rx, ry] * _arc(0, 4)] if rx > 0 and ry > 0 else []


def _arc(first: int, number: int) -> Line:
    """Points of the unit circle, from one quarter on for some quarters, clockwise on paper from the right."""
    angles = np.linspace(first, first + number, POINTS * number) * np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _rectangle(left: float, top: float, width: float, height: float, rx: float, ry: float) -> Line:
    """A rectangle, with round corners if its radii are not 0, clockwise from its upper left."""
    corners = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    if rx <= 0 or ry <= 0:
        return corners[[0, 1, 2, 3, 0]]
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    arcs = [corners[i] + inwards[i] * [rx, ry] + [rx, ry] * _arc((i + 2) % 4, 1) for i in (1, 2, 3, 0)]
    return np.concatenate([arcs[3][-1:], *arcs])


def _polygon(text: str, is_closed: bool) -> list[Line]:
    numbers = list(map(float, NUMBER.findall(text)))
    points = np.array(numbers[: len(numbers) // 2 * 2]).reshape(-1, 2)
    if not len(points):
        return []
    return [np.concatenate([points, points[:1]]) if is_closed else points]


def _flattened(text: str) -> Iterator[Line]:
    """A line for each part of a path, curves as 64 points. A part that only moves is none."""
    from svgelements import Close, Line, Move, Path

    for part in Path(text).as_subpaths():
        segments = [segment for segment in part if not isinstance(segment, Move)]
        if segments:
            yield np.concatenate([_points(segment, isinstance(segment, Line | Close)) for segment in segments])


def _points(segment: Any, is_straight: bool) -> Line:
    """Points along a segment of a path, its ends among them."""
    if is_straight:
        return np.array([segment.start, segment.end], np.float64)
    return np.asarray(segment.npoint(np.linspace(0, 1, POINTS)), np.float64)


def place(line: Line, matrix: Matrix) -> Line:
    """A line under a transform, without points that repeat the one before."""
    points = line @ matrix[:2, :2].T + matrix[:2, 2]
    return points[np.append(True, (points[1:] != points[:-1]).any(axis=1))]


def moved(x: float, y: float) -> Matrix:
    """The transform that moves by x and y."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


@lru_cache(maxsize=1000)
def parse_transform(text: str) -> Matrix:
    """A list of transforms as one. Raises one of the exceptions of svgelements if it has no such form."""
    from svgelements import Matrix as Parsed

    if len(text) > LONGEST:
        raise ValueError(f"a transform of {len(text):,} characters")
    found = Parsed(text)
    return np.array([[found.a, found.c, float(found.e)], [found.b, found.d, float(found.f)], [0, 0, 1.0]])


def parse_origin(text: str, left: float, top: float, size: Size) -> tuple[float, float]:
    """The point that transform-origin names, within a box whose corner is at left and top."""
    words = [PLACES.get(word, word) if word else word for word in text.lower().split()[:2]]
    if words and text.lower().split()[0] in ("top", "bottom"):
        words = [*words[1:], "50%"][:1] + words[:1]
    words = [*words, "50%", "50%"][:2] if words else ["0", "0"]
    return left + parse_length(words[0], size.width), top + parse_length(words[1], size.height)


def box_of(text: str | None) -> tuple[float, float, float, float] | None:
    """The four numbers of a viewBox: left, top, width and height; None if it has none that shows anything."""
    numbers = [float(number) for number in NUMBER.findall((text or "")[:LONGEST])]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 and min(numbers[2:]) > 0 else None


def fit(box: tuple[float, float, float, float], size: Size, how: str) -> Matrix:
    """The transform of a viewBox into a viewport of a size, as preserveAspectRatio says."""
    left, top, width, height = box
    scales = size.width / width, size.height / height
    if "none" in how:
        return np.diag([*scales, 1.0]) @ moved(-left, -top)
    scale = max(scales) if "slice" in how else min(scales)
    aligned = re.search(r"x(Min|Mid|Max)Y(Min|Mid|Max)", how)
    share = [{"Min": 0.0, "Mid": 0.5, "Max": 1.0}[name] for name in (aligned.groups() if aligned else ("Mid", "Mid"))]
    spare = (size.width - scale * width) * share[0], (size.height - scale * height) * share[1]
    return moved(*spare) @ np.diag([scale, scale, 1.0]) @ moved(-left, -top)
