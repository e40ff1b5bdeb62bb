"""Metrics as W&B and TensorBoard name them: as the original project did, so that its dashboards go on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_RATES = {"optim/lr": "charts/lr_classifier", "optim/backbone_lr": "charts/lr_backbone"}

Value = TypeVar("Value")


def on_dashboard(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """The same values, each under the original project's name in the place of deepdraw's where it has one."""
    return {_RATES.get(key) or re.sub(r"/top1(?=$|_low$|_high$)", "/accuracy", key): metrics[key] for key in metrics}
