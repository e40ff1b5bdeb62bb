"""One pass over a split: logits, and the metrics and predictions that are made of them batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data import Epochs, Inputs
from deepdraw.drawings import Complexity, Rasterizer, drawings_of_points
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.intervals import intervals
from deepdraw.evaluation.metrics import Counts, chance
from deepdraw.evaluation.predictions import Predictions
from deepdraw.evaluation.scores import Scores
from deepdraw.evaluation.task import Task
from deepdraw.features import outputs
from deepdraw.models import Classifier
from deepdraw.runtime import ALONE, Precision, Ranks


def score(
    compute: Callable[[Inputs], Tensor],
    loader: Epochs,
    precision: Precision,
    *,
    title: str,
    limit_batches: int | None = None,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, float], Predictions]:
    """The metrics and predictions of the logits that `compute` gives for a split, over all ranks.

    Beside the metrics of `Scores` there is images_per_second.
    """
    scores = Scores(loader.classes)
    start = time.perf_counter()
    for batch, logits in outputs(compute, loader, precision, title=title, limit_batches=limit_batches, ranks=ranks):
        scores.add(logits.float(), batch.labels, batch.key_ids)
    scores.merge(ranks)
    predictions = scores.predictions()
    metrics = scores.metrics(Counts.of(predictions))
    return metrics | {"images_per_second": len(predictions) / (time.perf_counter() - start)}, predictions


def sample(
    model: Classifier, loader: Epochs, precision: Precision, rasterizer: Rasterizer, *, num_batches: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """The first drawings of a split, to look at: images uint8 [N, S, S] or [N, 3, S, S], labels [N] and logits [N, C].

    rasterizer: draws the points of a backbone that sees no pixels.
    """
    batches, logits = zip(
        *outputs(model.eval(), loader, precision, title="drawings to look at", limit_batches=num_batches),
        strict=True,
    )
    images = np.concatenate([_pictures(batch.inputs, rasterizer) for batch in batches])
    labels = torch.cat([batch.labels for batch in batches]).cpu().numpy()
    return images, labels, torch.cat(logits).float().cpu().numpy()


def _pictures(inputs: Inputs, rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """What a backbone sees of N drawings as images uint8 [N, S, S] or [N, 3, S, S]."""
    seen = (inputs[0] if isinstance(inputs, tuple) else inputs).cpu().numpy()
    return rasterizer(drawings_of_points(seen)) if seen.dtype == np.float32 else seen


class EvaluationBuilder:
    """Gathers an Evaluation batch by batch, in fixed memory but for 40 bytes a drawing."""

    def __init__(self, classes: Sequence[str], num_features: int, temperature: float | None = None) -> None:
        self._scores = Scores(classes, temperature)
        self._sums = torch.zeros(len(classes), num_features)

    def add(self, logits: Tensor, features: Tensor, labels: Tensor, key_ids: Tensor) -> None:
        """Count a batch of logits [B, C] and features [B, D]."""
        self._scores.add(logits, labels, key_ids)
        self._sums = self._sums.to(features.device).index_add_(0, labels, features)

    def build(self, protocol: str, complexity: Complexity | None) -> Evaluation:
        """The evaluation of the drawings added so far; `complexity` is theirs, or that of the whole split."""
        predictions = self._scores.predictions().with_complexity(complexity)
        counts = Counts.of(predictions)
        per_class = torch.from_numpy(counts.confusion.sum(axis=1, keepdims=True))
        return Evaluation(
            protocol=protocol,
            metrics={
                **self._scores.metrics(counts),
                **intervals(counts),
                "aurc": predictions.aurc(),
                "selective_accuracy_80": predictions.selective_accuracy(0.8),
                **predictions.by_complexity(),
                "chance": chance(len(predictions.classes)),
            },
            predictions=predictions,
            confusion=counts.confusion,
            reliability=counts.reliability(),
            prototypes=(self._sums / per_class.to(self._sums.device)).cpu().numpy(),
        )


def classify(task: Task, protocol: str, logits_of: Callable[[Tensor], Tensor], *, title: str) -> Evaluation:
    """One pass over the task's split, in which `logits_of` makes logits [B, C] of features [B, D].

    Of several views of a drawing the logits are averaged, which orders the classes as the geometric mean of their
    probabilities does.
    """

    def compute(inputs: Inputs) -> tuple[Tensor, Tensor]:
        features = task.features_of_views(inputs)
        return task.mean_of_views(features), task.mean_of_views(logits_of(features))

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
