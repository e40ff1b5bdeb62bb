"""A split of drawings in files: strokes are held in memory, images are decoded whenever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.external_sort import order_hash
from deepdraw.data.files.collection import NONE, Collection
from deepdraw.drawings import Complexity, Drawings, Rasterizer, blank, place_image, ranges, trace_drawing

BLOCK = 512  # drawings
DOT = Drawings.pack([[[[0, 0]]]])


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
        order = np.argsort(order_hash(key_ids), kind="stable")
        self.classes = list(classes)
        self.labels, self.key_ids = labels[order], key_ids[order]
        self.block_sizes = np.diff(np.append(np.arange(0, len(order), BLOCK), len(order)))
        digest = sha256("\n".join(["files", *self.classes]).encode())
        digest.update(self.key_ids.tobytes() + self.labels.tobytes())
        self.fingerprint = digest.hexdigest()
        self._collection, self._chosen = collection, chosen[order]
        self._traced: dict[int, Drawings] = {}  # by the number in the collection; tracing takes longer than drawing

    @property
    def has_strokes(self) -> bool:
        """Whether every drawing is strokes, and none is an image."""
        return bool((self._collection.row[self._chosen] != NONE).all())

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`, images traced: one dot where there is no ink."""
        blocks = np.asarray(blocks)
        positions = ranges(blocks * BLOCK, self.block_sizes[blocks])[rows]
        row = self._collection.row[self._chosen[positions]]
        if (row != NONE).all():
            drawings = self._collection.strokes.take(row)
        else:
            places = [np.flatnonzero(row != NONE), np.flatnonzero(row == NONE)]
            traced = [self._trace(number) for number in self._chosen[positions[places[1]]]]
            parts = [self._collection.strokes.take(row[places[0]]), *(part if len(part) else DOT for part in traced)]
            drawings = Drawings.concatenate(parts).take(np.argsort(np.concatenate(places)))
        return replace(drawings, labels=self.labels[positions].astype(np.uint16), key_ids=self.key_ids[positions])

    def complexity(self) -> Complexity | None:
        """Strokes and points of all drawings; None where there are images among them."""
        if not self.has_strokes:
            return None
        return self._collection.strokes.complexity().take(self._collection.row[self._chosen])

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids.

        Raises ValueError, naming the file, for an image that has changed and does not decode any more.
        """
        blocks = np.asarray(blocks, np.int64)
        positions = ranges(blocks * BLOCK, self.block_sizes[blocks])[rows]
        chosen, labels, key_ids = self._chosen[positions], self.labels[positions], self.key_ids[positions]
        row = self._collection.row[chosen]
        parts, places = [self._collection.strokes.take(row[row != NONE])], [np.flatnonzero(row != NONE)]
        for i in np.flatnonzero(row == NONE):
            if rasterizer.images == "canvas":
                images[i] = place_image(self._collection.image(chosen[i]), int(key_ids[i]), rasterizer)
            elif len(traced := self._trace(chosen[i])):
                parts.append(traced)
                places.append(np.array([i]))
            else:
                images[i] = blank(rasterizer)
        at, drawings = np.concatenate(places), Drawings.concatenate(parts)
        if len(at):
            drawings = replace(drawings, labels=labels[at].astype(np.uint16), key_ids=key_ids[at])
            images[at] = rasterizer(drawings)
        return labels, key_ids

    def _trace(self, number: int) -> Drawings:
        """The lines of an image of the collection, as one drawing; none where there is no ink."""
        if number not in self._traced:
            self._traced[number] = trace_drawing(self._collection.image(number))
        return self._traced[number]
