"""The one place that parses the strokes of a drawing, in every form in which they are written.

A drawing is a sequence of strokes. A stroke is

- an array [n, 2] of points x, y;
- two sequences of equal length, x and y, as in the official simplified files, or three, x, y and times, as in raw ones;
- a record `{"x": [...], "y": [...]}`, with or without "t", as BigQuery and Hugging Face write it;
- a sequence of records `{"x": ..., "y": ...}`, one for each point.

A drawing may also be one record of all strokes, `{"x": [[...], ...], "y": [[...], ...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.simplification import cut, simplify

MAX_LENGTH = 2**16 - 1  # strokes of a drawing, and points of a stroke
SHORT = 2  # px: an official drawing may end that far from 0 or 255
FORM = "give each stroke as an array [n, 2] of points, as lists [[x, ...], [y, ...]], or as {x, y} records"

Rows = Sequence[Any]  # x, y and, in raw drawings, times: sequences of equal length


def parse_strokes(drawing: Any) -> list[NDArray[np.uint8]]:
    """The strokes of a drawing, uint8 [n, 2] each, n >= 1, values 0..255, as the official simplification leaves them.

    Whole numbers in 0..255 without times are taken to be simplified already (see `is_simplified`). Other strokes are
    raw, in any unit; they are scaled, resampled and simplified. Strokes without a point are left out; there may be none
    left.

    Raises ValueError, in one line without the name of the drawing, for anything that is no stroke, for a coordinate
    that is no finite number, and for more than 65,535 strokes, or points in a stroke.
    """
    strokes = [rows for rows in map(_rows, strokes_of(drawing)) if len(rows[0])]
    if not strokes:
        return []
    if len({len(rows) for rows in strokes}) > 1:
        raise ValueError("some of its strokes have times and some have none: give all of them times, or none")
    lengths = [len(rows[0]) for rows in strokes]
    # One array for all strokes: a tenth of the time of one array each.
    xy = np.array([list(chain.from_iterable(rows[axis] for rows in strokes)) for axis in (0, 1)]).T
    if xy.ndim != 2 or xy.dtype.kind not in "iufO" or (xy.dtype == object and any(isinstance(n, str) for n in xy.flat)):
        raise ValueError(f"a coordinate is no number, so it is no stroke: {FORM}")
    is_raw = len(strokes[0]) == 3 or not is_simplified(xy)
    found = _simplified(xy, lengths) if is_raw else cut(xy.astype(np.uint8), lengths)
    if max(len(found), *map(len, found)) > MAX_LENGTH:
        raise ValueError(f"it has more than {MAX_LENGTH:,} strokes, or points in a stroke: leave it out")
    return found


def is_simplified(points: NDArray[Any]) -> bool:
    """Whether points [n, 2] without times are taken to be simplified already.

    Whole numbers of an integer type must be in 0..255. Those of a float type must span 0..255 too, as an official
    drawing does: a raw drawing may consist of whole numbers by chance.
    """
    if points.dtype == object or not (points.min() >= 0 and points.max() <= 255):
        return False
    if points.dtype.kind in "iu":
        return True
    return bool((points == np.rint(points)).all()) and points.min() <= SHORT and points.max() >= 255 - SHORT


def strokes_of(drawing: Any) -> Sequence[Any]:
    """The strokes of a drawing, none of them parsed."""
    if not isinstance(drawing, Mapping):
        return drawing
    rows = _rows_of_record(drawing)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"its record has more strokes of x than of y: {FORM}")
    return list(zip(*rows, strict=True))


def is_stroke(given: Any) -> bool:
    """Whether `given` has one of the forms of a stroke; for lists, the first number of each shows it."""
    if isinstance(given, np.ndarray):
        return given.ndim == 2 and given.shape[1] == 2
    if isinstance(given, Mapping):
        return {"x", "y"} <= given.keys() and all(map(_is_row, _rows_of_record(given)))
    if not isinstance(given, list | tuple):
        return False
    return (len(given) in (2, 3) and all(map(_is_row, given))) or (bool(given) and all(map(_is_point, given)))


def _rows(stroke: Any) -> Rows:
    """x and y, and the times if there are any, of one stroke."""
    if isinstance(stroke, np.ndarray):
        if stroke.ndim != 2 or stroke.shape[1] != 2:
            raise ValueError(f"an array {stroke.shape} is no stroke: {FORM}")
        return stroke[:, 0], stroke[:, 1]
    rows = stroke
    if not (type(stroke) is list and 2 <= len(stroke) <= 3 and all(type(row) is list for row in stroke)):
        rows = _rows_of_list(stroke)
        if not all(map(_is_row, rows)):
            raise ValueError(f"{stroke!r:.40} is no stroke: {FORM}")
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"the lists of a stroke differ in length: {FORM}")
    return rows


def _rows_of_list(stroke: Any) -> Rows:
    if isinstance(stroke, Mapping):
        return _rows_of_record(stroke)
    if not isinstance(stroke, list | tuple):
        raise ValueError(f"{stroke!r:.40} is no stroke: {FORM}")
    if stroke and all(map(_is_point, stroke)):
        points = [_rows_of_record(point) for point in stroke]
        return list(zip(*points, strict=len({len(point) for point in points}) == 1))
    if len(stroke) not in (2, 3):
        raise ValueError(f"{stroke!r:.40} is no stroke, it has neither two arrays (x, y) nor three (x, y, t): {FORM}")
    return stroke


def _rows_of_record(record: Mapping[str, Any]) -> Rows:
    if not {"x", "y"} <= record.keys():
        raise ValueError(f"a record of {', '.join(map(str, record))[:80] or 'nothing'} has no x and y: {FORM}")
    times = next((record[key] for key in ("t", "time", "timestamp") if record.get(key) is not None), None)
    return [record["x"], record["y"], *([] if times is None else [times])]


def _is_point(given: Any) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("x"), Real) and isinstance(given.get("y"), Real)


def _is_row(given: Any) -> bool:
    """Whether this is a sequence of numbers, which may be empty. Only the first number is looked at."""
    if isinstance(given, np.ndarray):
        return given.ndim == 1
    return isinstance(given, list | tuple) and all(isinstance(number, Real | None) for number in given[:1])


def _simplified(xy: NDArray[Any], lengths: list[int]) -> list[NDArray[np.uint8]]:
    try:
        return simplify(cut(xy.astype(np.float64), lengths))
    except (TypeError, OverflowError) as error:  # of a number that no float holds, or of no number at all
        raise ValueError(f"a coordinate is no number that can be drawn ({error}): {FORM}") from error
