"""Metrics of conf/metric, which are computed from the table of predictions and say themselves how they are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from omegaconf import DictConfig

from deepdraw.config import make
from deepdraw.evaluation.predictions import Predictions


class Metric(Protocol):
    """A number that says how good predictions are: an option of conf/metric.

    name: its key in results, such as kappa in test/kappa: small letters, digits and underscores; title: what a reader
    calls it; unit: "%" for a share in 0..1 that is shown in percent, else what stands behind the number, or "";
    better: which values are.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def better(self) -> Literal["higher", "lower"]: ...

    def __call__(self, predictions: Predictions) -> float:
        """The metric of the predictions of a split."""
        ...


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa: the accuracy beyond what the frequencies of true and predicted classes give by chance, -1 to 1."""

    name = "kappa"
    title = "Cohen's kappa"
    unit = ""
    better: Literal["higher", "lower"] = "higher"

    def __call__(self, predictions: Predictions) -> float:
        """The kappa of all drawings."""
        number = len(predictions.classes)
        true, predicted = (
            np.bincount(column, minlength=number) for column in (predictions.labels, predictions.predicted)
        )
        chance = float(true @ predicted) / len(predictions) ** 2
        return (float(predictions.right.mean()) - chance) / (1 - chance) if chance < 1 else 0.0


def make_metrics(config: DictConfig) -> list[Metric]:
    """The metrics that the group `metric` of a config names, beside the built-in ones."""
    chosen = config.get("metric", {})
    return [make(chosen[key], f"metric.{key}") for key in chosen]


def compute_metrics(metrics: Iterable[Metric], predictions: Predictions) -> dict[str, float]:
    """The value of each metric by its name. Raises ValueError for a name that is none, or a value that is no number."""
    values = {}
    for metric in metrics:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", metric.name):
            raise ValueError(f"metric name {metric.name!r}: use small letters, digits and underscores")
        values[metric.name] = value = float(metric(predictions))
        if not math.isfinite(value):
            raise ValueError(f"the metric {metric.name} is {value}: return a finite number, or leave out metric=")
    return values
