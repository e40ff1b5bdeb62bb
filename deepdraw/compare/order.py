"""What puts runs in order: a metric on a split, or the objective of the sweep that they are jobs of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from deepdraw.compare.runs import Run, command
from deepdraw.evaluation import USUAL_OBJECTIVE, Predictions, lower_is_better, read_summary
from deepdraw.runtime import MB, nearest_names, read_json

_METHODS = ("text", "whitened", "prototype", "tip", "knn")  # in the order in which they are preferred
_MAIN_METRIC = re.compile(
    rf"((?P<method>{'|'.join(_METHODS)}|[a-z]+(?=_\d+shot_))_)?((?P<shots>\d+)shot_)?"
    r"(?P<calibrated>calibrated_)?(harmonic|top1)"
)
LARGEST_SWEEP = 64 * MB  # bytes of a sweep.json


class _Sweep(TypedDict, total=False):
    """The keys of a sweep.json that say what its jobs are compared by."""

    objective: str
    better: Literal["higher", "lower"] | None


@dataclass(frozen=True)
class Objective:
    """What runs are compared by: a metric as `split/name`, and whether lower values are better."""

    key: str
    is_lower_better: bool

    def value(self, run: Run) -> float | None:
        """Of a run; None where it did not measure it."""
        split, slash, name = self.key.rpartition("/")
        if not slash:  # what a script returned that writes no metrics
            return None
        value = run.metrics.get(name) if split == run.split else read_summary(run.directory).get(self.key)
        return None if value is None else float(value)


def read_objective(directory: Path) -> Objective | None:
    """The objective of a sweep; None where the directory holds none. Raises ValueError for a damaged sweep.json."""
    file = directory / "sweep.json"
    if not file.exists():
        return None
    found = read_json(file, _Sweep, fix="give the run directories, or metric=...", largest=LARGEST_SWEEP)
    key, better = found.get("objective", ""), found.get("better")
    return Objective(key, lower_is_better(key) if better is None else better == "lower") if key else None


def shared_objective(runs: Sequence[Run]) -> Objective | None:
    """What all runs were told to be compared by (`objective=`); None where they differ, and for the usual top-1."""
    keys = {str(run.settings.get("objective", USUAL_OBJECTIVE)) for run in runs}
    if len(keys) > 1 or keys == {USUAL_OBJECTIVE}:
        return None
    (key,) = keys
    described = {name: each for run in runs for name, each in run.described.items()}
    return Objective(key, lower_is_better(key, described))


def best_first(runs: Sequence[Run], objective: Objective) -> list[Run]:
    """The runs by their objective; last those that did not measure it."""

    def place(run: Run) -> tuple[bool, float]:
        value = objective.value(run)
        return value is None, 0.0 if value is None else value if objective.is_lower_better else -value

    return sorted(runs, key=place)


def choose_metric(runs: Sequence[Run], split: str, metric: str | None, objective: Objective | None) -> str:
    """The metric to show first, without the split's prefix: the one asked for, else the objective's, else the main one.

    Raises ValueError where a run does not have the metric that was asked for.
    """
    if metric is not None:
        metric = metric.removeprefix(f"{split}/")
        for run in runs:
            _check_metric(run, metric)
        return metric
    name = objective.key.rpartition("/")[2] if objective else ""
    return name if all(name in run.metrics for run in runs) else _main_metric(runs, split)


def split_by_classes(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs evaluated on the most usual classes, or on unknown ones, and the others."""
    classes = [classes_of(run) for run in runs]
    known = [each for each in classes if each is not None]
    usual = max(dict.fromkeys(known), key=known.count, default=None)
    paired = list(zip(runs, classes, strict=True))
    return [run for run, own in paired if own in (None, usual)], [
        run for run, own in paired if own not in (None, usual)
    ]


def classes_of(run: Run) -> frozenset[str] | None:
    """The classes that a run chose among on its split; None where it kept no predictions."""
    return frozenset(Predictions.load(run.predictions_file).classes) if run.predictions_file.exists() else None


def _method_place(method: str | None) -> int:
    """The trained head first, then the methods in order, then those of the user's own."""
    if method is None:
        return -1
    return _METHODS.index(method) if method in _METHODS else len(_METHODS)


def _main_metric(runs: Sequence[Run], split: str) -> str:
    """Of the metrics that all runs have: harmonic mean or top-1, the trained head's first, then with most shots."""

    def place(match: re.Match[str]) -> tuple[bool, int, int, bool]:
        method = _method_place(match["method"])
        return not match[0].endswith("harmonic"), method, -int(match["shots"] or 0), match["calibrated"] is None

    shared = sorted(set.intersection(*(set(run.metrics) for run in runs)))
    matches = [match for name in shared if (match := _MAIN_METRIC.fullmatch(name))]
    if not matches:
        raise ValueError(
            f"no accuracy on {split} is known of all runs: evaluate them by one protocol, "
            f"{command(runs[0].directory, split)} protocol=... and so on"
        )
    return min(matches, key=place)[0]


def _check_metric(run: Run, metric: str) -> None:
    if metric not in run.metrics:
        near = nearest_names(metric, run.metrics, 3)
        hint = f"choose metric={' or '.join(near)}, or " if near else ""
        raise ValueError(f"{run.directory} has no {run.split}/{metric}: {hint}{command(run.directory, run.split)}")
