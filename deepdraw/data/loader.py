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
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from deepdraw.data.interfaces import Batch, Inputs, Split
from deepdraw.data.order import BalancedOrder, Order, Sampling, Share, order_of
from deepdraw.data.views import ViewBatches
from deepdraw.drawings import (
    POINT_NUMBERS,
    Augmentation,
    AugmentingRasterizer,
    ImageAugmentation,
    PaceAugmentation,
    PointSampler,
    Rasterizer,
)
from deepdraw.runtime import CAUGHT, num_cores, signals_held

Parts = list[tuple[NDArray[np.int64], NDArray[np.int64], int]]  # blocks, rows of them, how often they were taken before
Read = tuple[Inputs, NDArray[np.int64], NDArray[np.uint64]]  # inputs, labels and key ids of a batch


class Batches(Dataset[Batch]):
    """All batches of a split. Their keys are (epoch, position of the first drawing, position after the last)."""

    def __init__(
        self,
        split: Split,
        rasterizer: Rasterizer | None,
        points: PointSampler | None,
        augment: Augmentation | None,
        seed: int,
        shuffle: bool,
        sampler: Sampling = None,
    ) -> None:
        self._split, self._rasterizer, self._points, self._augment = split, rasterizer, points, augment
        self._seed, self._shuffle, self._sampler = seed, shuffle, sampler
        self._order: tuple[int, Order | BalancedOrder] | None = None

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        epoch, start, stop = key
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, order_of(self._split, self._seed, epoch, self._shuffle, self._sampler)
        parts = list(self._order[1].parts(start, stop))
        read = self._read_images if self._points is None else self._read_points
        inputs, labels, key_ids = read(parts, stop - start, epoch)
        return Batch(inputs, torch.from_numpy(labels), torch.from_numpy(key_ids.view(np.int64)))

    def _read_images(self, parts: Parts, number: int, epoch: int) -> Read:
        """Images alone, which a split of images can give, too."""
        assert self._rasterizer is not None
        images = _empty((number, *self._rasterizer.shape), torch.uint8)
        unfilled, read = images.numpy(), []
        for blocks, rows, repeat in parts:
            rasterizer = epoch_rasterizer(self._rasterizer, self._augment, self._seed, epoch, repeat)
            read.append(self._split.read(blocks, rows, rasterizer, unfilled[: len(rows)]))
            unfilled = unfilled[len(rows) :]
        labels, key_ids = map(np.concatenate, zip(*read, strict=True))
        return images, labels, key_ids

    def _read_points(self, parts: Parts, number: int, epoch: int) -> Read:
        """Points, with the images of the same drawings, augmented alike, where pixels are seen, too."""
        assert self._points is not None
        points = _empty((number, self._points.points, len(POINT_NUMBERS)), torch.float32)
        shape = self._rasterizer.shape if self._rasterizer is not None else (0,)
        images, read, first = _empty((number, *shape), torch.uint8), [], 0
        for blocks, rows, repeat in parts:
            drawings, own = self._split.read_strokes(blocks, rows), slice(first, first + len(rows))
            changed, line_widths, paces = drawings, np.ones(len(drawings), np.float32), None
            if self._augment is not None:
                salt = epoch_salt(self._seed, epoch, repeat)
                changed, line_widths = self._augment(drawings, salt)
                if isinstance(self._augment, PaceAugmentation):
                    paces = self._augment.paces(changed, salt)
            self._points(changed, points.numpy()[own], paces)
            if self._rasterizer is not None:
                self._rasterizer.draw(changed, line_widths, images.numpy()[own])
            read.append((drawings.labels.astype(np.int64), drawings.key_ids))
            first += len(rows)
        labels, key_ids = map(np.concatenate, zip(*read, strict=True))
        return points if self._rasterizer is None else (images, points), labels, key_ids


def epoch_rasterizer(
    rasterizer: Rasterizer, augment: Augmentation | None, seed: int, epoch: int, repeat: int = 0
) -> Rasterizer:
    """What draws in an epoch those drawings that it took `repeat` times before."""
    if augment is None:
        return rasterizer
    return AugmentingRasterizer(rasterizer, augment, epoch_salt(seed, epoch, repeat))


def epoch_salt(seed: int, epoch: int, repeat: int = 0) -> str:
    """What an augmentation's random numbers depend on, beside the key id of a drawing."""
    return f"{seed} {epoch} {repeat}" if repeat else f"{seed} {epoch}"


class Loader:
    """Batches of one split on the device. Each rank gets its `Share` of them.

    rasterizer: draws the images; None for a backbone that sees no pixels. points: samples the points; None for one that
    sees no strokes. augment: changes the drawings, differently in every epoch. sampler: "balanced" takes every class
    equally often (see `BalancedOrder`), where None takes every drawing once. views: augmentations each of which a batch
    has the inputs of, one behind the other, [K B, ...] (see `ViewBatches`); none for the drawings as they are.
    num_workers: processes that read and draw. 0: this process does it; "auto": one less than the available cores, at
    most 8. Raises ValueError as `Share` does, and for images with an augmentation of strokes alone.
    """

    def __init__(
        self,
        split: Split,
        rasterizer: Rasterizer | None,
        *,
        points: PointSampler | None = None,
        batch_size: int,
        shuffle: bool,
        device: torch.device,
        augment: Augmentation | None = None,
        views: Sequence[Augmentation] = (),
        num_workers: int | Literal["auto"] = "auto",
        seed: int = 0,
        sampler: Sampling = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if points is not None and not split.has_strokes:
            points.check_images(rasterizer)
        traced = points is not None or (rasterizer is not None and rasterizer.images == "drawing")
        if not (augment is None or traced or isinstance(augment, ImageAugmentation) or split.has_strokes):
            raise ValueError(
                f"{type(augment).__name__} augments strokes, and the drawings are images: set augment=none"
            )
        self.num_drawings = int(split.block_sizes.sum())
        self._share = Share(self.num_drawings, batch_size, shuffle, rank, world_size)
        self.classes, self.batch_size, self._device = split.classes, batch_size, device
        self._keys = _Keys()
        self._workers = _free_cores() if num_workers == "auto" else num_workers
        self._started = False
        of_views = [Batches(split, rasterizer, points, view, seed, shuffle, sampler) for view in views or (augment,)]
        self._batches = DataLoader(
            ViewBatches(of_views) if len(of_views) > 1 else of_views[0],
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
                yield move(batch, self._device)

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


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """An empty tensor: in a worker process in shared memory, which need not be copied to the main one."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)


def move(batch: Batch, device: torch.device, non_blocking: bool = False) -> Batch:
    """The batch on a device."""
    *inputs, labels, key_ids = (tensor.to(device, non_blocking=non_blocking) for tensor in tensors_of(batch))
    return Batch((inputs[0], inputs[1]) if len(inputs) == 2 else inputs[0], labels, key_ids)


def tensors_of(batch: Batch) -> tuple[torch.Tensor, ...]:
    """The inputs, one or two, the labels and the key ids."""
    inputs = (batch.inputs,) if isinstance(batch.inputs, torch.Tensor) else batch.inputs  # torch makes a pair a list
    return *inputs, batch.labels, batch.key_ids


def _copied_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on a GPU. The next batch is copied on a separate stream while the current one is processed."""
    aside = torch.cuda.Stream(device)
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in chain(batches, [None]):
        previous = ahead
        if batch is not None:
            with torch.cuda.stream(aside):
                ahead = move(batch, device, non_blocking=True), aside.record_event()
        if previous is not None:
            copied, done = previous
            computing = torch.cuda.current_stream(device)
            computing.wait_event(done)
            for tensor in tensors_of(copied):
                tensor.record_stream(computing)  # otherwise the next copy could reuse memory that is still being read
            yield copied


def _free_cores() -> int:
    """The number of cores that this process may use, minus one for itself: at least 1, at most 8."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun's ranks share the cores; SLURM assigns cores itself
    return max(1, min(8, num_cores() // ranks - 1))


def _prepare_worker(worker: int) -> None:
    """Make a worker draw on one thread and ignore Ctrl-C and SLURM's signals, which the main process handles."""
    cv2.setNumThreads(1)
    for number in CAUGHT:
        signal.signal(number, signal.SIG_IGN)
