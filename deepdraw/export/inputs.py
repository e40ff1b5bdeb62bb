"""What an exported graph takes: the strokes of drawings, or images of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Drawings
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained

AT_ONCE = 2**24  # distances of pixels to segments that are computed at once, 4 bytes each

Input = Literal["strokes", "image"]
Feed = dict[str, NDArray[Any]]  # what a graph takes, by name


def check_input(chosen: Input, trained: Trained, sample: Sample) -> None:
    """Raise ValueError, in one line, where this network or these drawings cannot give such an input."""
    if chosen == "image" and trained.points is not None:
        raise ValueError("input=image is for networks that see pixels alone, and this one sees strokes: leave it out")
    if chosen == "strokes" and not sample.has_strokes:
        raise ValueError("the drawings of val are images, with which no strokes can be tried: use input=image")


def feeds(chosen: Input, examples: Examples, trained: Trained) -> Iterator[Feed]:
    """What the graph takes of drawings, in as many parts as memory asks for.

    `images`, uint8 [N, size, size] or [N, 3, size, size], or `points` and `strokes` (see `padded`).
    """
    if chosen == "image":
        assert examples.images is not None
        yield {"images": examples.images}
        return
    assert examples.drawings is not None
    drawings = examples.drawings
    longest = int(np.diff(drawings.drawing_point_starts).max())
    number = max(1, AT_ONCE // (longest * trained.rasterizer.size**2))
    for start in range(0, len(drawings), number):
        points, strokes = padded(drawings.slice(start, start + number))
        yield {"points": points, "strokes": strokes}


def dynamic_shapes(feed: Feed, drawings: Any, points: Any) -> dict[str, dict[int, Any]]:
    """Which dimensions of a feed are of any size, as torch.export takes it: the drawings and their points."""
    return {name: {0: drawings} | ({} if name == "images" else {1: points}) for name in feed}


def padded(drawings: Drawings) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """N drawings as `points` [N, P, 2] and `strokes` [N, P], P points of the longest (see `Onnx`)."""
    counts = np.diff(drawings.drawing_point_starts)
    points = np.zeros((len(drawings), counts.max(), 2), np.float32)
    strokes = np.full(points.shape[:2], -1, np.int32)
    rows = np.repeat(np.arange(len(drawings)), counts)
    columns = np.arange(len(rows)) - np.repeat(drawings.drawing_point_starts[:-1], counts)
    numbers = np.arange(len(drawings.stroke_lengths)) - np.repeat(drawings.stroke_starts[:-1], drawings.stroke_counts)
    points[rows, columns] = drawings.points
    strokes[rows, columns] = np.repeat(numbers, drawings.stroke_lengths)
    return points, strokes
