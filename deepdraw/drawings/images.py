"""Converts pictures of any kind, in files or in memory, to square gray images such as a rasterizer draws."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.gray import gray_of_array, gray_of_pillow
from deepdraw.drawings.image_headers import (
    FORMS,
    JPEG_SIGNATURE,
    NO_IMAGE,
    ORIENTATIONS,
    PNG_SIGNATURE,
    check_size,
    has_special_chunks,
    image_size,
    other_kind,
)
from deepdraw.drawings.kinds import is_svg
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.drawings.svg import read_svg
from deepdraw.drawings.tracing import trace
from deepdraw.runtime import LARGEST, expand_home, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

cv2.setNumThreads(1)  # a worker forked after OpenCV has started threads would wait for them forever
COLOR_TYPE, WITH_ALPHA = 25, (4, 6)  # position of the color type in a PNG, and its values with alpha


def draw_image(source: str | Path | bytes | Image | NDArray[Any], rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """One picture as `rasterizer` would have drawn it: uint8 [*shape].

    source: the path of an SVG file, whose strokes are drawn as any drawing's are, or an image (see `gray_image`).

    Raises ValueError, naming the file, if it is missing, of another format, cut short, empty, or has too many pixels.
    """
    if isinstance(source, str | Path) and is_svg(str(source)):
        return rasterizer(Drawings.pack([read_svg(Path(expand_home(str(source))))]))[0]
    return fit_to_square(gray_image(source), rasterizer)


def gray_image(source: str | Path | bytes | Image | NDArray[Any]) -> NDArray[np.uint8]:
    """An image of any form in gray: uint8 [H, W], with transparent pixels on white, turned as its EXIF says.

    source: a file or its bytes (PNG, JPEG, BMP, GIF, ICO, PPM, TIFF or WebP), a PIL image, or an array [H, W],
    [H, W, 3] (RGB) or [H, W, 4] (RGBA) of bool, uint8, uint16, or floats, from 0 to 255 if any is above 1, else from
    0 to 1. Raises ValueError, naming the file, as `draw_image` does.
    """
    if isinstance(source, str | Path):
        return read_image(Path(expand_home(str(source))))
    if isinstance(source, np.ndarray):
        return gray_of_array(source)
    if not isinstance(source, bytes):
        return gray_of_pillow(source)
    these = f"these {len(source):,} bytes"
    image = _decoded(source, f"{these}: an image that")
    if image is None:
        kind = other_kind(source)
        found = f"are {kind} and no image" if kind else "are no image or are cut short"
        raise ValueError(f"{these} {found}: give a whole PNG or JPEG file")
    return image


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image in a file, gray: uint8 [H, W]. Raises ValueError, naming the file, if it cannot be decoded."""
    encoded = read_bytes(path, largest=LARGEST["image"], fix="check the path")
    image = _decoded(encoded, str(path))
    if image is None:
        if kind := other_kind(encoded):
            raise ValueError(f"{path} is {kind} and no image: convert it to PNG or take it away")
        raise ValueError(f"{path} is no image or is cut short: fetch it anew or take it away")
    return image


def decode(encoded: bytes) -> NDArray[np.uint8] | None:
    """An image in a file of these bytes, gray, as `gray_image` gives it; None if it cannot be decoded.

    Raises ValueError, before decoding, if it has too many pixels. The message lacks the file name: callers add it.
    """
    size = image_size(encoded)
    if size is None:
        return None
    check_size(size, encoded)
    if not _is_plain(encoded):
        return _decoded_by_pillow(encoded)
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]
    except (cv2.error, IndexError):  # more pixels than OpenCV takes, a PNG of a few bytes
        return None


def fit_to_square(image: NDArray[np.uint8], rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """Fit a gray image [H, W] into the square of a rasterizer: uint8 [*shape].

    With images="drawing" its lines are traced and drawn by the rasterizer, so that their place, width and darkness are
    those of strokes; light lines on dark paper are traced, too (see `deepdraw.drawings.trace`). With images="canvas" it
    is scaled as it is. The aspect ratio is kept; the rest is white. The image is taken to be dark on light, and
    inverted if the rasterizer is white_on_black.
    """
    if rasterizer.images == "drawing":
        drawings = trace_drawing(image)
        return rasterizer.draw(drawings, np.ones(1, np.float32))[0] if len(drawings) else blank(rasterizer)
    size = rasterizer.size
    height, width = image.shape
    if not height == width == size:
        scale = size / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        shrunk = cv2.resize(image, (width, height), interpolation=interpolation)
        image = np.full((size, size), 255, np.uint8)
        top, left = (size - height) // 2, (size - width) // 2
        image[top : top + height, left : left + width] = shrunk
    return 255 - image if rasterizer.polarity == "white_on_black" else image


def trace_drawing(image: NDArray[np.uint8], key_id: int = 0) -> Drawings:
    """The one drawing in a gray image [H, W], with label 0; none where there is no ink."""
    strokes = trace(image)
    return Drawings.pack([strokes], key_ids=[key_id]) if strokes else Drawings.pack([])


def trace_strokes(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The strokes in a gray image [H, W], for what needs some: one dot where there is no ink."""
    return trace(image) or [np.zeros((1, 2), np.uint8)]


def blank(rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """Paper without a line: uint8 [*shape]."""
    return np.full(rasterizer.shape, 255 if rasterizer.polarity == "black_on_white" else 0, np.uint8)


def _decoded(encoded: bytes, name: str) -> NDArray[np.uint8] | None:
    try:
        return decode(encoded)
    except ValueError as error:
        raise ValueError(f"{name} {error}: scale it down") from error


def _is_plain(encoded: bytes) -> bool:
    """Whether OpenCV, which is faster, reads what Pillow would."""
    if encoded.startswith(PNG_SIGNATURE):
        return encoded[COLOR_TYPE] not in WITH_ALPHA and not has_special_chunks(encoded)
    return encoded.startswith(JPEG_SIGNATURE) and ORIENTATIONS[0] not in encoded


def _decoded_by_pillow(encoded: bytes) -> NDArray[np.uint8] | None:
    """The image in a file of any format; the first frame if there are several."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=FORMS) as image:
                return gray_of_pillow(image)
    except NO_IMAGE:
        return None
