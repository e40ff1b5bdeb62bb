"""Counts of predictions (ranks, confusion, calibration) and the metrics that are computed from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.evaluation.calibration import Reliability, calibration_error, confidence_sums
from deepdraw.evaluation.predictions import Predictions

_NUM_RANKS = 10  # ranks that are counted separately; all lower ones share a last column


def chance(num_classes: int) -> float:
    """Top-1 accuracy of a blind guess, in 0..1."""
    return 1.0 / num_classes


def rank_metrics(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """`top1`, `top5`, `top10` and `map3` (0..1) of `counts` [..., 11], drawings by the rank of their true label.

    MAP@3 is Kaggle's: 1, 1/2 or 1/3 for the true label in first, second or third place, else 0.
    """
    shares = counts / counts.sum(axis=-1, keepdims=True)
    top = {f"top{k}": shares[..., :k].sum(axis=-1) for k in (1, 5, 10)}
    return top | {"map3": shares[..., :3] @ np.array([1, 1 / 2, 1 / 3])}


def class_metrics(
    hits: NDArray[np.int64], true: NDArray[np.int64], predicted: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """`mean_class_accuracy` and `macro_f1` (0..1) of the drawings of each class: right, true and predicted [..., C].

    Both are scikit-learn's, as balanced_accuracy_score and f1_score have them: a class without a true drawing
    has no accuracy, and one neither true nor predicted has no F1; the mean is over the others.
    """
    with np.errstate(invalid="ignore"):
        accuracies = hits / true
        f1 = 2 * hits / (true + predicted)
    return {"mean_class_accuracy": np.nanmean(accuracies, axis=-1), "macro_f1": np.nanmean(f1, axis=-1)}


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts behind metrics, bootstrap intervals, the confusion matrix and the reliability curve.

    ranks: int64 [11], how often the true label came first, ..., tenth or later; confusion: int64 [C, C], rows true,
    columns predicted; confidences: float64 [3, bins + 1], see `confidence_sums`.
    """

    ranks: NDArray[np.int64]
    confusion: NDArray[np.int64]
    confidences: Tensor

    @classmethod
    def of(cls, predictions: Predictions) -> Counts:
        """Count the predictions of a split."""
        num_classes = len(predictions.classes)
        cells = predictions.labels.astype(np.int64) * num_classes + predictions.predicted
        confidences, right = torch.from_numpy(predictions.confidences), torch.from_numpy(predictions.right)
        return cls(
            ranks=np.bincount(np.minimum(predictions.ranks, _NUM_RANKS), minlength=_NUM_RANKS + 1),
            confusion=np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes),
            confidences=confidence_sums(confidences, right),
        )

    def accuracies(self) -> dict[str, float]:
        """The metrics of `rank_metrics` and `class_metrics`."""
        confusion = self.confusion
        found = rank_metrics(self.ranks)
        found |= class_metrics(confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0))
        return {name: float(value) for name, value in found.items()}

    def calibration_error(self) -> float:
        """The expected calibration error, 0..1."""
        return calibration_error(self.confidences)

    def reliability(self) -> Reliability:
        """The reliability curve."""
        return Reliability.of_sums(self.confidences)
