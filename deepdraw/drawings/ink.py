"""Finds the ink in a gray image, on paper that need be neither white nor evenly lit.

The brightness of the paper is the level that most pixels share, or else a quadratic surface fitted to the pixels
without ink. What is darker than the noise of the paper, and not faint beside the darkest ink, is ink.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Fault = Literal["light on dark", "blank"]

LOCATED = 512  # pixels on the longer side of the image in which the drawing is located
GRID = 64  # points on a side to which the surface of the paper is fitted
EVEN = 3  # levels of 255 by which pixels of evenly lit paper differ
FAINTEST = 16  # levels by which ink is darker than the paper, at least
NOISE = 5  # standard deviations of the paper's noise beyond which nothing is paper
LEAST = 0.3  # darkness of ink, as a share of the darkness of the darkest ink
SPECK = 0.3  # area of the smallest dot, in squares of the width of the lines
MOSTLY = 0.8  # share of the pixels that outweighs the border
PAD = 2  # pixels of paper around the drawing


def find_fault(image: NDArray[np.uint8]) -> Fault | None:
    """Why a gray image [H, W] is unlikely to be a drawing in dark on light; None where it may be one."""
    if is_light_on_dark(image):
        return "light on dark"
    darkest, lightest = _extremes(image)
    return "blank" if lightest - darkest < FAINTEST else None


def is_light_on_dark(image: NDArray[np.uint8]) -> bool:
    """Whether a gray image [H, W] has light lines on dark paper: its border is dark, or nearly all of it."""
    small = shrink(image, LOCATED)
    darkest, lightest = _extremes(small)
    middle = (darkest + lightest) / 2 if lightest - darkest >= FAINTEST else 128
    dark = small < middle
    border = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    share = dark.mean()
    return bool(share > MOSTLY or (share > 1 - MOSTLY and border.mean() > 0.5))


def find_ink(image: NDArray[np.uint8], side: int) -> NDArray[np.bool_] | None:
    """Where the drawing in a gray image [H, W] has ink, cropped to it: bool [h, w]; None where there is no ink.

    The longer side of the drawing is scaled to `side` pixels. Light lines on dark paper are ink, too. Takes bounded
    time: of an image of any size, no more than `LOCATED` pixels squared are looked at.
    """
    small = shrink(image, LOCATED)
    inverted = is_light_on_dark(small)
    paper = _fit_paper(255 - small if inverted else small)
    located = _ink(small, inverted, _surface(paper, (0, 1, 0, 1), small.shape))
    if not located.any():
        return None
    top, bottom = _span(np.any(located, axis=1), len(image))
    left, right = _span(np.any(located, axis=0), image.shape[1])
    crop = shrink(image[top:bottom, left:right], side)
    if (scale := side / max(crop.shape)) > 1:
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    box = (top / len(image), bottom / len(image), left / image.shape[1], right / image.shape[1])
    ink = _ink(crop, inverted, _surface(paper, box, crop.shape))
    return ink if ink.any() else None


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image [H, W], shrunk so that no side is longer than `side` pixels."""
    scale = side / max(image.shape)
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _extremes(image: NDArray[np.uint8]) -> tuple[float, float]:
    """The darkest and the lightest of an image, without single pixels of noise."""
    smooth = cv2.blur(shrink(image, LOCATED), (2, 2))
    return float(smooth.min()), float(smooth.max())


def _fit_paper(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The coefficients [6] of the paper's brightness (see `_terms`)."""
    counts = np.bincount(image.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * EVEN + 1, np.int64), "same")
    level = int(near.argmax())
    if near[level] > image.size / 2 or near[level] + counts[level + EVEN + 1 :].sum() < 1.05 * near[level]:
        return np.array(
            [counts[max(0, level - EVEN) : level + EVEN + 1].argmax() + max(0, level - EVEN), 0, 0, 0, 0, 0]
        )
    height, width = image.shape
    small = cv2.resize(image, (min(width, GRID), min(height, GRID)), interpolation=cv2.INTER_AREA)
    terms, values = _terms((0, 1, 0, 1), small.shape), small.ravel().astype(np.float32)
    kept = values >= np.quantile(values, 0.3)
    for _ in range(6):
        fit = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        off = np.abs(values - terms @ fit)
        kept = off < 2.5 * max(1.0, 1.4826 * float(np.median(off[kept])))
    return fit


def _terms(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The terms of a quadratic surface at the pixels of a box [top, bottom, left, right] of the image: [pixels, 6]."""
    (height, width), (top, bottom, left, right) = shape, box
    y = np.repeat(np.linspace(top, bottom, height, dtype=np.float32), width)
    x = np.tile(np.linspace(left, right, width, dtype=np.float32), height)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _surface(
    paper: NDArray[np.float32], box: tuple[float, float, float, float], shape: tuple[int, ...]
) -> NDArray[np.float32] | np.float32:
    return (_terms(box, shape) @ paper).reshape(shape) if paper[1:].any() else np.float32(paper[0])


def _ink(image: NDArray[np.uint8], inverted: bool, paper: NDArray[np.float32] | np.float32) -> NDArray[np.bool_]:
    """Where an image [H, W] on paper of this brightness has ink, without specks."""
    dark = np.asarray(paper - (255 - image if inverted else image), np.float32)
    noise = _noise(dark)
    if noise > EVEN:
        dark = np.asarray(cv2.GaussianBlur(dark, (0, 0), 1), np.float32)
        noise = _noise(dark)
    faintest = max(FAINTEST, NOISE * noise)
    inked = dark[dark > faintest]
    if not inked.size:
        return np.zeros(dark.shape, bool)
    return _without_specks(dark > max(faintest, LEAST * float(np.quantile(inked, 0.9))))


def _noise(dark: NDArray[np.float32]) -> float:
    """The standard deviation of the paper, from the pixels that are lighter than it."""
    lighter = dark[dark < 0]
    return 1.4826 * float(-np.median(lighter)) if lighter.size > dark.size / 8 else 0.0


def _without_specks(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ink [H, W] without pieces that are smaller than a dot of the pen that drew the lines."""
    pixels = ink.view(np.uint8)
    number, pieces, statistics, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    if number <= 2:
        return ink
    width = 2 * float(np.quantile(cv2.distanceTransform(pixels, cv2.DIST_L2, 3)[ink], 0.75))
    kept = statistics[:, cv2.CC_STAT_AREA] >= SPECK * width**2
    kept[0] = False
    return kept[pieces]


def _span(inked: Any, length: int) -> tuple[int, int]:
    """From where to where rows or columns of the whole image, `length` of them, hold the ink, with some paper."""
    places, scale = np.flatnonzero(inked), length / len(inked)
    return max(0, int((places[0] - PAD) * scale)), min(length, int(np.ceil((places[-1] + 1 + PAD) * scale)))
