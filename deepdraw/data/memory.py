"""Drawings held in memory as a split: all that a data source of one's own has to give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepdraw.data.stroke_split import StrokeSplit
from deepdraw.drawings import Complexity, Drawings, hash_text, ranges

BLOCK = 16  # drawings; so few that shuffled blocks mix drawings that come sorted by class


class MemorySplit(StrokeSplit):
    """Packed drawings, in the order in which they are given; label k of `drawings` means `classes[k]`.

    Raises ValueError where a label has no class.
    """

    def __init__(self, classes: Sequence[str], drawings: Drawings) -> None:
        if len(drawings) and int(drawings.labels.max()) >= len(classes):
            raise ValueError(f"label {drawings.labels.max()} is beyond the {len(classes)} classes: name them all")
        self.classes = list(classes)
        self.block_sizes = np.diff(np.append(np.arange(0, len(drawings), BLOCK), len(drawings)))
        self.labels = drawings.labels.astype(np.int64)
        digest = sha256("\n".join(["memory", *self.classes]).encode())
        for name, array in vars(drawings).items():
            if isinstance(array, np.ndarray):
                digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        self.fingerprint = digest.hexdigest()
        self._drawings = drawings

    @classmethod
    def of_strokes(
        cls, classes: Sequence[str], drawings: Sequence[Sequence[ArrayLike]], labels: Sequence[int]
    ) -> MemorySplit:
        """Drawings given as lists of strokes, each of points [n, 2] in 0..255, y downwards, and their labels.

        The key id of a drawing is a hash of its class and its number among the drawings of that class.
        """
        counts: Counter[int] = Counter()
        key_ids = []
        for label in labels:
            key_ids.append(hash_text(f"{classes[label]} {counts[label]}"))
            counts[label] += 1
        return cls(classes, Drawings.pack(drawings, labels, key_ids))

    def complexity(self) -> Complexity:
        """Strokes and points of all drawings."""
        return self._drawings.complexity()

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        blocks = np.asarray(blocks, np.int64)
        return self._drawings.take(ranges(blocks * BLOCK, self.block_sizes[blocks])[rows])
