"""Divides arrays and tensors of many images into single ones, each [H, W], [H, W, 3] or [H, W, 4]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = (1, 3, 4)
GIVE = "give [N, H, W] in gray, or [N, H, W, 3] or [N, 3, H, W] in color"
BITMAP = 28 * 28  # pixels of an official bitmap


def is_tensor(given: Any) -> bool:
    """Whether this is a torch tensor; torch is not imported for that."""
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(given).__mro__)


def split_images(given: Any) -> list[NDArray[Any]]:
    """The images of an array or tensor, which may hold one or many.

    An array is [H, W], [H, W, C], [N, H, W], [N, H, W, C] or [N, C, H, W], where C is 1, 3 or 4; a tensor is
    [H, W], [N, H, W] or [N, C, H, W]. Floats of many images share one scale. Raises ValueError for other shapes, and
    for those that could mean two things.
    """
    pixels = _array(given)
    shape = list(pixels.shape)
    if is_tensor(given) and pixels.ndim == 3 and shape[0] in CHANNELS[1:]:
        raise ValueError(f"a tensor {shape} may be {shape[0]} images in gray or one in color: give [N, C, H, W]")
    if pixels.ndim == 2 and shape[1] == BITMAP:
        raise ValueError(f"{shape} seem to be bitmaps, white on black: give 255 - array.reshape(-1, 28, 28)")
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in CHANNELS and not is_tensor(given)):
        return [_one(pixels)]
    if pixels.ndim not in (3, 4) or not pixels.size:
        raise ValueError(f"images of shape {shape} cannot be read: {GIVE}")
    if np.issubdtype(pixels.dtype, np.floating) and 1 < pixels.max() <= 255:
        pixels = pixels / 255
    if pixels.ndim == 4 and (shape[1] in CHANNELS) == (shape[3] in CHANNELS):
        raise ValueError(f"images of shape {shape} have their colors nowhere, or in two places: {GIVE}")
    return [_one(image) for image in pixels]


def one_image(given: Any) -> NDArray[Any]:
    """An array or tensor that is one image: [H, W], [H, W, C] or [C, H, W]."""
    return _one(_array(given))


def _array(given: Any) -> NDArray[Any]:
    if not is_tensor(given):
        return np.asarray(given)
    tensor = given.detach().cpu()
    return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)


def _one(pixels: NDArray[Any]) -> NDArray[Any]:
    """An image with its colors last, and gray without any."""
    if pixels.ndim == 3 and pixels.shape[2] not in CHANNELS and pixels.shape[0] in CHANNELS:
        pixels = np.moveaxis(pixels, 0, 2)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
