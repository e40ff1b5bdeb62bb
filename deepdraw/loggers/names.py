"""The names of metrics on W&B and TensorBoard: those of the original project, so that its dashboards keep working."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_LEARNING_RATES = {"optim/lr": "charts/lr_classifier", "optim/backbone_lr": "charts/lr_backbone"}

Value = TypeVar("Value")


def dashboard_names(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """The same values, renamed to the original project's names where those differ from deepdraw's."""
    accuracy = re.compile(r"/top1(?=$|_low$|_high$)")
    return {_LEARNING_RATES.get(key) or accuracy.sub("/accuracy", key): metrics[key] for key in metrics}
