"""Drawings of a split, in every form in which an export may take them, with what the checkpoint makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.data import Inputs, Split, Subset
from deepdraw.drawings import Drawings
from deepdraw.inference import Trained

BATCH = 64  # drawings that are run at once


@dataclass(frozen=True, eq=False)
class Examples:
    """B drawings.

    drawings: their strokes, None where they are images; images: uint8 [B, size, size] or [B, 3, size, size] as the
    network sees them, None where it sees none; points: float32 [B, K, 8] as it sees them, likewise; labels: int64 [B].
    """

    drawings: Drawings | None
    images: NDArray[np.uint8] | None
    points: NDArray[np.float32] | None
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> Inputs:
        """What a Classifier takes."""
        seen = [torch.from_numpy(array) for array in (self.images, self.points) if array is not None]
        return (seen[0], seen[1]) if len(seen) == 2 else seen[0]

    def one(self, index: int) -> Examples:
        """The drawing at an index alone."""
        return replace(
            self,
            drawings=self.drawings and self.drawings.take(np.array([index])),
            images=None if self.images is None else self.images[index : index + 1],
            points=None if self.points is None else self.points[index : index + 1],
            labels=self.labels[index : index + 1],
        )


class Sample:
    """Drawings of a split as a trained classifier sees them.

    positions: of the drawings in the stored order of `split`, in ascending order.
    """

    def __init__(self, trained: Trained, split: Split, positions: NDArray[np.int64]) -> None:
        self._trained, self._split = trained, Subset(split, positions)
        self._gives_strokes = split.has_strokes or trained.points is not None

    def __len__(self) -> int:
        return len(self._split.labels)

    @property
    def has_strokes(self) -> bool:
        """Whether its drawings are strokes, or images whose lines are traced for this network."""
        return self._gives_strokes

    def __iter__(self) -> Iterator[Examples]:
        """All drawings, `BATCH` at a time."""
        loader = self._trained.load(self._split, batch_size=BATCH, num_workers=0)
        with closing(loader):
            for number, batch in enumerate(loader.epoch()):
                seen = batch.inputs if isinstance(batch.inputs, tuple) else (batch.inputs,)
                arrays = dict(zip(self._trained.sees, (one.cpu().numpy() for one in seen), strict=True))
                yield Examples(
                    self._strokes(number) if self._gives_strokes else None,
                    arrays.get("pixels"),
                    arrays.get("strokes"),
                    batch.labels.cpu().numpy(),
                )

    def _strokes(self, number: int) -> Drawings:
        rows = np.arange(number * BATCH, min((number + 1) * BATCH, len(self)))
        return self._split.read_strokes(np.arange(len(self._split.block_sizes)), rows)


def draw_samples(trained: Trained, split: Split, number: int | None, further: int) -> tuple[Sample, Sample]:
    """`number` drawings of a split at random, or all, and `further` others; fewer where it has no more.

    Where all are taken, the others are among them.
    """
    order = np.random.default_rng(0).permutation(int(split.block_sizes.sum()))
    chosen = order if number is None else order[:number]
    others = order[len(chosen) :] if len(chosen) < len(order) else order
    return Sample(trained, split, np.sort(chosen)), Sample(trained, split, np.sort(others[:further]))
