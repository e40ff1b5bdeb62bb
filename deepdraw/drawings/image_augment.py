"""The image form of augmentation: the affine map that moves points of strokes, and the width of lines, in pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

FAINTEST = 32  # levels of 255 by which a pixel that must not be cut off differs from the paper


def shrink(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """A gray image [H, W] with at most `longest` pixels on its longer side."""
    scale = longest / max(image.shape)
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def warp(image: NDArray[np.uint8], angle: float, slant: float, width: float, height: float) -> NDArray[np.uint8]:
    """A gray image [H, W] stretched by `width` and `height`, slanted, and then rotated, all about its center.

    angle: radians, clockwise; slant: share of the height by which the top moves; a negative `width` also exchanges left
    and right. Around the image is paper of the brightness of its border. The result is as large as the stretched image,
    and larger where ink would be cut off.
    """
    import torch
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as v2

    paper = int(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))
    # Relative to the paper, so that what lies outside is 0: torchvision leaves a seam around any other fill.
    pixels = torch.from_numpy(image.astype(np.float32) - paper)[None]
    if width < 0:
        pixels = v2.horizontal_flip(pixels)
    rows, columns = max(1, round(len(image) * height)), max(1, round(image.shape[1] * abs(width)))
    if (rows, columns) != image.shape:
        pixels = v2.resize(pixels, [rows, columns], InterpolationMode.BILINEAR, antialias=True)
    cos, sin = math.cos(angle), math.sin(angle)
    wide = abs(cos) * columns + abs(cos * slant - sin) * rows
    high = abs(sin) * columns + abs(sin * slant + cos) * rows
    beside, above = (max(0, math.ceil((new - old) / 2)) for new, old in ((wide, columns), (high, rows)))
    pixels = v2.pad(pixels, [beside, above])
    if angle or slant:
        degrees = [math.degrees(-math.atan(slant)), 0.0]
        pixels = v2.affine(pixels, math.degrees(angle), [0, 0], 1.0, degrees, InterpolationMode.BILINEAR)
    warped = pixels[0].numpy()
    inked = np.abs(warped) > FAINTEST
    box = _extent(inked.any(axis=1), above, rows), _extent(inked.any(axis=0), beside, columns)
    return np.rint(np.clip(warped[box] + paper, 0, 255)).astype(np.uint8)


def widen(image: NDArray[np.uint8], pixels: float) -> NDArray[np.uint8]:
    """A gray image [H, W], dark on light, whose lines are wider by so many pixels, or narrower where it is negative.

    By grayscale morphology with a disk, and between whole radii by a blend.
    """
    whole, part = divmod(abs(pixels) / 2, 1)
    change = cv2.erode if pixels > 0 else cv2.dilate  # eroding what is light makes dark lines wider
    less, more = (_morphed(image, change, int(whole) + extra) for extra in (0, 1))
    return np.asarray(cv2.addWeighted(less, 1 - part, more, part, 0), np.uint8)


def _morphed(image, change, radius: int):  # type: ignore[no-untyped-def]
    if not radius:
        return image
    return change(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def _extent(inked: NDArray[np.bool_], first: int, number: int) -> slice:
    """The rows or columns from `first` on, `number` of them, and as many more as ink reaches."""
    at = np.flatnonzero(inked)
    if not len(at):
        return slice(first, first + number)
    return slice(min(first, int(at[0])), max(first + number, int(at[-1]) + 1))
