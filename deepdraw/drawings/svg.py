"""Reads the strokes of an SVG file and simplifies them as Quick, Draw! does, so that they fit any line width."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.simplification import simplify
from deepdraw.drawings.strokes import MAX_LENGTH
from deepdraw.drawings.svg_tree import read_tree
from deepdraw.runtime import LARGEST as LIMITS
from deepdraw.runtime import read_bytes

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)  # of svgelements
LARGEST = 1e12  # the largest coordinate
MOST_POINTS = 1 << 20  # on the lines and curves of all shapes together
POINTS = 64  # points sampled on a curve before it is simplified
SHORT = 2  # px: an official drawing may end that far from 0 or 255


def read_svg(path: Path) -> list[NDArray[np.uint8]]:
    """The strokes of an SVG file, uint8 [n, 2] each, in the order in which they are painted.

    The outlines of all shapes (path, line, polyline, polygon, rect, circle, ellipse), transformed as the file
    says, become strokes, one for each part of a path, even if they are filled. Shapes that are invisible on white
    paper (without stroke and fill, or white) are left out, and so are texts and images. The drawing is moved and
    scaled to 0..255 and simplified by `simplify`, unless it already has that form: straight lines between whole
    numbers that span 0..255.

    Raises ValueError, naming the file, if it is no SVG file, is larger than 1 MiB, has no stroke, uses entities or
    <use> (which could grow without bound), or exceeds the limits of `svg_tree`.
    """
    encoded = read_bytes(path, largest=LIMITS["SVG"], fix="check the path, and leave out what is no line")
    try:
        return _strokes(encoded)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise ValueError(f"{path} is broken XML ({error}): save it anew as SVG") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def _strokes(encoded: bytes) -> list[NDArray[np.uint8]]:
    root = read_tree(encoded)
    try:
        lines = list(_lines(root))
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"has a shape that cannot be read ({reason}): save it anew as SVG") from error
    if sum(map(len, lines)) > MOST_POINTS:
        raise ValueError(f"has more than {MOST_POINTS:,} points on its curves: simplify it")
    if not lines:
        raise ValueError("has no strokes: it needs a path, line, polyline, polygon, rect, circle or ellipse in ink")
    if not all((np.abs(line) < LARGEST).all() for line in lines):
        raise ValueError("has a coordinate that is no number or too large: save it anew as SVG")
    strokes = _as_simplified(lines) or simplify(lines)
    if max(len(strokes), *map(len, strokes)) > MAX_LENGTH:
        raise ValueError(f"has more than {MAX_LENGTH:,} strokes, or points in a stroke: simplify it")
    return strokes


def _lines(root: ElementTree.Element) -> Iterator[NDArray[np.float64]]:
    """The outlines of all visible shapes, float [n, 2] each, curves as 64 points."""
    from svgelements import SVG, Close, Line, Move, Path, Shape

    for shape in SVG.parse(BytesIO(ElementTree.tostring(root))).elements(lambda element: isinstance(element, Shape)):
        if not _shows(shape):
            continue
        for part in abs(Path(shape)).as_subpaths():
            segments = [segment for segment in part if not isinstance(segment, Move)]
            if segments:
                points = np.concatenate([_flat(segment, isinstance(segment, Line | Close)) for segment in segments])
                yield points[np.append(True, (points[1:] != points[:-1]).any(axis=1))]


def _flat(segment: Any, is_straight: bool) -> NDArray[np.float64]:
    """Points along a segment of a path, float [n, 2], its ends among them."""
    if is_straight:
        return np.array([segment.start, segment.end], np.float64)
    return np.asarray(segment.npoint(np.linspace(0, 1, POINTS)), np.float64)


def _shows(shape: Any) -> bool:
    """Whether the shape is not hidden and has a stroke or a fill that is not white."""
    inks = [ink for ink in (shape.stroke, shape.fill) if ink.value is not None]
    return shape.values.get("visibility", "visible") == "visible" and any(i.alpha and i.rgb != 0xFFFFFF for i in inks)


def _as_simplified(lines: list[NDArray[np.float64]]) -> list[NDArray[np.uint8]] | None:
    """The strokes as they are, if they have the form of an official simplified drawing."""
    points = np.concatenate(lines)
    whole = np.rint(points)
    if np.abs(points - whole).max() > 1e-6 or whole.min(axis=0).min() < 0 or whole.min(axis=0).max() > SHORT:
        return None
    return [np.rint(line).astype(np.uint8) for line in lines] if 255 - SHORT <= whole.max() <= 255 else None
