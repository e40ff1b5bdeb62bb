"""What splits of strokes have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Drawings, Rasterizer


class StrokeSplit:
    """A split of strokes alone, which draws what `read_strokes` gives. A subclass owes `read_strokes`."""

    has_strokes = True

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        raise NotImplementedError

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids."""
        chosen = self.read_strokes(blocks, rows)
        rasterizer(chosen, images)
        return chosen.labels.astype(np.int64), chosen.key_ids
