"""Reads the strokes of an SVG file and simplifies them as Quick, Draw! does, so that they fit any line width."""

from __future__ import annotations

import logging
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.simplification import simplify
from deepdraw.drawings.strokes import MAX_LENGTH, SHORT
from deepdraw.drawings.svg_scene import read_scene
from deepdraw.drawings.svg_tree import read_tree
from deepdraw.drawings.svg_visible import visible_lines
from deepdraw.runtime import LARGEST as LIMITS
from deepdraw.runtime import read_bytes

log = logging.getLogger(__name__)

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)  # of svgelements
LARGEST = 1e12  # the largest coordinate
_told: set[str] = set()  # the kinds of which a warning has been given


def read_svg(path: Path) -> list[NDArray[np.uint8]]:
    """The strokes of an SVG file, or of a gzip of it (.svgz), uint8 [n, 2] each, in the order of painting.

    The outlines of all shapes (path, line, polyline, polygon, rect, circle, ellipse), transformed and styled as the
    file says, become strokes where a browser shows them (see `svg_visible`): one for each visible part. Texts, raster
    images, masks and patterns have no outlines and are left out; gradients count as one color. A warning says so, once
    for each kind. The drawing is moved and scaled to 0..255 and simplified by `simplify`, unless it already has that
    form: straight lines between whole numbers that span 0..255.

    Raises ValueError, naming the file, if it is no SVG file, is larger than 1 MiB, has no visible stroke, or exceeds
    the limits of `svg_tree`, `svg_style`, `svg_scene` and `svg_canvas`, which bound memory and time.
    """
    encoded = read_bytes(path, largest=LIMITS["SVG"], fix="check the path, and leave out what is no line")
    try:
        strokes, left_out = _strokes(encoded)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise ValueError(f"{path} is broken XML ({error}): save it anew as SVG") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    for kind in sorted(left_out - _told):
        _told.add(kind)
        log.warning("%s has %s, which strokes cannot show: trace it if it is part of the drawing", path, kind)
    return strokes


def _strokes(encoded: bytes) -> tuple[list[NDArray[np.uint8]], set[str]]:
    """The strokes, and what is in the file but in none of them."""
    root = read_tree(encoded)
    try:
        scene = read_scene(root)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, ValueError) and reason.endswith(": simplify it"):
            raise
        raise ValueError(f"has a shape that cannot be read ({reason}): save it anew as SVG") from error
    if not all((np.abs(line) < LARGEST).all() for shape in scene.shapes for line in shape.lines):
        raise ValueError("has a coordinate that is no number or too large: save it anew as SVG")
    lines = visible_lines(scene) if scene.shapes else []
    if not lines:
        has = f", and it has only {', '.join(sorted(scene.left_out))}" if scene.left_out else ""
        raise ValueError(
            f"has no strokes: it needs a path, line, polyline, polygon, rect, circle or ellipse in ink{has}"
        )
    strokes = _as_simplified(lines) or simplify(lines)
    if max(len(strokes), *map(len, strokes)) > MAX_LENGTH:
        raise ValueError(f"has more than {MAX_LENGTH:,} strokes, or points in a stroke: simplify it")
    return strokes, scene.left_out


def _as_simplified(lines: list[NDArray[np.float64]]) -> list[NDArray[np.uint8]] | None:
    """The strokes as they are, if they have the form of an official simplified drawing."""
    points = np.concatenate(lines)
    whole = np.rint(points)
    if np.abs(points - whole).max() > 1e-6 or whole.min(axis=0).min() < 0 or whole.min(axis=0).max() > SHORT:
        return None
    return [np.rint(line).astype(np.uint8) for line in lines] if 255 - SHORT <= whole.max() <= 255 else None
