"""Shards to batches on the device. The content of a batch depends only on seed, epoch and batch index.

Each epoch permutes the blocks anew and shuffles drawings within windows of some dozens of blocks. This is as good as a
full shuffle, because shards are written globally shuffled. Any batch can be read directly, so the order does not depend
on the number of workers, all ranks take equally many steps, and resuming within an epoch costs nothing.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
from collections.abc import Iterator
from itertools import chain
from typing import Literal

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from deepdraw.data.interfaces import Batch, Split
from deepdraw.data.order import BalancedOrder, Order, Sampling, Share, order_of
from deepdraw.drawings import Augmentation, AugmentingRasterizer, ImageAugmentation, Rasterizer
from deepdraw.runtime import signals_held


class Batches(Dataset[Batch]):
    """All batches of a split. Their keys are (epoch, position of the first drawing, position after the last)."""

    def __init__(
        self,
        split: Split,
        rasterizer: Rasterizer,
        augment: Augmentation | None,
        seed: int,
        shuffle: bool,
        sampler: Sampling = None,
    ) -> None:
        self._split, self._rasterizer, self._augment = split, rasterizer, augment
        self._seed, self._shuffle, self._sampler = seed, shuffle, sampler
        self._order: tuple[int, Order | BalancedOrder] | None = None

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        epoch, start, stop = key
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, order_of(self._split, self._seed, epoch, self._shuffle, self._sampler)
        images = _empty_images(stop - start, self._rasterizer.size)
        unfilled, parts = images.numpy(), []
        for blocks, rows, repeat in self._order[1].parts(start, stop):
            rasterizer = epoch_rasterizer(self._rasterizer, self._augment, self._seed, epoch, repeat)
            parts.append(self._split.read(blocks, rows, rasterizer, unfilled[: len(rows)]))
            unfilled = unfilled[len(rows) :]
        labels, key_ids = map(np.concatenate, zip(*parts, strict=True))
        return Batch(images, torch.from_numpy(labels), torch.from_numpy(key_ids.view(np.int64)))


def epoch_rasterizer(
    rasterizer: Rasterizer, augment: Augmentation | None, seed: int, epoch: int, repeat: int = 0
) -> Rasterizer:
    """What draws in an epoch those drawings that it took `repeat` times before."""
    if augment is None:
        return rasterizer
    return AugmentingRasterizer(rasterizer, augment, f"{seed} {epoch} {repeat}" if repeat else f"{seed} {epoch}")


class Loader:
    """Batches of one split on the device. Each rank gets its `Share` of them.

    augment: changes the drawings, differently in every epoch. sampler: "balanced" takes every class equally often (see
    `BalancedOrder`), where None takes every drawing once.
    num_workers: processes that read and draw. 0: this process does it; "auto": one less than the available cores, at
    most 8. Raises ValueError as `Share` does, and for images with an augmentation of strokes alone.
    """

    def __init__(
        self,
        split: Split,
        rasterizer: Rasterizer,
        *,
        batch_size: int,
        shuffle: bool,
        device: torch.device,
        augment: Augmentation | None = None,
        num_workers: int | Literal["auto"] = "auto",
        seed: int = 0,
        sampler: Sampling = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        changes_images = rasterizer.images == "drawing" or isinstance(augment, ImageAugmentation)
        if augment is not None and not changes_images and not split.has_strokes:
            raise ValueError(
                f"{type(augment).__name__} augments strokes, and the drawings are images: set augment=none"
            )
        self.num_drawings = int(split.block_sizes.sum())
        self._share = Share(self.num_drawings, batch_size, shuffle, rank, world_size)
        self.classes, self.batch_size, self._device = split.classes, batch_size, device
        self._keys = _Keys()
        self._workers = _free_cores() if num_workers == "auto" else num_workers
        self._started = False
        self._batches = DataLoader(
            Batches(split, rasterizer, augment, seed, shuffle, sampler),
            sampler=self._keys,
            batch_size=None,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_prepare_worker,
            generator=torch.Generator(),  # otherwise every epoch would take a number from dropout's generator
        )

    def __len__(self) -> int:
        """Steps in an epoch, or, without shuffling, batches of this rank."""
        return len(self._share)

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        self._keys[:] = [(epoch, *self._share.bounds(index)) for index in range(first, len(self))]
        with signals_held():
            batches = iter(self._batches)  # this starts the workers
        if self._workers and not self._started:
            atexit.register(batches._shutdown_workers)  # type: ignore[attr-defined]  # workers ignore SIGTERM
            self._started = True
        if self._device.type == "cuda":
            yield from _copied_ahead(batches, self._device)
        else:
            for batch in batches:
                yield Batch(*(tensor.to(self._device) for tensor in batch))

    def close(self) -> None:
        """End the worker processes, which would otherwise wait for the next epoch until this process ends."""
        iterator = self._batches._iterator
        if iterator is not None:
            shut_down = iterator._shutdown_workers  # type: ignore[attr-defined]
            atexit.unregister(shut_down)
            shut_down()
            self._batches._iterator, self._started = None, False


class _Keys(list[tuple[int, int, int]], Sampler[tuple[int, int, int]]):
    """The keys of the coming batches. They are set for every epoch."""


def _empty_images(number: int, size: int) -> torch.Tensor:
    """Empty uint8 [number, size, size]: in a worker process shared memory, which need not be copied to the main one."""
    shape = number, size, size
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


def _copied_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on a GPU. The next batch is copied on a separate stream while the current one is processed."""
    aside = torch.cuda.Stream(device)
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in chain(batches, [None]):
        previous = ahead
        if batch is not None:
            with torch.cuda.stream(aside):
                ahead = Batch(*(tensor.to(device, non_blocking=True) for tensor in batch)), aside.record_event()
        if previous is not None:
            copied, done = previous
            computing = torch.cuda.current_stream(device)
            computing.wait_event(done)
            for tensor in copied:
                tensor.record_stream(computing)  # otherwise the next copy could reuse memory that is still being read
            yield copied


def _free_cores() -> int:
    """The number of cores that this process may use, minus one for itself: at least 1, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun's ranks share the cores; SLURM assigns cores itself
    return max(1, min(8, cores // ranks - 1))


def _prepare_worker(worker: int) -> None:
    """Make a worker draw on one thread and ignore Ctrl-C and SLURM's signals, which the main process handles."""
    cv2.setNumThreads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
