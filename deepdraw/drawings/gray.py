"""Converts arrays and PIL images of all kinds to gray on white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.image_headers import check_size

if TYPE_CHECKING:
    from PIL.Image import Image

BAND = 1 << 20  # pixels that are converted to gray at once


def gray_of_pillow(image: Image) -> NDArray[np.uint8]:
    """A PIL image in gray: uint8 [H, W], with transparent pixels on white, turned as its EXIF says.

    Raises ValueError if it has too many pixels.
    """
    from PIL import ImageOps

    check_size(image.size)
    depth = _stored_depth(image)
    image = ImageOps.exif_transpose(image)
    check_size(image.size)  # an icon says its true size only now
    transparent = image.info.get("transparency")
    if (transparent is not None and image.mode in ("L", "RGB")) or image.mode.startswith("I;16"):
        return gray_of_array(_with_alpha(image, transparent, depth))
    if not image.mode.startswith(("I", "F")) and image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return gray_of_array(np.asarray(image))


def gray_of_array(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels [H, W], [H, W, 3] or [H, W, 4] in gray: uint8 [H, W], with transparent pixels on white.

    They are bool, uint8, uint16, or floats, from 0 to 255 if any is above 1, else from 0 to 1. Raises ValueError for
    others. The image is converted in bands, because the conversion needs several times the memory of the pixels.
    """
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(f"an image of shape {list(pixels.shape)} cannot be read: give [H, W], [H, W, 3] or [H, W, 4]")
    check_size((pixels.shape[1], pixels.shape[0]))
    full: float
    if pixels.dtype == bool:
        pixels, full = pixels.astype(np.uint8), 1
    elif pixels.dtype in (np.uint8, np.uint16):
        full = np.iinfo(pixels.dtype).max
    elif np.issubdtype(pixels.dtype, np.floating) and pixels.min() >= 0 and pixels.max() <= 255:
        pixels, full = pixels.astype(np.float32), 255 if pixels.max() > 1 else 1
    else:
        raise ValueError(
            f"an image of {pixels.dtype} needs values of another kind: "
            "give uint8, or floats from 0 to 1, or from 0 to 255"
        )
    gray, rows = np.empty(pixels.shape[:2], np.uint8), max(1, BAND // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        gray[first : first + rows] = _gray_band(pixels[first : first + rows], full)
    return gray


def _gray_band(pixels: NDArray[Any], full: float) -> NDArray[Any]:
    if pixels.ndim == 3:
        pixels, alpha = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2GRAY), pixels[..., 3:]
        if alpha.size:
            return np.rint(255 * (1 - (1 - pixels / full) * (alpha[..., 0] / full)))
    return pixels if pixels.dtype == np.uint8 and full == 255 else np.rint(pixels * (255 / full))


def _stored_depth(image: Image) -> int:
    """The bits of a sample in the file of a PNG: Pillow gives the transparent level as it is stored there."""
    tile = getattr(image, "tile", None)
    raw = str(tile[0][3]) if tile and image.format == "PNG" else ""
    return next((bits for ending, bits in ((";2", 2), (";4", 4), (";16B", 16)) if raw.endswith(ending)), 8)


def _with_alpha(image: Image, transparent: Any, depth: int) -> NDArray[Any]:
    """The pixels of an image, [H, W] or [H, W, 4], of which one level or color may be transparent."""
    pixels = np.asarray(image).astype(np.uint16 if image.mode.startswith("I") else np.uint8)
    if not isinstance(transparent, int | tuple):
        return pixels
    color = np.atleast_1d(transparent)
    if depth < 8:
        color = color * 255 // (2**depth - 1)
    if depth == 16 and image.mode == "RGB":
        color = color >> 8  # Pillow keeps the upper byte of each sample
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    opaque = (pixels != color).any(axis=2, keepdims=True)
    return np.concatenate([pixels, opaque * np.iinfo(pixels.dtype).max], axis=2).astype(pixels.dtype)
