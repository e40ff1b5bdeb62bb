"""Parameter groups and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


def build_optimizer(
    model: nn.Module,
    *,
    algorithm: Callable[..., Optimizer],
    lr: float,
    backbone_lr: float | None,
    weight_decay: float,
    pretrained: bool,
) -> Optimizer:
    """Give backbone and head their own learning rates, and biases and norms (one-dimensional tensors) no weight decay.

    Only parameters that require a gradient are handed over. backbone_lr None stands for `lr` where the backbone starts
    from random weights and for a hundredth of it where it is `pretrained`.
    """
    if backbone_lr is None:
        backbone_lr = lr / 100 if pretrained else lr
    groups = []
    for part, rate in (("backbone", backbone_lr), ("head", lr)):
        trained = [p for name, p in model.named_parameters() if name.startswith(f"{part}.") and p.requires_grad]
        for name, parameters, decay in (
            (part, [p for p in trained if p.ndim > 1], weight_decay),
            (f"{part}, no decay", [p for p in trained if p.ndim <= 1], 0.0),
        ):
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay, "name": name})
    return algorithm(groups)


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """The rates of the step to come: `optim/lr` of the head and `optim/backbone_lr`, where they train."""
    rates = {group["name"].split(",")[0]: group["lr"] for group in optimizer.param_groups}
    keys = {"head": "optim/lr", "backbone": "optim/backbone_lr"}
    return {keys[part]: rate for part, rate in rates.items()}


def cosine(optimizer: Optimizer, total_steps: int, *, warmup: float) -> LRScheduler:
    """Rise linearly over the `warmup` share of the steps, then fall along half a cosine to 0 (arXiv 1608.03983)."""
    return _after_warmup(optimizer, total_steps, warmup, lambda progress: (1 + math.cos(math.pi * progress)) / 2)


def constant(optimizer: Optimizer, total_steps: int, *, warmup: float) -> LRScheduler:
    """Rise linearly over the `warmup` share of the steps, then stay."""
    return _after_warmup(optimizer, total_steps, warmup, lambda progress: 1.0)


def onecycle(optimizer: Optimizer, total_steps: int, *, warmup: float) -> LRScheduler:
    """torch's OneCycleLR with each group's own learning rate as its highest (arXiv 1708.07120)."""
    _check_warmup(warmup)
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=highest, total_steps=total_steps + 1, pct_start=warmup)


def _after_warmup(
    optimizer: Optimizer, total_steps: int, warmup: float, shape: Callable[[float], float]
) -> LRScheduler:
    _check_warmup(warmup)
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return shape((step - rising) / max(1, total_steps - rising))

    return LambdaLR(optimizer, factor)


def _check_warmup(warmup: float) -> None:
    if not 0 <= warmup < 1:
        raise ValueError(f"schedule.warmup={warmup} must lie in [0, 1): it is a share of all steps")
