"""A split of drawings in files: strokes are held in memory, images are decoded whenever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Complexity, Drawings, Rasterizer, mix, place_image, ranges, read_image

BLOCK = 512  # drawings


class FileSplit:
    """N drawings of a collection, some of them strokes and some of them images.

    classes: label k means `classes[k]`; files: the file of each drawing [N]; labels: int64 [N]; key_ids: uint64 [N];
    strokes: the strokes of M drawings; row: int64 [N], the number of each drawing in `strokes`, negative for an image.
    The drawings are stored in the order of a hash of their key ids, so that blocks of them mix all classes.
    """

    def __init__(
        self,
        classes: Sequence[str],
        files: Sequence[Path],
        labels: NDArray[np.int64],
        key_ids: NDArray[np.uint64],
        strokes: Drawings,
        row: NDArray[np.int64],
    ) -> None:
        order = np.argsort(mix(key_ids, "order"), kind="stable")
        self.classes = list(classes)
        self.labels, self.key_ids = labels[order], key_ids[order]
        self.block_sizes = np.diff(np.append(np.arange(0, len(order), BLOCK), len(order)))
        digest = sha256("\n".join(["files", *self.classes]).encode())
        digest.update(self.key_ids.tobytes() + self.labels.tobytes())
        self.fingerprint = digest.hexdigest()
        self._files, row = [files[i] for i in order], row[order]
        self._row = np.where(row >= 0, np.cumsum(row >= 0) - 1, -1)
        of_these = strokes.take(row[row >= 0])
        self._strokes = Drawings(
            points=of_these.points,
            stroke_lengths=of_these.stroke_lengths,
            stroke_counts=of_these.stroke_counts,
            labels=self.labels[row >= 0].astype(np.uint16),
            key_ids=self.key_ids[row >= 0],
        )

    @property
    def has_strokes(self) -> bool:
        """Whether all drawings are strokes, and none is an image."""
        return bool((self._row >= 0).all())

    def complexity(self) -> Complexity | None:
        """Strokes and points of all drawings; None where there are images among them."""
        return self._strokes.complexity() if self.has_strokes else None

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, size, size]: labels and key ids.

        Raises ValueError, naming the file, for an image that has changed and does not decode any more.
        """
        blocks = np.asarray(blocks, np.int64)
        positions = ranges(blocks * BLOCK, self.block_sizes[blocks])[rows]
        row, key_ids = self._row[positions], self.key_ids[positions]
        if (row >= 0).any():
            images[row >= 0] = rasterizer(self._strokes.take(row[row >= 0]))
        for i in np.flatnonzero(row < 0):
            images[i] = place_image(read_image(self._files[positions[i]]), int(key_ids[i]), rasterizer)
        return self.labels[positions], key_ids
