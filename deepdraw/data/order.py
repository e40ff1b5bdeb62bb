"""The order of an epoch and each rank's share of it. Both depend only on seed, epoch and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 32  # blocks that are shuffled together: 16,384 drawings, 2 MB


class Order:
    """The order of one epoch: which drawing is at position p. The whole order is never stored."""

    def __init__(self, block_sizes: NDArray[np.int64], seed: int, epoch: int, shuffle: bool) -> None:
        self._key = (seed, epoch)
        self._shuffle = shuffle
        num_blocks = len(block_sizes)
        blocks = np.random.default_rng(self._key).permutation(num_blocks) if shuffle else np.arange(num_blocks)
        self._windows = [blocks[start : start + WINDOW] for start in range(0, num_blocks, WINDOW)]
        self._starts = np.cumsum([0, *(block_sizes[window].sum() for window in self._windows)])
        self._latest = -1, np.empty(0, np.int64)  # the last window and its rows: the next batch often needs them

    def take(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The drawings at positions start to stop, as (blocks of a window, rows in their concatenation)."""
        while start < stop:
            window = int(np.searchsorted(self._starts, start, side="right")) - 1
            low, high = self._starts[window : window + 2]
            end = min(stop, int(high))
            yield self._windows[window], self._rows(window, high - low)[start - low : end - low]
            start = end

    def _rows(self, window: int, number: int) -> NDArray[np.int64]:
        """The order of the drawings of a window."""
        if not self._shuffle:
            return np.arange(number)
        if self._latest[0] != window:
            self._latest = window, np.random.default_rng((*self._key, window)).permutation(number)
        return self._latest[1]


@dataclass(frozen=True)
class Share:
    """The part of an epoch that one rank processes.

    batch_size: drawings of a step over all ranks. With `shuffle`, the last, smaller batch of an epoch is left out and
    every rank gets an equal part of each batch. Without it, every drawing is read once, in stored order, and batch
    after batch goes to the next rank. Raises ValueError if a batch cannot be split equally, or there is no full step.
    """

    num_drawings: int
    batch_size: int
    shuffle: bool
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"data.batch_size={self.batch_size} makes no step: give at least 1 drawing")
        if self.batch_size % self.world_size:
            raise ValueError(
                f"data.batch_size={self.batch_size} must be a multiple of the number of ranks, {self.world_size}"
            )
        if self.num_drawings < (self.batch_size if self.shuffle else 1):
            raise ValueError(
                f"the split holds {self.num_drawings} drawings, too few for a step of {self.batch_size}: "
                "choose a smaller data.batch_size or write more drawings"
            )

    def __len__(self) -> int:
        """Steps in an epoch, or, without shuffling, batches of this rank."""
        if self.shuffle:
            return self.num_drawings // self.batch_size
        return len(range(self.rank * self.batch_size, self.num_drawings, self.batch_size * self.world_size))

    def bounds(self, index: int) -> tuple[int, int]:
        """The positions, in the order of the epoch, at which batch `index` of this rank starts and stops."""
        if self.shuffle:
            part = self.batch_size // self.world_size
            start = index * self.batch_size + self.rank * part
            return start, start + part
        start = (index * self.world_size + self.rank) * self.batch_size
        return start, min(start + self.batch_size, self.num_drawings)
