"""Turns drawings of any form into images as the network saw them in training.

A drawing is an image (a path, a PIL image, an array) or a list of strokes. An array [n, 2] is a stroke of n points; a
list is a stroke as Quick, Draw! writes it, [[x, ...], [y, ...]] or, with times, [[x, ...], [y, ...], [t, ...]]. A list
of points could not be distinguished from these, so it must be an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import (
    MAX_LENGTH,
    SUFFIXES,
    Broken,
    Drawings,
    Rasterizer,
    Sketch,
    draw_image,
    read_sketches,
    simplify,
)
from deepdraw.runtime import suffix_among


def listed(drawings: Any) -> list[Any]:
    """The given drawings as a list: one drawing, a list or tuple of drawings, or an ndjson or .bin file."""
    if isinstance(drawings, str | Path) and suffix_among(str(drawings), SUFFIXES):
        return [sketch.strokes for sketch in sketches(Path(drawings))]
    if isinstance(drawings, list | tuple) and not any(map(_is_stroke, drawings)):
        return list(drawings)
    return [drawings]


def sketches(path: Path) -> Iterator[Sketch]:
    """The drawings of an ndjson file, of any words, or of a .bin file, one at a time.

    Raises ValueError, in one line, for a drawing that is broken or has no point.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: correct the path")
    for sketch in read_sketches(path, any_word=True):
        if isinstance(sketch, Broken):
            raise ValueError(f"{path}: drawing {sketch.number} is broken ({sketch.reason}): mend it or leave it out")
        if not sketch.strokes:
            raise ValueError(f"{path}: the drawing of key_id {sketch.key_id} has no point: leave it out")
        yield sketch


def draw(drawings: Sequence[Any], rasterizer: Rasterizer, first: int = 0) -> NDArray[np.uint8]:
    """The images uint8 [N, size, size] of drawings of any form, as the network sees them.

    Strokes, including those of an SVG file, are drawn as in training. An image is taken to be dark on light and fitted
    into the square. Raises ValueError, in one line, for anything that is no drawing, with its number, from `first` on.
    """
    images = np.empty((len(drawings), rasterizer.size, rasterizer.size), np.uint8)
    strokes = {}
    for index, drawing in enumerate(drawings):
        try:
            if isinstance(drawing, list | tuple):
                strokes[index] = strokes_of(drawing)
            else:
                images[index] = draw_image(_checked(drawing), rasterizer)
        except ValueError as error:
            if isinstance(drawing, str | Path):
                raise
            raise ValueError(f"drawing {first + index}: {error}") from error
    if strokes:
        none = np.zeros(len(strokes), np.uint64)
        images[list(strokes)] = rasterizer(Drawings.pack(list(strokes.values()), none, none))
    return images


def strokes_of(drawing: Sequence[Any]) -> list[NDArray[np.uint8]]:
    """The strokes of one drawing, each uint8 [n, 2], n >= 1, as the official simplification leaves them.

    Whole numbers in 0..255 without times are taken to be simplified already. Other strokes are raw, in any unit; they
    are scaled, resampled and simplified. Strokes without a point are left out.

    Raises ValueError, in one line, for anything that is no stroke, for a coordinate that is not finite, if no point is
    left, and for more than 65,535 strokes or points in a stroke.
    """
    parsed = [_parse(stroke) for stroke in drawing]
    strokes = [points for points, _ in parsed if len(points)]
    timed = {timed for points, timed in parsed if len(points)}
    if not strokes:
        raise ValueError("it has no stroke with a point: leave it out")
    if len(timed) > 1:
        raise ValueError("some of its strokes have times and some have none: give all of them times, or none")
    if timed == {True} or not all(map(_is_simplified, strokes)):
        strokes = simplify(strokes)
    if max(len(strokes), *map(len, strokes)) > MAX_LENGTH:
        raise ValueError(f"it has more than {MAX_LENGTH:,} strokes, or points in a stroke: leave it out")
    return [points.astype(np.uint8) for points in strokes]


def _checked(image: Any) -> Any:
    """The same image. Raises ValueError if it has none of the forms of an image."""
    if isinstance(image, np.ndarray) and _is_stroke(image):
        raise ValueError(f"an array {image.shape} is no image: for a drawing of that one stroke, give it in a list")
    of_pillow = any(kind.__module__.partition(".")[0] == "PIL" for kind in type(image).__mro__)
    if not of_pillow and not isinstance(image, str | Path | bytes | np.ndarray):
        raise ValueError(
            f"{type(image).__name__} is no form of a drawing: give strokes, a path, a PIL image or an array"
        )
    return image


def _is_stroke(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 2 and given.shape[1] == 2
    return isinstance(given, list | tuple) and len(given) in (2, 3) and all(map(_is_row, given))


def _is_row(given: Any) -> bool:
    """Whether this is a sequence of numbers, which may be empty."""
    if isinstance(given, np.ndarray):
        return given.ndim == 1
    return isinstance(given, list | tuple) and all(isinstance(number, Real) for number in given[:1])


def _parse(stroke: Any) -> tuple[NDArray[Any], bool]:
    """The points of a stroke [n, 2], and whether it has times."""
    form = "give each stroke as an array [n, 2] of points, or as lists [[x, ...], [y, ...]]"
    if not _is_stroke(stroke):
        found = f"an array {stroke.shape}" if isinstance(stroke, np.ndarray) else f"{stroke!r:.40}"
        raise ValueError(f"{found} is no stroke: {form}")
    if isinstance(stroke, np.ndarray):
        points, timed = stroke, False
    else:
        if len({len(row) for row in stroke}) > 1:
            raise ValueError(f"the lists of a stroke differ in length: {form}")
        points, timed = np.array([list(row) for row in stroke[:2]]).T, len(stroke) == 3
    if points.size and points.dtype.kind not in "iuf":
        raise ValueError(f"a stroke holds {points.dtype} and not numbers: {form}")
    return points, timed


def _is_simplified(points: NDArray[Any]) -> bool:
    return points.dtype.kind in "iu" and points.min() >= 0 and points.max() <= 255
