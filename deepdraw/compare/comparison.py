"""Runs side by side: what they found on a split, in which settings they differ, and how sure their order is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepdraw.compare.paired import Difference, NotComparable, common, difference, holm
from deepdraw.compare.runs import Run, command, differing, read_run, short_names
from deepdraw.evaluation import Predictions, lower_is_better
from deepdraw.report import NONE, Described, description, title
from deepdraw.runtime import nearest_names

_METHODS = ("text", "whitened", "prototype", "tip", "knn")  # in the order in which they are preferred
_MAIN = re.compile(
    rf"((?P<method>{'|'.join(_METHODS)}|[a-z]+(?=_\d+shot_))_)?((?P<shots>\d+)shot_)?"
    r"(?P<calibrated>calibrated_)?(harmonic|top1)"
)
_BESIDE = ("harmonic", "seen", "unseen", "top1", "top5", "mean_class_accuracy", "loss", "ece")
_ENDINGS = (*_BESIDE, "top10", "map3", "macro_f1", "loss_scaled", "ece_scaled", "aurc", "temperature")
OTHER_CLASSES = "other classes"  # the remark of a run that is not ranked with the others


@dataclass(frozen=True)
class Row:
    """A run in the table.

    settings: as text, of those keys in which the runs differ and that it has; num_drawings: that it is
    paired with the best on, or that it was evaluated on; difference: to the best; p_value: of it, after Holm's
    correction; remark: what stands in the place of a difference.
    """

    name: str
    run: Run
    settings: dict[str, str]
    num_drawings: int | None = None
    difference: Difference | None = None
    p_value: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Comparison:
    """A table of runs, best first by `metric`.

    paired_metric: the metric of the differences; shown: the metrics to show, `metric` first; keys: of the settings in
    which the runs differ; notes: lines that belong below the table; described: by name, how the metrics of
    conf/metric are shown.
    """

    split: str
    metric: str
    paired_metric: str
    shown: list[str]
    keys: list[str]
    rows: list[Row]
    notes: list[str]
    described: Described


def compare(directories: Sequence[Path], split: str = "test", metric: str | None = None) -> Comparison:
    """Put two or more runs in order by `metric`, without the split's prefix; by default the split's main one.

    Runs that were evaluated on other classes than most are listed last.

    The predictions of each are paired with those of the best run that kept its own, on the drawings that both
    evaluated. Raises ValueError where a run has no such results.
    """
    directories = list({directory.resolve(): directory for directory in directories}.values())
    if len(directories) < 2:
        raise ValueError(f"{len(directories)} run to compare: give two or more run directories, or that of a sweep")
    runs = [read_run(directory, split) for directory in directories]
    metric = _main_metric(runs, split) if metric is None else metric.removeprefix(f"{split}/")
    for run in runs:
        _check_metric(run, metric)
    described = {name: of for run in runs for name, of in run.described.items()}
    own = description(metric, described)
    less_is_better = own.better == "lower" if own else lower_is_better(metric)
    runs.sort(key=lambda run: run.metrics[metric], reverse=not less_is_better)
    ranked, others = _of_the_same_classes(runs)
    runs = [*ranked, *others]
    columns = differing([run.settings for run in runs])
    rows = []
    for i, name in enumerate(short_names([run.directory for run in runs])):
        settings = {key: text for key, texts in columns.items() if (text := texts[i]) is not None}
        rows.append(Row(name, runs[i], settings, remark=OTHER_CLASSES if runs[i] in others else ""))
    prefix = _prefix(metric, described)
    beside = [*(prefix + name for name in (*_BESIDE, *described)), "images_per_second", "trainable_parameters"]
    found = {name for run in runs for name in run.metrics}
    shown = [metric, *(name for name in beside if name in found and name != metric)]
    rows, paired_metric, notes = _with_differences(rows, metric)
    return Comparison(split, metric, paired_metric, shown, list(columns), rows, notes, described)


def _of_the_same_classes(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs evaluated on the most usual classes, or on unknown ones, and the others."""
    classes_of = [_classes(run) for run in runs]
    known = [classes for classes in classes_of if classes is not None]
    usual = max(dict.fromkeys(known), key=known.count, default=None)
    paired = list(zip(runs, classes_of, strict=True))
    return [run for run, own in paired if own in (None, usual)], [
        run for run, own in paired if own not in (None, usual)
    ]


def _classes(run: Run) -> frozenset[str] | None:
    return frozenset(Predictions.load(run.predictions_file).classes) if run.predictions_file.exists() else None


def _note_on_classes(rows: Sequence[Row]) -> list[str]:
    """In one line, which runs are not ranked with the others, as they chose among other classes."""
    others = [row for row in rows if row.remark == OTHER_CLASSES]
    usual = next((own for row in rows if row not in others and (own := _classes(row.run))), frozenset())
    told = []
    for row in others:
        own = _classes(row.run) or frozenset()
        told.append(f"{row.name} ({len(own)}, of which {len(own & usual)} are the same)")
    if not told:
        return []
    return [
        f"Listed last and not ranked, as the other runs have {len(usual)} classes and these others: {', '.join(told)}."
    ]


def _with_differences(rows: Sequence[Row], metric: str) -> tuple[list[Row], str, list[str]]:
    """The rows with their differences, the name of the metric that these are of, and the notes."""
    depth = int(match[1]) if (match := re.search(r"(?<![^_])top(\d+)$", metric)) else 1
    best: tuple[Row, Predictions] | None = None
    compared, notes = [], []
    for row in rows:
        again = command(row.run.directory, row.run.split)
        if row.remark == OTHER_CLASSES:
            compared.append(replace(row, num_drawings=len(Predictions.load(row.run.predictions_file))))
            continue
        if not row.run.predictions_file.exists():
            compared.append(replace(row, remark="no predictions"))
            notes.append(f"run {row.name} kept no predictions to compare: {again}")
            continue
        predictions = Predictions.load(row.run.predictions_file)
        right = predictions.ranks < depth
        row = replace(row, num_drawings=len(predictions))
        if (stated := _stated(row.run, metric, depth)) is not None and abs(stated - right.mean()) > 1e-6:
            compared.append(replace(row, remark="other predictions"))
            notes.append(
                f"run {row.name} kept the predictions of another evaluation, {100 * right.mean():.2f} % of them right: "
                f"{again}, with the protocol of {metric}"
            )
        elif best is None:
            best = row, predictions
            compared.append(replace(row, remark="best"))
        else:
            try:
                at, best_at = common(predictions, best[1])
            except NotComparable as error:
                compared.append(replace(row, remark="not comparable"))
                notes.append(f"run {row.name} is not comparable with run {best[0].name}: {error}")
            else:
                found = difference(right[at], (best[1].ranks < depth)[best_at])
                compared.append(replace(row, num_drawings=found.num_drawings, difference=found))
                if found.num_drawings < max(len(predictions), len(best[1])):
                    notes.append(
                        f"run {row.name} was evaluated on {len(predictions):,} drawings and run {best[0].name} on "
                        f"{len(best[1]):,}, of which {found.num_drawings:,} are the same: only these are paired"
                    )
    notes += _note_on_classes(rows)
    paired_metric = f"top{depth}"
    p_values = [row.difference.p_value for row in compared if row.difference]
    if best is None or not p_values:
        return compared, paired_metric, notes
    num_runs = len(p_values) + 1
    num_pairs = num_runs * (num_runs - 1) // 2
    corrected = iter(holm(p_values, num_pairs))
    compared = [replace(row, p_value=next(corrected)) if row.difference else row for row in compared]
    return compared, paired_metric, [_about(best[0], metric, paired_metric, num_runs, num_pairs), *notes]


def _about(best: Row, metric: str, paired_metric: str, num_runs: int, num_pairs: int) -> str:
    """How the differences were computed."""
    pairs = "" if num_pairs == 1 else f" and Holm's correction for the {num_pairs} pairs of {num_runs} runs"
    tries = f"; {title(metric)} is a mean over tries, of which the first was kept" if "shot_" in metric else ""
    return (
        f"Differences are of {title(paired_metric)} in points, to run {best.name}, on the drawings that both "
        f"evaluated: 95 % by the paired bootstrap, p by McNemar's exact test{pairs}{tries}."
    )


def _stated(run: Run, metric: str, depth: int) -> float | None:
    """What the metrics say of the share of kept predictions that are right; None where they are one try of many."""
    return None if "shot_" in metric else run.metrics.get(f"{_prefix(metric)}top{depth}")


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
    matches = [match for name in shared if (match := _MAIN.fullmatch(name))]
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


def _prefix(metric: str, described: Described = NONE) -> str:
    """The protocol ahead of the metric's own name: "text_" of text_top1."""
    for name in sorted((*_ENDINGS, *described), key=len, reverse=True):
        if metric == name or metric.endswith(f"_{name}"):
            return metric.removesuffix(name)
    return ""
