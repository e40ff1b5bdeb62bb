"""A split of drawings in files: strokes are held in memory, images are decoded whenever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.files.collection import NONE, Collection
from deepdraw.drawings import Complexity, Rasterizer, mix, place_image, ranges, read_image

BLOCK = 512  # drawings


class FileSplit:
    """N drawings of a collection, some of them strokes and some of them images.

    classes: label k means `classes[k]`; chosen: int64 [N], the drawings of the collection; labels: int64 [N]; key_ids:
    uint64 [N]. They are stored in the order of a hash of their key ids, so that blocks of them mix all classes.
    """

    def __init__(
        self,
        classes: Sequence[str],
        collection: Collection,
        chosen: NDArray[np.int64],
        labels: NDArray[np.int64],
        key_ids: NDArray[np.uint64],
    ) -> None:
        order = np.argsort(mix(key_ids, "order"), kind="stable")
        chosen = chosen[order]
        self.classes = list(classes)
        self.labels, self.key_ids = labels[order], key_ids[order]
        self.block_sizes = np.diff(np.append(np.arange(0, len(order), BLOCK), len(order)))
        digest = sha256("\n".join(["files", *self.classes]).encode())
        digest.update(self.key_ids.tobytes() + self.labels.tobytes())
        self.fingerprint = digest.hexdigest()
        self._files = [collection.entries[file].path for file in collection.file[chosen]]
        row, bitmap = collection.row[chosen], collection.bitmap[chosen]
        is_drawn, is_bitmap = row != NONE, bitmap != NONE
        self._row, self._bitmap = _renumbered(is_drawn), _renumbered(is_bitmap)
        self._bitmaps = collection.bitmaps[bitmap[is_bitmap]]
        drawn = collection.strokes.take(row[is_drawn])
        self._strokes = replace(drawn, labels=self.labels[is_drawn].astype(np.uint16), key_ids=self.key_ids[is_drawn])

    @property
    def has_strokes(self) -> bool:
        """Whether all drawings are strokes, and none is an image."""
        return bool((self._row != NONE).all())

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
        is_drawn = row != NONE
        if is_drawn.any():
            images[is_drawn] = rasterizer(self._strokes.take(row[is_drawn]))
        for i in np.flatnonzero(~is_drawn):
            images[i] = place_image(self._image(positions[i]), int(key_ids[i]), rasterizer)
        return self.labels[positions], key_ids

    def _image(self, position: int) -> NDArray[np.uint8]:
        """A drawing that is an image, gray [H, W] and dark on light."""
        bitmap = self._bitmap[position]
        return read_image(self._files[position]) if bitmap == NONE else self._bitmaps[bitmap]


def _renumbered(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each drawing among those that are chosen, or NONE."""
    return np.where(chosen, np.cumsum(chosen) - 1, NONE)
