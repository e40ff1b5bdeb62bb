"""Parameter groups and learning-rate schedules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from deepdraw.models import Classifier
from deepdraw.models.backbones import Backbone, FusedBackbone, LayerGroup
from deepdraw.models.freezing import will_train


def build_optimizer(
    model: Classifier,
    *,
    algorithm: Callable[..., Optimizer],
    lr: float,
    backbone_lr: float | None,
    layer_decay: float,
    weight_decay: float,
    pretrained: bool,
    strokes_lr: float | None = None,
) -> Optimizer:
    """Build the optimizer, with parameter groups for backbone and head; biases and norms (1-D) have no weight decay.

    It gets only the parameters that train, now or from a later epoch on. backbone_lr: None means `lr` for a backbone
    with random weights and `lr` / 100 for a `pretrained` one. This is the rate of the topmost layers; every layer group
    below has `layer_decay` times the rate of the group above it (BEiT, arXiv 2106.08254). What starts
    from random weights beside a pretrained backbone has the rate of the head. strokes_lr: that of the stroke half of a
    fused backbone, if it is to have one of its own. Raises ValueError for impossible rates.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"optimizer.layer_decay={layer_decay} must lie in (0, 1]: 1 gives all layers the same rate")
    _check("lr", lr)
    _check("weight_decay", weight_decay)
    if backbone_lr is None:
        backbone_lr = lr / 100 if pretrained else lr
    _check("backbone_lr", backbone_lr)
    strokes = _strokes(model.backbone, strokes_lr) if strokes_lr is not None else []
    fresh = model.backbone.fresh_parameters() if pretrained else []
    fresh = [parameter for parameter in fresh if parameter not in set(strokes)]
    layers = _without(model.backbone.layer_groups(), [*fresh, *strokes])
    if layer_decay == 1:
        parts = [("backbone", backbone_lr, [parameter for layer in layers for parameter in layer.parameters])]
    else:
        depths = range(len(layers) - 1, -1, -1)
        parts = [
            (f"backbone {layer.name}", backbone_lr * layer_decay**depth, layer.parameters)
            for layer, depth in zip(layers, depths, strict=True)
        ]
    groups = []
    trained = will_train(model)
    parts += [("strokes", strokes_lr or 0.0, strokes), ("head", lr, [*fresh, *model.head.parameters()])]
    for part, rate, parameters in parts:
        own = [parameter for parameter in parameters if parameter in trained]
        for name, chosen, decay in (
            (part, [parameter for parameter in own if parameter.ndim > 1], weight_decay),
            (f"{part}, no decay", [parameter for parameter in own if parameter.ndim <= 1], 0.0),
        ):
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay, "name": name})
    optimizer = algorithm(groups)
    if isinstance(optimizer, SGD):
        _start_momentum(optimizer)
    return optimizer


def _strokes(backbone: Backbone, strokes_lr: float) -> list[nn.Parameter]:
    """The parameters of the stroke half, which has a rate of its own."""
    _check("strokes_lr", strokes_lr)
    if not isinstance(backbone, FusedBackbone):
        raise ValueError(f"optimizer.strokes_lr={strokes_lr} is for backbone=fused: set optimizer.backbone_lr")
    return list(backbone.strokes.parameters())


def _without(layers: Sequence[LayerGroup], parameters: Sequence[nn.Parameter]) -> list[LayerGroup]:
    """The layer groups without these parameters."""
    excluded = set(parameters)
    return [
        LayerGroup(
            layer.name, layer.modules, [parameter for parameter in layer.parameters if parameter not in excluded]
        )
        for layer in layers
    ]


def _check(name: str, value: object) -> None:
    if not (isinstance(value, int | float) and 0 <= value < math.inf):
        raise ValueError(f"optimizer.{name}={value} must be a number from 0 on")


def _start_momentum(optimizer: SGD) -> None:
    """Start each parameter's momentum at 0, which does not change the result.

    torch's fused SGD needs a momentum for all parameters of a group or for none, while layers that thaw later would
    have none at first.
    """
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """The learning rates of the next step: `optim/lr` of the head and `optim/backbone_lr` of the topmost layers.

    With `strokes_lr` also `optim/strokes_lr`.
    """
    keys = {"head": "optim/lr", "backbone": "optim/backbone_lr", "strokes": "optim/strokes_lr"}
    return {keys[re.split("[ ,]", group["name"])[0]]: group["lr"] for group in optimizer.param_groups}


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
