"""One pass over a split: logits, and the metrics and predictions that are made of them batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data import Epochs
from deepdraw.drawings import Complexity
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.intervals import intervals
from deepdraw.evaluation.metrics import ClassificationMetrics, chance
from deepdraw.evaluation.predictions import PredictionsBuilder
from deepdraw.evaluation.task import Task
from deepdraw.features import outputs
from deepdraw.models import Classifier
from deepdraw.runtime import ALONE, Precision, Ranks


def score(
    compute: Callable[[Tensor], Tensor],
    loader: Epochs,
    precision: Precision,
    *,
    title: str,
    limit_batches: int | None = None,
    predictions: PredictionsBuilder | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """The metrics of the logits that `compute` gives for a split, over all ranks, and the images_per_second.

    predictions: gets a row for each drawing, of all ranks.
    """
    metrics = ClassificationMetrics(len(loader.classes))
    start = time.perf_counter()
    num_drawings = torch.zeros((), dtype=torch.int64)
    for batch, logits in outputs(compute, loader, precision, title=title, limit_batches=limit_batches, ranks=ranks):
        metrics.update(logits.float(), batch.labels)
        num_drawings += len(logits)
        if predictions is not None:
            predictions.add(logits.float(), batch.labels, batch.key_ids)
    if predictions is not None:
        predictions.interleave_ranks(ranks.gather(predictions.batches()))
    parts = [num_drawings, *metrics.sums()]
    for part, whole in zip(parts, ranks.sum(parts), strict=True):
        part.copy_(whole)
    return metrics.compute() | {"images_per_second": num_drawings.item() / (time.perf_counter() - start)}


def sample(
    model: Classifier, loader: Epochs, precision: Precision, *, num_batches: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """The first drawings of a split, to look at: images uint8 [N, S, S], labels [N] and logits [N, C]."""
    batches, logits = zip(
        *outputs(model.eval(), loader, precision, title="drawings to look at", limit_batches=num_batches),
        strict=True,
    )
    images, labels, _ = (torch.cat(tensors).cpu().numpy() for tensors in zip(*batches, strict=True))
    return images, labels, torch.cat(logits).float().cpu().numpy()


class EvaluationBuilder:
    """Gathers an Evaluation batch by batch, in fixed memory but for 40 bytes a drawing."""

    def __init__(self, classes: Sequence[str], num_features: int, temperature: float | None = None) -> None:
        self.metrics = ClassificationMetrics(len(classes), temperature)
        self._predictions = PredictionsBuilder(list(classes))
        self._sums = torch.zeros(len(classes), num_features)

    def add(self, logits: Tensor, features: Tensor, labels: Tensor, key_ids: Tensor) -> None:
        """Count a batch of logits [B, C] and features [B, D]."""
        self.metrics.update(logits, labels)
        self._predictions.add(logits, labels, key_ids)
        self._sums = self._sums.to(features.device).index_add_(0, labels, features)

    def build(self, protocol: str, complexity: Complexity | None) -> Evaluation:
        """The evaluation of the drawings added so far; `complexity` is theirs, or that of the whole split."""
        predictions = self._predictions.build(complexity)
        counts = self.metrics.rank_counts.sum(dim=1, keepdim=True)
        return Evaluation(
            protocol=protocol,
            metrics={
                **self.metrics.compute(),
                **intervals(self.metrics),
                "aurc": predictions.aurc(),
                "selective_accuracy_80": predictions.selective_accuracy(0.8),
                **predictions.by_complexity(),
                "chance": chance(len(counts)),
            },
            predictions=predictions,
            confusion=self.metrics.confusion.cpu().numpy(),
            reliability=self.metrics.reliability(),
            prototypes=(self._sums / counts).cpu().numpy(),
        )


def classify(task: Task, protocol: str, logits_of: Callable[[Tensor], Tensor], *, title: str) -> Evaluation:
    """One pass over the task's split, in which `logits_of` makes logits [B, C] of features [B, D]."""

    def compute(images: Tensor) -> tuple[Tensor, Tensor]:
        features = task.features(images)
        return features, logits_of(features)

    temperature = task.temperature if protocol == "classifier" else None
    builder = EvaluationBuilder(task.loader.classes, task.model.backbone.num_features, temperature)
    start = time.perf_counter()
    passed = outputs(compute, task.loader, task.precision, title=title, limit_batches=task.limit_batches)
    for batch, (features, logits) in passed:
        builder.add(logits.float(), features.float(), batch.labels, batch.key_ids)
    elapsed = time.perf_counter() - start
    evaluation = builder.build(protocol, task.complexity)
    evaluation.metrics["images_per_second"] = len(evaluation.predictions) / elapsed
    return evaluation
