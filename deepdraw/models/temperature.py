"""The temperature that minimizes the loss of logits, by which their probabilities come to mean what they say."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.optimize import minimize_scalar
from torch import Tensor

_FIRST_OCTAVE, _NUM_OCTAVES, _STEPS = -5, 11, 4  # inverse temperatures from 1/32 up, four to the octave
NUM_TEMPERATURES = _NUM_OCTAVES * _STEPS


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
