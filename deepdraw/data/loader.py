"""Shards to batches on the device: what a batch holds is a function of (seed, epoch, batch index) alone.

Blocks are permuted anew each epoch and drawings are shuffled within windows of some dozens of blocks, which
is as good as a full shuffle because shards are written globally shuffled. Any batch can be asked for
directly, so the order does not depend on the number of workers, every rank takes equal steps, and resuming in
mid-epoch costs nothing.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from deepdraw.data.augment import Augment, AugmentingRasterizer
from deepdraw.data.raster import Rasterizer

WINDOW = 32  # blocks that are shuffled together: 16,384 drawings, 2 MB


class Split(Protocol):
    """What a source of data gives: classes and blocks of drawings that can be read in any order."""

    classes: list[str]  # label k means classes[k]
    block_sizes: NDArray[np.int64]  # drawings in each block

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint64]]:
        """Those at `rows` of the concatenated `blocks`: images uint8 [N, size, size], labels, key ids [N]."""
        ...


class Batch(NamedTuple):
    """images: uint8 [B, size, size]; labels: int64 [B]; key_ids: int64 [B], the bits of the unsigned ids."""

    images: torch.Tensor
    labels: torch.Tensor
    key_ids: torch.Tensor


class Order:
    """The order of one epoch: which drawing stands at position p, without writing the whole order down."""

    def __init__(self, block_sizes: NDArray[np.int64], seed: int, epoch: int, shuffle: bool) -> None:
        self._key = (seed, epoch)
        self._shuffle = shuffle
        num_blocks = len(block_sizes)
        blocks = np.random.default_rng(self._key).permutation(num_blocks) if shuffle else np.arange(num_blocks)
        self._windows = [blocks[start : start + WINDOW] for start in range(0, num_blocks, WINDOW)]
        self._starts = np.cumsum([0, *(block_sizes[window].sum() for window in self._windows)])

    def take(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The drawings at positions start to stop, as (blocks of a window, rows in their concatenation)."""
        while start < stop:
            window = int(np.searchsorted(self._starts, start, side="right")) - 1
            low, high = self._starts[window : window + 2]
            rows = np.arange(high - low)
            if self._shuffle:
                rows = np.random.default_rng((*self._key, window)).permutation(high - low)
            end = min(stop, int(high))
            yield self._windows[window], rows[start - low : end - low]
            start = end


class Batches(Dataset[Batch]):
    """All batches of a split, by (epoch, position of the first drawing, position after the last)."""

    def __init__(self, split: Split, rasterizer: Rasterizer, augment: Augment | None, seed: int, shuffle: bool) -> None:
        self._split, self._rasterizer, self._augment = split, rasterizer, augment
        self._seed, self._shuffle = seed, shuffle
        self._order: tuple[int, Order] | None = None

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        epoch, start, stop = key
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, Order(self._split.block_sizes, self._seed, epoch, self._shuffle)
        rasterizer = self._rasterizer
        if self._augment is not None:
            rasterizer = AugmentingRasterizer(rasterizer, self._augment, f"{self._seed} {epoch}")
        parts = [self._split.read(blocks, rows, rasterizer) for blocks, rows in self._order[1].take(start, stop)]
        images, labels, key_ids = (
            np.concatenate(arrays) if len(parts) > 1 else arrays[0] for arrays in zip(*parts, strict=True)
        )
        return Batch(*map(torch.from_numpy, (images, labels, key_ids.view(np.int64))))


class Loader:
    """Batches of one split on the device.

    batch_size counts the drawings of a step over all ranks. With `shuffle` the last, smaller batch of an
    epoch is left out and every rank takes an equal part of each batch; without, every drawing comes once, in
    stored order, and ranks take turns. augment: changes the drawings, in every epoch in another way.
    num_workers: processes that read and draw, 0 for none beside this one, "auto" for one less than the cores
    at hand, at most 8. Raises ValueError where the split is too small for one step.
    """

    def __init__(
        self,
        split: Split,
        rasterizer: Rasterizer,
        *,
        batch_size: int,
        shuffle: bool,
        device: torch.device,
        augment: Augment | None = None,
        num_workers: int | Literal["auto"] = "auto",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_drawings = int(split.block_sizes.sum())
        if batch_size % world_size:
            raise ValueError(f"data.batch_size={batch_size} must be a multiple of the number of ranks, {world_size}")
        if self.num_drawings < (batch_size if shuffle else 1):
            raise ValueError(
                f"the split holds {self.num_drawings} drawings, too few for a step of {batch_size}: "
                "choose a smaller data.batch_size or write more drawings"
            )
        self.classes = split.classes
        self.batch_size, self._shuffle, self._device = batch_size, shuffle, device
        self._rank, self._world_size = rank, world_size
        self._keys = _Keys()
        self._workers = _free_cores() if num_workers == "auto" else num_workers
        self._started = False
        self._batches = DataLoader(
            Batches(split, rasterizer, augment, seed, shuffle),
            sampler=self._keys,
            batch_size=None,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_settle_worker,
            generator=torch.Generator(),  # else every epoch takes a number from the one that dropout uses
        )

    def __len__(self) -> int:
        """Steps in an epoch, or, without shuffling, batches of this rank."""
        if self._shuffle:
            return self.num_drawings // self.batch_size
        return len(range(self._rank * self.batch_size, self.num_drawings, self.batch_size * self._world_size))

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        self._keys[:] = [(epoch, *self._bounds(index)) for index in range(first, len(self))]
        batches = iter(self._batches)
        if self._workers and not self._started:
            atexit.register(batches._shutdown_workers)  # type: ignore[attr-defined]  # they do not heed SIGTERM
            self._started = True
        for batch in batches:
            yield Batch(*(tensor.to(self._device, non_blocking=True) for tensor in batch))

    def _bounds(self, index: int) -> tuple[int, int]:
        if self._shuffle:
            share = self.batch_size // self._world_size
            start = index * self.batch_size + self._rank * share
            return start, start + share
        start = (index * self._world_size + self._rank) * self.batch_size
        return start, min(start + self.batch_size, self.num_drawings)


class _Keys(list[tuple[int, int, int]], Sampler[tuple[int, int, int]]):
    """The batches to come, set anew for every epoch."""


def _free_cores() -> int:
    """The cores that this process may use, less one for itself: at least 1, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores - 1))


def _settle_worker(worker: int) -> None:
    """Let this process draw on one thread and leave Ctrl-C and SIGTERM, sent to all, to the main process."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
