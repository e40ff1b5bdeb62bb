"""A running average of the weights, which is often better than the weights themselves."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` that each `update_parameters(model)` moves towards the model, including buffers.

    After n updates the next one keeps a share of min(decay, (1 + n) / (10 + n)) of the average, so that the first
    weights, which may be random, soon lose their weight (as in TensorFlow's ExponentialMovingAverage with num_updates).
    """

    @torch.no_grad()
    def move(averaged: Any, current: Any, num_averaged: int | Tensor) -> None:
        num_averaged = int(num_averaged)
        kept = min(decay, (1 + num_averaged) / (10 + num_averaged))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - kept)
        else:  # such as BatchNorm's number of batches
            torch._foreach_copy_(averaged, current)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True)
