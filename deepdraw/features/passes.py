"""One pass of a network over a split: every batch with the outputs of the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from deepdraw.data import Batch, Epochs, Inputs
from deepdraw.runtime import ALONE, Precision, Ranks, with_progress_bar

Computed = TypeVar("Computed")
Encode = Callable[[Inputs], Tensor]  # what a backbone sees, of B drawings, to features float32 [B, D]


class LabeledFeatures(NamedTuple):
    """features: float32 [N, D]; labels, key_ids: int64 [N]; images_per_second: of the pass that made them."""

    features: Tensor
    labels: Tensor
    key_ids: Tensor
    images_per_second: float


@torch.inference_mode()
def outputs(
    compute: Callable[[Inputs], Computed],
    loader: Epochs,
    precision: Precision,
    *,
    title: str,
    limit_batches: int | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[Batch, Computed]]:
    """Every batch of a split, or the first `limit_batches`, with the result of `compute` for its inputs.

    With several ranks, each gets the batches of its own loader.
    """
    if limit_batches is not None and limit_batches < 1:
        raise ValueError(f"limit_batches={limit_batches} must be at least 1, or null for the whole split")
    num_batches = len(loader)
    if limit_batches is not None:
        num_batches = min(num_batches, len(range(ranks.number, limit_batches, ranks.size)))
    for batch in with_progress_bar(islice(loader.epoch(), num_batches), title, num_batches, loader.batch_size):
        with precision.autocast():
            computed = compute(batch.inputs)
        yield batch, computed


def gather_features(
    encode: Encode, loader: Epochs, precision: Precision, *, title: str, limit_batches: int | None = None
) -> LabeledFeatures:
    """All features of a split, in memory."""
    start = time.perf_counter()
    batches = [
        (features.float(), batch.labels, batch.key_ids)
        for batch, features in outputs(encode, loader, precision, title=title, limit_batches=limit_batches)
    ]
    features, labels, key_ids = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: check the encoder's weights or use precision=fp32")
    return LabeledFeatures(features, labels, key_ids, len(labels) / (time.perf_counter() - start))
