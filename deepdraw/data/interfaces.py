"""What sources of drawings, their splits and their loaders owe to each other: the interfaces of conf/data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.drawings import Complexity, Drawings, Rasterizer


class Source(Protocol):
    """What a config of `conf/data` opens: splits by name, train, val and test for training.

    Evaluation also knows zeroshot, a split of classes that are never trained on. A source may also have an attribute
    `recognition`: "recognized" or "all" drawings of Quick, Draw!, which tables then say; without one it is unknown;
    and `split_rule`, a text that says which drawing goes into which split, for the summary and the report. A static
    method `check_place` of deepdraw's own sources takes some of their options, and raises ValueError where nothing can
    be opened: train.py asks it before torch is imported.
    """

    @property
    def splits(self) -> list[str]:
        """The names of the splits there are."""
        ...

    @property
    def has_strokes(self) -> bool:
        """Whether every drawing is strokes, as augmentation needs them, and none is an image."""
        ...

    def split(self, name: str) -> Split:
        """One of `splits`."""
        ...


class Split(Protocol):
    """What a source of data gives: classes and blocks of drawings that can be read in any order."""

    classes: list[str]  # label k means classes[k]
    block_sizes: NDArray[np.int64]  # drawings in each block
    fingerprint: str  # changes with any drawing, label or class, or with their order

    @property
    def has_strokes(self) -> bool:
        """Whether every drawing of this split is strokes, and none is an image."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels [N] of all drawings in stored order; none is drawn."""
        ...

    def complexity(self) -> Complexity | None:
        """Strokes and points of all drawings in stored order; None unless `has_strokes`."""
        ...

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids [N]."""
        ...

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`, with the labels and key ids that `read` gives.

        Without `has_strokes` it is asked for them with input.images=traced alone, and traces its images (see
        `deepdraw.drawings.trace_strokes`), each as one drawing.
        """
        ...


Inputs = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


class Batch(NamedTuple):
    """inputs: what the backbone sees; labels: int64 [B]; key_ids: int64 [B], the bits of the unsigned ids.

    Inputs are images uint8 [B, size, size] or [B, 3, size, size] (see `Rasterizer`), points float32 [B, K, 8] (see
    `PointSampler`), or a pair of both. A loader of features that were computed before gives these, float32 [B, D].
    """

    inputs: Inputs
    labels: torch.Tensor
    key_ids: torch.Tensor


class Epochs(Protocol):
    """What training and evaluation know of a loader: batches on the device, of drawings or of what stands for them."""

    classes: list[str]
    batch_size: int
    num_drawings: int

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        ...
