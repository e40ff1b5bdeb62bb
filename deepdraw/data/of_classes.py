"""The drawings of a split that are of certain classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.interfaces import Split
from deepdraw.data.subset import Subset
from deepdraw.drawings import Drawings, Rasterizer
from deepdraw.runtime import normal_name


class OfClasses(Subset):
    """The drawings of `split` that are of one of `classes`, in stored order, with labels that number `classes`.

    Names are the same in whichever Unicode form they are written.
    """

    def __init__(self, split: Split, classes: Sequence[str]) -> None:
        number_of_class = {normal_name(name): number for number, name in enumerate(classes)}
        numbers = np.array([number_of_class.get(normal_name(name), -1) for name in split.classes], np.int64)
        super().__init__(split, np.flatnonzero(numbers[split.labels] >= 0))
        self.classes = list(classes)
        self._numbers = numbers

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of the chosen drawings [M], as indices into `classes`."""
        return self._numbers[self._split.labels[self._positions]]

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids."""
        labels, key_ids = super().read(blocks, rows, rasterizer, images)
        return self._numbers[labels], key_ids

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        drawings = super().read_strokes(blocks, rows)
        return replace(drawings, labels=self._numbers[drawings.labels].astype(np.uint16))
