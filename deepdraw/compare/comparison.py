"""Runs side by side: their metrics on a split, the settings in which they differ, and how sure their order is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepdraw.compare.order import (
    Objective,
    best_first,
    choose_metric,
    classes_of,
    shared_objective,
    split_by_classes,
)
from deepdraw.compare.paired import Difference, NotComparable, common, difference, holm
from deepdraw.compare.runs import Run, command, differing, read_run, short_names, without_consequences
from deepdraw.evaluation import Predictions, lower_is_better
from deepdraw.report import NO_DESCRIPTIONS, Described, title

_OTHER_METRICS = ("harmonic", "seen", "unseen", "top1", "top5", "mean_class_accuracy", "loss", "ece")
_ENDINGS = (*_OTHER_METRICS, "top10", "map3", "macro_f1", "loss_scaled", "ece_scaled", "aurc", "temperature")
OTHER_CLASSES = "other classes"  # the remark of a run that is not ranked with the others
NOT_COMPARABLE = "not comparable"  # the remark of a run that has no drawing in common with the best, or other names
BEST = "best"  # the remark of the run that the others are paired with


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
    """A table of runs, best first by `objective`: that of `metric` on `split`, or of the sweep that they are jobs of.

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
    objective: Objective


def compare(
    directories: Sequence[Path], split: str = "test", metric: str | None = None, objective: Objective | None = None
) -> Comparison:
    """Put two or more runs in order by `metric`, without the split's prefix; by default the split's main one.

    objective: of the sweep that the runs are jobs of, which then orders them, or without `metric` that which all runs
    were given, where it is not the usual top-1; the metric is that of its name, on
    `split`. Runs that were evaluated on other classes than most are listed last.

    The predictions of each are paired with those of the best run that kept its own, on the drawings that both
    evaluated. Raises ValueError where a run has no such results.
    """
    directories = list({directory.resolve(): directory for directory in directories}.values())
    if len(directories) < 2:
        raise ValueError(f"{len(directories)} run to compare: give two or more run directories, or that of a sweep")
    runs = [read_run(directory, split) for directory in directories]
    if objective is None and metric is None:
        objective = shared_objective(runs)
    if objective and all(objective.value(run) is None for run in runs):
        objective = None
    metric = choose_metric(runs, split, metric, objective)
    described = {name: each for run in runs for name, each in run.described.items()}
    if objective is None:
        objective = Objective(f"{split}/{metric}", lower_is_better(metric, described))
    runs = best_first(runs, objective)
    ranked, others = split_by_classes(runs)
    runs = [*ranked, *others]
    columns = without_consequences(differing([run.settings for run in runs]), [run.typed for run in runs])
    rows = []
    for i, name in enumerate(short_names([run.directory for run in runs])):
        settings = {key: text for key, texts in columns.items() if (text := texts[i]) is not None}
        rows.append(Row(name, runs[i], settings, remark=OTHER_CLASSES if runs[i] in others else ""))
    prefix = _prefix(metric, described)
    beside = [*(prefix + name for name in (*_OTHER_METRICS, *described)), "images_per_second", "trainable_parameters"]
    found = {name for run in runs for name in run.metrics}
    shown = [metric, *(name for name in beside if name in found and name != metric)]
    rows, paired_metric, notes = _with_differences(rows, metric)
    return Comparison(split, metric, paired_metric, shown, list(columns), rows, notes, described, objective)


def _note_on_classes(rows: Sequence[Row]) -> list[str]:
    """In one line, which runs are not ranked with the others, as they chose among other classes."""
    others = [row for row in rows if row.remark == OTHER_CLASSES]
    usual = next((own for row in rows if row not in others and (own := classes_of(row.run))), frozenset())
    told = []
    for row in others:
        own = classes_of(row.run) or frozenset()
        told.append(f"{row.name} ({len(own)}, of which {len(own & usual)} are the same)")
    if not told:
        return []
    return [
        f"Listed last and not ranked, as the other runs have {len(usual)} classes and these others: {', '.join(told)}."
    ]


def _note_on_drawings(rows: Sequence[Row], best: Row | None) -> list[str]:
    """In one line, which runs were evaluated on other drawings than the best: their place in the order says little."""
    first = best or rows[0]
    others = [row for row in rows if row.remark != OTHER_CLASSES and _has_other_drawings(row, first)]
    if not others:
        return []
    names = ", ".join(row.name for row in others)
    return [f"Evaluated on other drawings than run {first.name}, so that their place says little: {names}."]


def _has_other_drawings(row: Row, first: Row) -> bool:
    """Whether two runs were evaluated on other drawings, as far as their numbers, predictions and what is said tell."""
    numbers = {of.run.metrics["drawings"] for of in (row, first) if "drawings" in of.run.metrics}
    told = {of.run.recognition for of in (row, first)} - {"unknown"}
    is_part = row.difference is not None and row.num_drawings != first.num_drawings
    return len(numbers) > 1 or len(told) > 1 or row.remark == NOT_COMPARABLE or is_part


def _with_differences(rows: Sequence[Row], metric: str) -> tuple[list[Row], str, list[str]]:
    """The rows with their differences, the name of the metric that these are of, and the notes."""
    depth = int(match[1]) if (match := re.search(r"(?<![^_])top(\d+)$", metric)) else 1
    best: tuple[Row, Predictions] | None = None
    compared, notes = [], []
    for row in rows:
        file = row.run.predictions_file
        if not file.exists():
            compared.append(replace(row, remark="no predictions"))
            again = command(row.run.directory, row.run.split)
            notes.append(f"run {row.name} kept no predictions to compare: {again}")
            continue
        predictions = Predictions.load(file)
        paired, note = _paired(replace(row, num_drawings=len(predictions)), predictions, best, metric, depth)
        if best is None and paired.remark == BEST:
            best = paired, predictions
        compared.append(paired)
        notes += [note] if note else []
    notes += _note_on_classes(rows)
    notes = [*_note_on_drawings(compared, best and best[0]), *notes]
    paired_metric = f"top{depth}"
    p_values = [row.difference.p_value for row in compared if row.difference]
    if best is None or not p_values:
        return compared, paired_metric, notes
    num_runs = len(p_values) + 1
    num_pairs = num_runs * (num_runs - 1) // 2
    corrected = iter(holm(p_values, num_pairs))
    compared = [replace(row, p_value=next(corrected)) if row.difference else row for row in compared]
    return compared, paired_metric, [_explain_differences(best[0], metric, paired_metric, num_runs, num_pairs), *notes]


def _paired(
    row: Row, predictions: Predictions, best: tuple[Row, Predictions] | None, metric: str, depth: int
) -> tuple[Row, str]:
    """A row with its difference to the best, or with the remark that stands in its place, and a note if it needs one.

    best: None where no row before this one can be the best. A prediction is right within the first `depth` classes.
    """
    right = predictions.ranks < depth
    if row.remark == OTHER_CLASSES:
        return row, ""
    if (share := _share_right(row.run, metric, depth)) is not None and abs(share - right.mean()) > 1e-6:
        again = command(row.run.directory, row.run.split)
        return replace(row, remark="other predictions"), (
            f"run {row.name} kept the predictions of another evaluation, {100 * right.mean():.2f} % of them right: "
            f"{again}, with the protocol of {metric}"
        )
    if best is None:
        return replace(row, remark=BEST), ""
    best_row, best_predictions = best
    try:
        at, best_at = common(predictions, best_predictions)
    except NotComparable as error:
        note = f"run {row.name} is not comparable with run {best_row.name}: {error}"
        return replace(row, remark=NOT_COMPARABLE), note
    found = difference(right[at], (best_predictions.ranks < depth)[best_at])
    row = replace(row, num_drawings=found.num_drawings, difference=found)
    if found.num_drawings == max(len(predictions), len(best_predictions)):
        return row, ""
    return row, (
        f"run {row.name} was evaluated on {len(predictions):,} drawings and run {best_row.name} on "
        f"{len(best_predictions):,}, of which {found.num_drawings:,} are the same: only these are paired"
    )


def _explain_differences(best: Row, metric: str, paired_metric: str, num_runs: int, num_pairs: int) -> str:
    """How the differences were computed."""
    pairs = "" if num_pairs == 1 else f" and Holm's correction for the {num_pairs} pairs of {num_runs} runs"
    tries = f"; {title(metric)} is a mean over tries, of which the first was kept" if "shot_" in metric else ""
    return (
        f"Differences are of {title(paired_metric)} in points, to run {best.name}, on the drawings that both "
        f"evaluated: 95 % by the paired bootstrap, p by McNemar's exact test{pairs}{tries}."
    )


def _share_right(run: Run, metric: str, depth: int) -> float | None:
    """The share of right predictions by the metrics; None for few-shot, where they are a mean over tries."""
    return None if "shot_" in metric else run.metrics.get(f"{_prefix(metric)}top{depth}")


def _prefix(metric: str, described: Described = NO_DESCRIPTIONS) -> str:
    """The protocol ahead of the metric's own name: "text_" of text_top1."""
    for name in sorted((*_ENDINGS, *described), key=len, reverse=True):
        if metric == name or metric.endswith(f"_{name}"):
            return metric.removesuffix(name)
    return ""
