"""The names of metrics on W&B and TensorBoard: those of metrics.csv, and the original project's beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_LEARNING_RATES = {
    "optim/lr": "charts/lr_classifier",
    "optim/backbone_lr": "charts/lr_backbone",
    "optim/strokes_lr": "charts/lr_strokes",  # which the original project did not have
}

Value = TypeVar("Value")


def dashboard_names(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """The same values under their names, and again under the original project's where these differ.

    So one set of names holds everywhere, and dashboards made for the original project keep working.
    """
    accuracy = re.compile(r"/top1(?=$|_low$|_high$)")
    aliases = {_LEARNING_RATES.get(key) or accuracy.sub("/accuracy", key): metrics[key] for key in metrics}
    return {**metrics, **aliases}
