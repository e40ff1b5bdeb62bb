"""Converts pictures of any kind, in files or in memory, to square gray images such as a rasterizer draws."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.image_headers import FORMS, JPEG_SIGNATURE, NO_IMAGE, PNG_SIGNATURE, check_size, image_size
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.drawings.svg import read_svg
from deepdraw.runtime import LARGEST, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

cv2.setNumThreads(1)  # a worker forked after OpenCV has started threads would wait for them forever
BAND = 1 << 20  # pixels that are converted to gray at once
COLOR_TYPE, WITH_ALPHA = 25, (4, 6)  # position of the color type in a PNG, and its values with alpha


def draw_image(source: str | Path | bytes | Image | NDArray[Any], rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """One picture as `rasterizer` would have drawn it: uint8 [size, size].

    source: the path of an SVG file, whose strokes are drawn as any drawing's are, or an image: a file or its
    bytes (PNG, JPEG, BMP, GIF, PPM, TIFF or WebP), a PIL image, or an array uint8, uint16 or of floats from 0 to 1
    with shape [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA). Images are taken to be dark on light.

    Raises ValueError, naming the file, if it is missing, of another format, cut short, empty, or has too many pixels.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() == ".svg":
            return rasterizer(Drawings.pack([read_svg(path)], [0], [0]))[0]
        return fit_to_square(read_image(path), rasterizer)
    if isinstance(source, bytes):
        these = f"these {len(source):,} bytes"
        image = _decoded(source, f"{these}: an image that")
        if image is None:
            raise ValueError(f"{these} are no image or are cut short: give a whole PNG or JPEG file")
        return fit_to_square(image, rasterizer)
    return fit_to_square(_to_gray(source if isinstance(source, np.ndarray) else _pixels(source)), rasterizer)


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image in a file, gray: uint8 [H, W]. Raises ValueError, naming the file, if it cannot be decoded."""
    encoded = read_bytes(path, largest=LARGEST["image"], fix="check the path")
    image = _decoded(encoded, str(path))
    if image is None:
        raise ValueError(f"{path} is no image or is cut short: fetch it anew or take it away")
    return image


def decode(encoded: bytes) -> NDArray[np.uint8] | None:
    """A gray image uint8 [H, W], with transparent pixels on white; None if it cannot be decoded.

    Raises ValueError, before decoding, if it has too many pixels. The message lacks the file name: callers add it.
    """
    size = image_size(encoded)
    if size is None:
        return None
    check_size(size, encoded)
    if not encoded.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        return _decoded_by_pillow(encoded)
    buffer = np.frombuffer(encoded, np.uint8)
    try:
        if not _is_transparent_png(encoded):
            return cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except (cv2.error, IndexError):  # more pixels than OpenCV takes, a PNG of a few bytes
        return None
    if image is None or image.ndim == 2:
        return image  # type: ignore[return-value]
    return _to_gray(image, cv2.COLOR_BGR2GRAY)


def _decoded(encoded: bytes, name: str) -> NDArray[np.uint8] | None:
    try:
        return decode(encoded)
    except ValueError as error:
        raise ValueError(f"{name} {error}: scale it down") from error


def _decoded_by_pillow(encoded: bytes) -> NDArray[np.uint8] | None:
    """The image in one of the rarer formats; the first frame if there are several."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=FORMS) as image:
                return _to_gray(_pixels(image))
    except NO_IMAGE:
        return None


def fit_to_square(image: NDArray[np.uint8], rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """Fit a gray image [H, W] into the square of a rasterizer: uint8 [size, size].

    The aspect ratio is kept; the rest is white. The image is taken to be dark on light, and inverted if the rasterizer
    is white_on_black.
    """
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


def is_light_on_dark(image: NDArray[np.uint8]) -> bool:
    """Whether most of a gray image is darker than the middle: a line drawing should be inverted first."""
    return bool(np.median(image) < 128)


def _is_transparent_png(encoded: bytes) -> bool:
    if not encoded.startswith(PNG_SIGNATURE[:4]):
        return False
    return encoded[COLOR_TYPE] in WITH_ALPHA or b"tRNS" in encoded[: max(0, encoded.find(b"IDAT"))]


def _pixels(image: Image) -> NDArray[Any]:
    """A PIL image as an array, rotated by its EXIF orientation."""
    from PIL import ImageOps

    check_size(image.size)
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")) and image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(image)


def _to_gray(pixels: NDArray[Any], conversion: int = cv2.COLOR_RGB2GRAY) -> NDArray[np.uint8]:
    """Pixels [H, W], [H, W, 3] or [H, W, 4] as gray uint8 [H, W], with transparent pixels on white.

    The image is converted in bands, because the conversion needs several times the memory of the pixels.
    """
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(f"an image of shape {list(pixels.shape)} cannot be read: give [H, W], [H, W, 3] or [H, W, 4]")
    if pixels.dtype in (np.uint8, np.uint16):
        full = np.iinfo(pixels.dtype).max
    elif np.issubdtype(pixels.dtype, np.floating) and pixels.min() >= 0 and pixels.max() <= 1:
        pixels, full = pixels.astype(np.float32), 1
    else:
        raise ValueError(f"an image of {pixels.dtype} needs values of another kind: give uint8, or floats from 0 to 1")
    gray, rows = np.empty(pixels.shape[:2], np.uint8), max(1, BAND // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        gray[first : first + rows] = _gray_band(pixels[first : first + rows], full, conversion)
    return gray


def _gray_band(pixels: NDArray[Any], full: float, conversion: int) -> NDArray[Any]:
    if pixels.ndim == 3:
        pixels, alpha = cv2.cvtColor(pixels[..., :3], conversion), pixels[..., 3:]
        if alpha.size:
            return np.rint(255 * (1 - (1 - pixels / full) * (alpha[..., 0] / full)))
    return pixels if full == 255 else np.rint(pixels * (255 / full))
