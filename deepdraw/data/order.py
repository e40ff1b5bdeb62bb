"""The order of an epoch and each rank's share of it. Both depend only on seed, epoch and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from deepdraw.data.interfaces import Split

Sampling = Literal["balanced"] | None
WINDOW = 32  # blocks that are shuffled together: 16,384 drawings, 2 MB


def order_of(split: Split, seed: int, epoch: int, shuffle: bool, sampler: Sampling) -> Order | BalancedOrder:
    """The order of an epoch of a split. sampler: "balanced" takes every class equally often."""
    if sampler == "balanced":
        return BalancedOrder(split.block_sizes, split.labels, seed, epoch)
    return Order(split.block_sizes, seed, epoch, shuffle)


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

    def parts(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
        """As `take`, and how many times the epoch took these drawings before: never."""
        for blocks, rows in self.take(start, stop):
            yield blocks, rows, 0

    def _rows(self, window: int, number: int) -> NDArray[np.int64]:
        """The order of the drawings of a window."""
        if not self._shuffle:
            return np.arange(number)
        if self._latest[0] != window:
            self._latest = window, np.random.default_rng((*self._key, window)).permutation(number)
        return self._latest[1]


class BalancedOrder:
    """The order of one epoch that takes every class equally often, and as many drawings in all as there are.

    Of a large class it takes some of the drawings, others in each epoch; those of a small class come several times, all
    of them equally often but for one. Which drawing is at position p depends on seed, epoch and labels alone.
    """

    def __init__(self, block_sizes: NDArray[np.int64], labels: NDArray[np.int64], seed: int, epoch: int) -> None:
        random = np.random.default_rng((seed, epoch))
        self._ends = np.cumsum(block_sizes)
        self._block_sizes = block_sizes
        members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
        members = [members[k] for k in random.permutation(len(members)) if len(members[k])]
        quotas = [len(labels) // len(members) + (k < len(labels) % len(members)) for k in range(len(members))]
        rounds = [-(-quota // len(some)) for quota, some in zip(quotas, members, strict=True)]
        taken = [
            np.concatenate([random.permutation(some) for _ in range(number)])[:quota]
            for some, number, quota in zip(members, rounds, quotas, strict=True)
        ]
        repeats = [np.arange(quota) // len(some) for quota, some in zip(quotas, members, strict=True)]
        order = random.permutation(len(labels))
        self._positions, self._repeats = np.concatenate(taken)[order], np.concatenate(repeats)[order]

    def take(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The drawings at positions start to stop, as (blocks, rows in their concatenation)."""
        for blocks, rows, _ in self.parts(start, stop):
            yield blocks, rows

    def parts(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
        """As `take`, and how many times the epoch took these drawings before."""
        repeats = self._repeats[start:stop]
        for repeat in np.unique(repeats).tolist():
            positions = self._positions[start:stop][repeats == repeat]
            blocks, which = np.unique(np.searchsorted(self._ends, positions, side="right"), return_inverse=True)
            sizes = self._block_sizes[blocks]
            yield blocks, positions + (np.cumsum(sizes) - self._ends[blocks])[which], repeat


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
