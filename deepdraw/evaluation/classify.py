"""One pass of a model over a split: logits, features, and the metrics of the protocol `classifier`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data.loader import Batch, Epochs
from deepdraw.evaluation.metrics import ClassificationMetrics
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.precision import Precision
from deepdraw.runtime.progress import Bar

Compute = Callable[[Tensor], Tensor]  # uint8 images [B, S, S], or features kept of them, to features or logits


@torch.inference_mode()
def outputs(
    compute: Compute, loader: Epochs, precision: Precision, *, title: str, limit_batches: int | None = None
) -> Iterator[tuple[Batch, Tensor]]:
    """Every batch of a split, or the first `limit_batches`, and what `compute` makes of it in float32."""
    if limit_batches is not None and limit_batches < 1:
        raise ValueError(f"limit_batches={limit_batches} must be at least 1, or null for the whole split")
    num_batches = min(len(loader), limit_batches or len(loader))
    with Bar(title, num_batches, loader.batch_size) as bar:
        for batch in islice(loader.epoch(), num_batches):
            with precision.autocast():
                computed = compute(batch.images)
            yield batch, computed.float()
            bar.advance()


def score(
    compute: Compute, loader: Epochs, precision: Precision, *, title: str, limit_batches: int | None = None
) -> dict[str, float]:
    """The metrics of the logits that `compute` gives for a split, and the images_per_second of the pass."""
    metrics = ClassificationMetrics(len(loader.classes))
    start = time.perf_counter()
    num_drawings = 0
    for batch, logits in outputs(compute, loader, precision, title=title, limit_batches=limit_batches):
        metrics.update(logits, batch.labels)
        num_drawings += len(logits)
    return metrics.compute() | {"images_per_second": num_drawings / (time.perf_counter() - start)}


def sample(
    model: Classifier, loader: Epochs, precision: Precision, *, num_batches: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """The first drawings of a split, to look at: images uint8 [N, S, S], labels [N] and logits [N, C]."""
    batches, logits = zip(
        *outputs(model.eval(), loader, precision, title="drawings to look at", limit_batches=num_batches),
        strict=True,
    )
    images, labels, _ = (torch.cat(tensors).cpu().numpy() for tensors in zip(*batches, strict=True))
    return images, labels, torch.cat(logits).cpu().numpy()
