"""A file of many drawings, such as an ndjson file, as a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from deepdraw.data.memory import MemorySplit
from deepdraw.drawings import Drawings, trace, whole_sketches

MOST = 5_000_000  # drawings: their strokes are held in memory, about 100 bytes each


def open_stroke_file(path: Path) -> MemorySplit:
    """All drawings of a file in any form of `read_sketches`, in its order; their classes are their words, sorted.

    A bitmap is traced. Raises ValueError, in one line, for a drawing that is broken or has no ink, and for too many.
    """
    words: list[str] = []
    key_ids: list[int] = []
    parts: list[Drawings] = []
    drawings: list[list[np.ndarray]] = []
    for sketch in whole_sketches(path):
        strokes = sketch.strokes if sketch.image is None else trace(sketch.image)
        if not strokes:
            raise ValueError(f"{path}: image {len(words) + 1} has no ink: leave it out")
        words.append(sketch.word)
        key_ids.append(sketch.key_id)
        drawings.append(strokes)
        if len(words) > MOST:
            raise ValueError(f"{path} holds more than {MOST:,} drawings: write shards of it (deepdraw.data.quickdraw)")
        if len(drawings) == 1024:
            parts.append(Drawings.pack(drawings))
            drawings = []
    if not words:
        raise ValueError(f"{path} holds no drawing: choose a file that has some")
    classes, labels = np.unique(words, return_inverse=True)
    packed = Drawings.concatenate([*parts, Drawings.pack(drawings)])
    numbered = replace(packed, labels=labels.astype(np.uint16), key_ids=np.array(key_ids, np.uint64))
    return MemorySplit(classes.tolist(), numbered)
