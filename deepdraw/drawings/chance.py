"""The random numbers of augmentation: hashes of a salt and the key id of a drawing, whatever batch it is in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.packed import Drawings, mix


def drawing_chances(key_ids: NDArray[np.uint64], salt: str, number: int) -> NDArray[np.float32]:
    """So many numbers in [0, 1) for each drawing: float32 [N, number]."""
    return _uniform(np.add.outer(mix(key_ids, salt), np.arange(number, dtype=np.uint64)))


def stroke_chances(drawings: Drawings, salt: str) -> NDArray[np.float32]:
    """A number in [0, 1) for each stroke, by its drawing's key id and its number in that drawing: float32 [S]."""
    seeds = mix(drawings.key_ids, salt) - drawings.stroke_starts[:-1].astype(np.uint64)
    numbers = np.arange(len(drawings.stroke_lengths), dtype=np.uint64)
    return _uniform(np.add(np.repeat(seeds, drawings.stroke_counts), numbers))


def _uniform(seeds: NDArray[np.uint64]) -> NDArray[np.float32]:
    """A number in [0, 1) for each seed."""
    return (mix(seeds, "uniform") >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
