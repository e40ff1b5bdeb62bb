"""Turns drawings of any form into images as the network saw them in training.

A drawing is an image (a path, a PIL image, an array, a tensor) or a list of strokes, in any form of `parse_strokes`.
An array [n, 2] is a stroke of n points; lists are strokes as Quick, Draw! writes them, [[x, ...], [y, ...]] or, with
times, [[x, ...], [y, ...], [t, ...]]. A list of pairs could not be distinguished from these, so it must be an array.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import (
    DRAWING_SUFFIXES,
    SUFFIXES,
    TABLE_SUFFIXES,
    Drawings,
    ImageCheck,
    PointSampler,
    Rasterizer,
    Sketch,
    fit_to_square,
    gray_image,
    is_stroke,
    is_svg,
    parse_strokes,
    read_image,
    read_svg,
    reason_not_read,
    trace_strokes,
    whole_sketches,
)
from deepdraw.inference.arrays import is_tensor, one_image, split_images
from deepdraw.runtime import expand_home, suffix_among, walk

log = logging.getLogger(__name__)


def listed(drawings: Any) -> list[Any]:
    """The given drawings as a list: one drawing, a list or tuple of drawings, or what stands for many.

    Those are a file of drawings, a folder of images and SVG files, and an array or tensor (see `split_images`).
    """
    if isinstance(drawings, str | Path):
        path = Path(expand_home(str(drawings)))
        if path.is_dir():
            return list(image_files(path))
        return [drawing_of(sketch) for sketch in whole_sketches(path)] if suffix_among(path.name, SUFFIXES) else [path]
    if isinstance(drawings, list | tuple) and not any(map(is_stroke, drawings)):
        return list(drawings)
    if is_tensor(drawings) or (isinstance(drawings, np.ndarray) and not is_stroke(drawings)):
        return list(split_images(drawings))
    return [drawings]


def image_files(folder: Path) -> list[Path]:
    """The images and SVG files in a folder and below it, in the order of their paths.

    Raises ValueError, in one line, where there is none, and for a file that may hold drawings but is not taken.
    """
    found = walk(folder, DRAWING_SUFFIXES, refuse=_reason_not_taken)
    log.info("%s: %s", folder, found)
    if not found.files:
        forms = ", ".join((*DRAWING_SUFFIXES, *SUFFIXES))
        raise ValueError(f"{folder} holds no drawing: give a file or folder of {forms}")
    return found.files


def _reason_not_taken(path: Path) -> str | None:
    """Why a file among images may not be left out; None where it may."""
    if suffix_among(path.name, SUFFIXES) and not suffix_among(path.name, TABLE_SUFFIXES):
        return "may hold many drawings, so it is not taken as one among images: give it alone, as input=FILE"
    return None if suffix_among(path.name, TABLE_SUFFIXES) else reason_not_read(path)


def check_file(path: Path) -> None:
    """Read an image or SVG file. Raises ValueError, naming it, where it cannot be read."""
    if is_svg(path.name):
        read_svg(path)
    else:
        read_image(path)


def drawing_of(sketch: Sketch) -> Any:
    """The strokes of a sketch, or its image if it is one of bitmaps."""
    return sketch.strokes if sketch.image is None else sketch.image


def draw(
    drawings: Sequence[Any], rasterizer: Rasterizer, first: int = 0, check: ImageCheck | None = None
) -> NDArray[np.uint8]:
    """The images uint8 [N, *shape] (see `Rasterizer`) of drawings of any form, as the network sees them.

    Strokes, including those of an SVG file, are drawn as in training, and images are fitted into the square as there
    (see `deepdraw.drawings.fit_to_square`). check: is shown all images.

    Raises ValueError, in one line, for anything that is no drawing, with its number, from `first` on.
    """
    images = np.empty((len(drawings), *rasterizer.shape), np.uint8)
    strokes = {}
    for index, drawing in enumerate(drawings):
        with _naming(drawing, first + index) as name:
            if (found := _strokes(drawing)) is not None:
                strokes[index] = found
                continue
            image = gray_image(_check_image(drawing))
            if check:
                check.look(image, name)
            images[index] = fit_to_square(image, rasterizer)
    if strokes:
        images[list(strokes)] = rasterizer(Drawings.pack(list(strokes.values())))
    return images


def pack(drawings: Sequence[Any], points: PointSampler, first: int = 0, check: ImageCheck | None = None) -> Drawings:
    """The strokes of drawings of any form, for a backbone that sees strokes; without labels and key ids.

    points: says whether images are traced; check: is shown them. Raises ValueError, in one line, for other images and
    for anything that is no drawing, with its number, from `first` on.
    """
    strokes = []
    for index, drawing in enumerate(drawings):
        with _naming(drawing, first + index) as name:
            found = _strokes(drawing)
            if found is None and points.images == "traced":
                image = gray_image(_check_image(drawing))
                if check:
                    check.look(image, name)
                found = trace_strokes(image)
        if found is None:
            raise ValueError(
                f"{name} is an image, and this network sees strokes: give strokes or SVG, or images=traced to have its "
                "lines traced"
            )
        strokes.append(found)
    return Drawings.pack(strokes)


@contextmanager
def _naming(drawing: Any, number: int) -> Iterator[str]:
    """Yield the name of a drawing, and begin errors with it; those of a file name it themselves."""
    if isinstance(drawing, str | Path):
        yield str(drawing)
        return
    name = f"drawing {number}"
    try:
        yield name
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _strokes(drawing: Any) -> list[NDArray[np.uint8]] | None:
    """The strokes of a drawing, or None if it is an image, or nothing that is known."""
    if isinstance(drawing, str | Path) and is_svg(str(drawing)):
        return read_svg(Path(expand_home(str(drawing))))
    if isinstance(drawing, list | tuple) or (isinstance(drawing, Mapping) and {"x", "y"} <= drawing.keys()):
        return strokes_of(drawing)
    return None


def strokes_of(drawing: Any) -> list[NDArray[np.uint8]]:
    """The strokes of one drawing, each uint8 [n, 2], n >= 1, as `deepdraw.drawings.parse_strokes` gives them.

    Raises ValueError, in one line, for anything that is no stroke, and if no point is left.
    """
    strokes = parse_strokes(drawing)
    if not strokes:
        raise ValueError("it has no stroke with a point: leave it out")
    return strokes


def _check_image(image: Any) -> Any:
    """The same image, a tensor as an array. Raises ValueError if it has none of the forms of an image."""
    if is_tensor(image) or (isinstance(image, np.ndarray) and image.ndim == 3):
        return one_image(image)
    if isinstance(image, np.ndarray) and is_stroke(image):
        raise ValueError(f"an array {image.shape} is no image: for a drawing of that one stroke, give it in a list")
    of_pillow = any(kind.__module__.partition(".")[0] == "PIL" for kind in type(image).__mro__)
    if not of_pillow and not isinstance(image, str | Path | bytes | np.ndarray):
        raise ValueError(
            f"{type(image).__name__} is no form of a drawing: give strokes, a path, a PIL image, an array or a tensor"
        )
    return image
