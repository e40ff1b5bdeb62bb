"""Calibration: the reliability curve and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NUM_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often predictions of a confidence are right, in K bins of equal width.

    edges: [K + 1], from 0 to 1; counts: int64 [K], drawings in each bin; confidences: [K], their mean probability
    of the predicted class; accuracies: [K], the share of them that is right. Both are NaN where a bin is empty.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidences: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    @classmethod
    def of_sums(cls, sums: Tensor) -> Reliability:
        """The curve of `confidence_sums`; a confidence of exactly 1 belongs to the last bin."""
        counts, confidences, right = sums.cpu().double().numpy()[:, :NUM_BINS]
        certain = sums[:, NUM_BINS].cpu().double().numpy()
        for values, last in zip((counts, confidences, right), certain, strict=True):
            values[-1] += last
        with np.errstate(invalid="ignore"):
            return cls(
                np.linspace(0, 1, NUM_BINS + 1), counts.round().astype(np.int64), confidences / counts, right / counts
            )


def confidence_sums(confidences: Tensor, right: Tensor) -> Tensor:
    """By bin of confidence: the number of drawings, their confidences, how many are right. float64 [3, bins + 1].

    confidences: float32 [N], in 0..1; right: bool [N]. Bins are closed below and open above; a probability of exactly
    1 has a column of its own, as torchmetrics has it. On Apple's GPUs, which have no float64, the sums are float32.
    """
    exact = torch.float32 if confidences.device.type == "mps" else torch.float64
    edges = torch.linspace(0, 1, NUM_BINS + 1, device=confidences.device)
    columns = (torch.bucketize(confidences, edges, right=True) - 1).clamp(0, NUM_BINS)  # NaN falls beyond all
    rows = torch.stack([torch.ones_like(confidences), confidences, right.float()]).to(exact)
    return torch.zeros(3, NUM_BINS + 1, dtype=exact, device=confidences.device).index_add_(1, columns, rows)


def calibration_error(sums: Tensor) -> float:
    """The expected calibration error, 0..1: how far confidence and accuracy lie apart in a bin, on average.

    Guo et al., 2017, arXiv 1706.04599; torchmetrics' MulticlassCalibrationError with 15 bins and the norm l1.
    """
    counts, confidences, right = sums.cpu().double()
    return ((right - confidences).abs().sum() / counts.sum()).item()
