"""The numbers of a classifier, summed batch by batch in fixed memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from deepdraw.evaluation.calibration import (
    NUM_TEMPERATURES,
    Reliability,
    add_confidences,
    best_temperature,
    calibration_error,
    losses_by_temperature,
    new_confidence_sums,
)

_NUM_RANKS = 10  # ranks told apart, from the winner down; all deeper ones share a last column


def chance(num_classes: int) -> float:
    """Top-1 accuracy of a blind guess, in 0..1."""
    return 1.0 / num_classes


def true_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of each true label among `logits` [B, C], int64 [B]; 0 is the winner.

    Equal logits rank by their index, the smaller first, just as argmax takes the first of them.
    """
    labels = labels[:, None]
    true_logits = logits.gather(1, labels)
    indices = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > true_logits) | ((logits == true_logits) & (indices < labels))
    return ahead.sum(dim=1)


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


class ClassificationMetrics:
    """Accuracy, loss and calibration of a stream of logits.

    With a `temperature`, fitted on other drawings, the logits divided by it have a loss and an error of
    calibration as well. The state is on the logits' device:

    rank_counts: int64 [C, 11], how often the true label of each class came first, ..., tenth or later;
    confusion: int64 [C, C], rows true, columns predicted;
    num_non_finite: int64, drawings with NaN or infinity among their logits;
    loss_sums, confidence_sums: [2] and [2, 3, bins + 1], of the logits as given and divided by `temperature`;
    losses_by_temperature: [NUM_TEMPERATURES].
    """

    def __init__(self, num_classes: int, temperature: float | None = None) -> None:
        assert temperature is None or temperature > 0, temperature
        self.temperature = temperature
        self.rank_counts = torch.zeros(num_classes, _NUM_RANKS + 1, dtype=torch.int64)
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.num_non_finite = torch.zeros((), dtype=torch.int64)
        self.loss_sums = torch.zeros(2, dtype=torch.float64)
        self.confidence_sums = torch.stack([new_confidence_sums(), new_confidence_sums()])
        self.losses_by_temperature = torch.zeros(NUM_TEMPERATURES, dtype=torch.float64)

    @torch.no_grad()
    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch of `logits` [B, C], any float, and `labels` int64 [B]. Never waits for the device."""
        assert logits.shape == (len(labels), len(self.rank_counts)), (logits.shape, labels.shape)
        self.to(logits.device)
        _count(self.rank_counts, labels, true_ranks(logits, labels).clamp(max=_NUM_RANKS))
        _count(self.confusion, labels, logits.argmax(dim=1))
        self.num_non_finite += (~logits.isfinite().all(dim=1)).sum()

        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self.losses_by_temperature += losses_by_temperature(logits, labels)
        versions = [logits] if self.temperature is None else [logits, logits / self.temperature]
        for number, version in enumerate(versions):
            self.loss_sums[number] += F.cross_entropy(version, labels, reduction="sum")
            add_confidences(self.confidence_sums[number], version, labels)

    def sums(self) -> list[Tensor]:
        """The whole state. Every tensor is a plain sum: add those of several processes in place to join them."""
        return [
            self.rank_counts,
            self.confusion,
            self.num_non_finite,
            self.loss_sums,
            self.confidence_sums,
            self.losses_by_temperature,
        ]

    def num_drawings(self) -> int:
        """Drawings so far.

        Raises ValueError when nothing was counted, and when any logit was not finite: NaN compares false with
        everything and would pass for a winner.
        """
        num_drawings = int(self.rank_counts.sum())
        if num_drawings == 0:
            raise ValueError("no drawing to score: the split is empty; check data.root and the split's name")
        if self.num_non_finite > 0:
            raise ValueError(
                f"{int(self.num_non_finite)} of {num_drawings} drawings have NaN or infinite logits: "
                "lower optimizer.lr or use precision=fp32"
            )
        return num_drawings

    def compute(self) -> dict[str, float]:
        """The metrics of all drawings so far; raises ValueError as `num_drawings` does.

        Those of `rank_metrics` and `class_metrics`; `loss`, the mean negative log-likelihood (nats); `ece`, the
        expected calibration error (0..1); `temperature`, by which the logits of these drawings would have to
        be divided for the lowest loss; and given a temperature, `loss_scaled` and `ece_scaled`.
        """
        num_drawings = self.num_drawings()
        ranks, confusion = self.rank_counts.cpu().numpy(), self.confusion.cpu().numpy()
        counted = rank_metrics(ranks.sum(axis=0)) | class_metrics(
            confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        )
        metrics = {name: float(value) for name, value in counted.items()}
        metrics["temperature"] = best_temperature(self.losses_by_temperature.cpu().double().numpy())
        for number, suffix in enumerate([""] if self.temperature is None else ["", "_scaled"]):
            metrics[f"loss{suffix}"] = self.loss_sums[number].item() / num_drawings
            metrics[f"ece{suffix}"] = calibration_error(self.confidence_sums[number])
        return metrics

    def reliability(self) -> Reliability:
        """The reliability curve of the logits as given."""
        return Reliability.of_sums(self.confidence_sums[0])

    def to(self, device: torch.device) -> None:
        """Move the state, as `update` does by itself; a process that saw no batch does it to take part in a sum."""
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        self.rank_counts = self.rank_counts.to(device)
        self.confusion = self.confusion.to(device)
        self.num_non_finite = self.num_non_finite.to(device)
        self.loss_sums = self.loss_sums.to(device, exact)
        self.confidence_sums = self.confidence_sums.to(device, exact)
        self.losses_by_temperature = self.losses_by_temperature.to(device, exact)


def _count(table: Tensor, rows: Tensor, columns: Tensor) -> None:
    cells = rows * table.shape[1] + columns
    table.view(-1).index_add_(0, cells, torch.ones_like(cells))
