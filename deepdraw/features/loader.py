"""Batches of cached features, in the same order as a Loader gives batches of drawings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.data import Batch, Sampling, Share, Split, order_of
from deepdraw.features.store import Features

RELEASE_EVERY = 32  # batches


class FeatureLoader:
    """The batches of a Loader with the same split, batch size and seed, but with features in place of the images.

    The features are float32 [B, D], from view `epoch % views`.
    """

    def __init__(
        self,
        features: Features,
        split: Split,
        *,
        batch_size: int,
        shuffle: bool,
        device: torch.device,
        seed: int = 0,
        sampler: Sampling = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.classes, self.batch_size, self.num_drawings = split.classes, batch_size, len(features.labels)
        self.features, self._shuffle, self._device, self._seed = features, shuffle, device, seed
        self._share = Share(self.num_drawings, batch_size, shuffle, rank, world_size)
        self._views = features.features.view(-1, *features.features.shape[-2:])
        self._split, self.sampler, self._block_sizes = split, sampler, split.block_sizes
        self._block_starts = np.cumsum(split.block_sizes) - split.block_sizes

    def __len__(self) -> int:
        """Steps in an epoch, or, without shuffling, batches of this rank."""
        return len(self._share)

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        order = order_of(self._split, self._seed, epoch, self._shuffle, self.sampler)
        features = self._views[epoch % len(self._views)]
        for index in range(first, len(self)):
            parts = order.take(*self._share.bounds(index))
            places = torch.from_numpy(np.concatenate([self._places(*part) for part in parts]))
            batch = (array[places] for array in (features, self.features.labels, self.features.key_ids))
            chosen, labels, key_ids = (tensor.to(self._device, non_blocking=True) for tensor in batch)
            yield Batch(chosen.float(), labels, key_ids)
            if index % RELEASE_EVERY == 0:
                self.features.release_pages()

    def _places(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions, in stored order, of the drawings at `rows` of the concatenated `blocks`."""
        starts, sizes = self._block_starts[blocks], self._block_sizes[blocks]
        return np.concatenate([np.arange(a, a + n) for a, n in zip(starts, sizes, strict=True)])[rows]
