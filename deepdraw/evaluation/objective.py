"""The objective of a run, read from its config: a metric of validation and the direction in which it gets better."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from deepdraw.evaluation.metric import Metric
from deepdraw.evaluation.metric_files import describe_metrics, lower_is_better
from deepdraw.runtime import nearest_names
from deepdraw.training import Objective

BUILT_IN = ("top1", "top5", "top10", "map3", "mean_class_accuracy", "macro_f1", "loss", "ece")


def choose_objective(key: str, own_metrics: Iterable[Metric], measured: Collection[str] | None = None) -> Objective:
    """The objective of a key such as val/loss; own_metrics: those of conf/metric that the run computes, too.

    measured: the keys that a fitter measures of each head, where these are not all. Raises ValueError, naming the
    nearest ones, for a metric that is not measured on validation.
    """
    own = describe_metrics(own_metrics)
    known = measured or [f"val/{name}" for name in (*BUILT_IN, *own)]
    if key not in known:
        near = nearest_names(key, known, 3) or list(known)[:3]
        raise ValueError(f"objective={key} is not measured on validation here: choose objective={' or '.join(near)}")
    return Objective(key, lower_is_better(key, own))
