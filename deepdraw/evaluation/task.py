"""What an evaluation is given: a classifier, and the drawings that it is asked about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data.drawings import Complexity
from deepdraw.data.loader import Batch, Epochs
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.distributed import rank, world_size
from deepdraw.runtime.precision import Precision
from deepdraw.runtime.progress import counted

Computed = TypeVar("Computed")
Encode = Callable[[Tensor], Tensor]  # uint8 images [B, S, S] to features float32 [B, D]


class Labelled(NamedTuple):
    """features: float32 [N, D]; labels, key_ids: int64 [N]; images_per_second: of the pass that made them."""

    features: Tensor
    labels: Tensor
    key_ids: Tensor
    images_per_second: float


@dataclass(frozen=True, eq=False)
class Task:
    """A classifier in eval mode and a split.

    encode: the model's backbone and all before it; loader: the drawings asked about, in stored order, or features kept
    of them; classes: those that the head was trained on; seen: opens drawings of these classes to learn from, None
    where there are none; trained: whether the backbone was trained on them, too; complexity: of the drawings asked
    about; labels: theirs, int64 [N], where they are known before anything is drawn; temperature: of the head's logits,
    where it is known; limit_batches: ask about the first so many batches.
    """

    model: Classifier
    encode: Encode
    loader: Epochs
    precision: Precision
    classes: Sequence[str]
    seen: Callable[[], Epochs] | None = None
    trained: bool = True
    complexity: Complexity | None = None
    labels: NDArray[np.int64] | None = None
    temperature: float | None = None
    limit_batches: int | None = None

    @property
    def generalized(self) -> bool:
        """Whether the split is of classes trained on and, after them, of others."""
        known = list(self.classes)
        return self.loader.classes[: len(known)] == known and len(self.loader.classes) > len(known)

    def features(self, images: Tensor) -> Tensor:
        """float32 [B, D] of images [B, S, S], or features kept of them as they are."""
        return images if images.ndim == 2 else self.encode(images)

    def labelled(self) -> Labelled:
        """The features of all drawings asked about."""
        return gather(self.features, self.loader, self.precision, title="features", limit_batches=self.limit_batches)

    def seen_labelled(self) -> Labelled | None:
        """The features of the drawings to learn from, where there are any."""
        if self.seen is None:
            return None
        return gather(self.features, self.seen(), self.precision, title="features of classes trained on")


@torch.inference_mode()
def outputs(
    compute: Callable[[Tensor], Computed],
    loader: Epochs,
    precision: Precision,
    *,
    title: str,
    limit_batches: int | None = None,
) -> Iterator[tuple[Batch, Computed]]:
    """Every batch of a split, or the first `limit_batches`, and what `compute` makes of its images.

    Of several ranks each has those that its loader gives it.
    """
    if limit_batches is not None and limit_batches < 1:
        raise ValueError(f"limit_batches={limit_batches} must be at least 1, or null for the whole split")
    num_batches = len(loader)
    if limit_batches is not None:
        num_batches = min(num_batches, len(range(rank(), limit_batches, world_size())))
    for batch in counted(islice(loader.epoch(), num_batches), title, num_batches, loader.batch_size):
        with precision.autocast():
            computed = compute(batch.images)
        yield batch, computed


def gather(
    encode: Encode, loader: Epochs, precision: Precision, *, title: str, limit_batches: int | None = None
) -> Labelled:
    """The features of a split, all in memory."""
    start = time.perf_counter()
    batches = [
        (features.float(), batch.labels, batch.key_ids)
        for batch, features in outputs(encode, loader, precision, title=title, limit_batches=limit_batches)
    ]
    features, labels, key_ids = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: check the encoder's weights or use precision=fp32")
    return Labelled(features, labels, key_ids, len(labels) / (time.perf_counter() - start))
