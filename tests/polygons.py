"""Small data sets of shaky polygons, which a small network learns in seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from deepdraw.data.shards import write_shards
from deepdraw.drawings.packed import Drawings

SIZES = {"train": 420, "val": 60, "test": 90, "zeroshot": 60}


def polygons(corners: list[int], number: int, seed: int) -> Drawings:
    """`number` shaky polygons; label k has `corners[k]` corners."""
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % len(corners)
    strokes = []
    for label in labels:
        turn = np.linspace(0, 2 * np.pi, corners[label] + 1) + rng.uniform(0, 2 * np.pi)
        points = 127 + 100 * np.stack([np.cos(turn), np.sin(turn)], axis=1) + rng.normal(0, 8, (len(turn), 2))
        strokes.append([points.clip(0, 255)])
    return Drawings.pack(strokes, labels, rng.integers(0, 2**63, number))


def encode(strokes: list[np.ndarray], form: str, width: int = 5) -> bytes:
    """A drawing as a file: ndjson, svg, or an image of 256 px with lines of `width` pixels."""
    if form == "ndjson":
        return json.dumps({"drawing": [stroke.T.tolist() for stroke in strokes]}).encode()
    if form == "svg":
        lines = (" ".join(f"{x},{y}" for x, y in stroke) for stroke in strokes)
        shapes = "".join(f'<polyline points="{line}" fill="none" stroke="black"/>' for line in lines)
        return f'<svg xmlns="http://www.w3.org/2000/svg">{shapes}</svg>'.encode()
    image = np.full((256, 256), 255, np.uint8)
    cv2.polylines(image, [stroke.astype(np.int32) for stroke in strokes], False, 0, width)
    return cv2.imencode(f".{form}", image)[1].tobytes()


def write_polygons(root: Path, sizes: Mapping[str, int] = SIZES) -> Path:
    """Write shards of three classes seen and two unseen, so many drawings of each split, into `root`; returns it."""
    seen, unseen = ["triangle", "square", "octagon"], ["hexagon", "line"]
    splits = {
        name: (seen, polygons([3, 4, 8], size, seed)) for seed, (name, size) in enumerate(sizes.items()) if seed < 3
    }
    write_shards(
        root, {**splits, "zeroshot": (unseen, polygons([6, 2], sizes["zeroshot"], 9))}, metadata={"source": "polygons"}
    )
    return root
