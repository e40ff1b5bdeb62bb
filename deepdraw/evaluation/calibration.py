"""Calibration: the reliability curve, the expected calibration error, and the temperature that minimizes the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.optimize import minimize_scalar
from torch import Tensor

NUM_BINS = 15
_FIRST_OCTAVE, _NUM_OCTAVES, _STEPS = -5, 11, 4  # inverse temperatures from 1/32 up, four to the octave
NUM_TEMPERATURES = _NUM_OCTAVES * _STEPS


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


def losses_by_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over a batch at each temperature that `best_temperature` knows, [NUM_TEMPERATURES].

    Softmax at twice the inverse temperature needs the squares of the exponentials, so one octave is
    exponentiated and the others are squared from it. What is below 1e-18 of the winner is held there: it counts
    for nothing, and subnormal numbers would make a CPU twenty times slower.
    """
    steps = torch.arange(_STEPS, device=logits.device, dtype=logits.dtype) / _STEPS
    octave = 2 ** (steps + _FIRST_OCTAVE)
    relative = logits - logits.amax(dim=1, keepdim=True)
    true = relative.gather(1, labels[:, None])[:, 0]
    powers = (octave[:, None, None] * relative.clamp(min=-40 * 2**-_FIRST_OCTAVE)).exp_()
    losses = []
    for number in range(_NUM_OCTAVES):
        if number > 0:
            powers.clamp_(min=1e-18).square_()
        losses.append((powers.sum(dim=-1).log() - (2**number * octave)[:, None] * true).sum(dim=1))
    return torch.cat(losses)


def best_temperature(losses: NDArray[np.float64]) -> float:
    """The temperature T, between 1/54 and 32, at which the logits divided by T have the lowest loss on a split.

    losses: float64 [NUM_TEMPERATURES], sums of `losses_by_temperature`. Between its temperatures the loss is a
    spline in the logarithm: at a minimum inside the range the temperature is off by less than one in a thousand.
    1 where no temperature changes the loss, as with a single class.
    """
    if np.ptp(losses) <= 1e-6 * losses.max():
        return 1.0
    exponents = _FIRST_OCTAVE + np.arange(NUM_TEMPERATURES) / _STEPS
    best = int(losses.argmin())
    bracket = exponents[max(best - 1, 0)], exponents[min(best + 1, NUM_TEMPERATURES - 1)]
    spline = make_interp_spline(exponents, losses, k=5)
    return float(2 ** -minimize_scalar(spline, bounds=bracket, method="bounded", options={"xatol": 1e-7}).x)
