"""Training curves: loss, accuracy and learning rates over steps, from a run's metrics.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepdraw.evaluation import USUAL_OBJECTIVE, lower_is_better, read_descriptions
from deepdraw.report.style import BLUE, INK, VERMILION, WIDE, finished, new_figure, own_style, percent, style_axes
from deepdraw.runtime import LARGEST, read_text, read_yaml

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = dict[str, tuple[list[float], list[float]]]  # steps and values by name

MARK: Any = {"linestyle": "", "marker": "o", "markersize": 9, "mfc": "none", "mec": INK}
MOST_STEPS = 2**53
_CROWDED = 60  # points on a curve
_RATES_SHOWN = 100.0  # a schedule that falls to 0 is shown down to this part of its highest rate


@own_style()
def plot_curves(metrics_csv: Path, out: Path) -> None:
    """Draw loss, top-1 and learning rates over optimizer steps from a run's `metrics.csv` into the PNG `out`.

    Columns read: `step`, `train/loss`, `val/loss`, `train/top1`, `val/top1`, `optim/lr`, `optim/backbone_lr`,
    `optim/strokes_lr` and the objective; all but `step` may be absent and cells may be empty. The config.yaml beside
    it, if there is one, tells the objective, by which the best is marked, and whether the loss of train is smoothed.
    Raises ValueError if there is no `step`.
    """
    curves = read_curves(metrics_csv)
    figure = new_figure(WIDE, 3.8)
    loss, accuracy, rates = figure.subplots(1, 3, width_ratios=[3, 3, 2])
    for axes, name in ((loss, "loss"), (accuracy, "top1")):
        for split, color in (("train", BLUE), ("val", VERMILION)):
            if f"{split}/{name}" in curves:
                label = _loss_label(split, metrics_csv.with_name("config.yaml")) if name == "loss" else split
                _plot_measured(axes, *curves[f"{split}/{name}"], color=color, label=label)
    about = "Loss, top-1 accuracy and learning rate over the steps of training."
    key, step = _best(curves, metrics_csv.parent)
    by = "" if key == USUAL_OBJECTIVE else f" by {key}"
    top1, val_loss = (_value_at(curves.get(f"val/{name}", ([], [])), step) for name in ("top1", "loss"))
    if step is not None and top1 is not None:
        accuracy.plot(step, top1, label=f"best val{by} {100 * top1:.1f} %", **MARK)
        about += f" Validation was best{by} at step {step:,.0f} with {100 * top1:.1f} % top-1."
    if step is not None and val_loss is not None and key == "val/loss":
        loss.plot(step, val_loss, label=f"best val {val_loss:.3f}", **MARK)
    highest: list[float] = []
    for name, color in (("lr", BLUE), ("backbone_lr", VERMILION), ("strokes_lr", INK)):
        if f"optim/{name}" in curves:
            rates.plot(*curves[f"optim/{name}"], color=color, marker=".", markersize=3, label=name.replace("_", " "))
            highest.append(max(curves[f"optim/{name}"][1]))
    if (lowest := min(highest, default=0.0)) > 0:
        rates.set_yscale("log")
        rates.set_ylim(lowest / _RATES_SHOWN, 2 * max(highest))
    for axes, title in ((loss, "loss"), (accuracy, "top-1 accuracy"), (rates, "learning rate")):
        style_axes(axes, title, x="step")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=5, integer=True)
    accuracy.yaxis.set_major_formatter(percent)
    finished(figure, "How training went", about).save(out)


def _best(curves: Curves, run: Path) -> tuple[str, float | None]:
    """The objective of a run, as its config.yaml says, and the step at which it was best; None without any value.

    It is top-1 where the run has measured no other.
    """
    key = _config(run / "config.yaml").get("objective", USUAL_OBJECTIVE)
    if not isinstance(key, str) or key not in curves:
        key = USUAL_OBJECTIVE
    steps, values = curves.get(key, ([], []))
    try:
        is_lower_better = lower_is_better(key, read_descriptions(run))
    except ValueError:  # of a damaged metrics.json, which the report names
        is_lower_better = lower_is_better(key)
    best = (min if is_lower_better else max)(values, default=None)
    return key, None if best is None else steps[values.index(best)]


def _value_at(curve: tuple[list[float], list[float]], step: float | None) -> float | None:
    return next((value for at, value in zip(*curve, strict=True) if at == step), None)


def _config(file: Path) -> dict[str, Any]:
    """The config.yaml of a run; empty where there is none, or a damaged one, which the report says."""
    try:
        return read_yaml(file, fix="train again") if file.exists() else {}
    except ValueError:
        return {}


def _loss_label(split: str, config: Path) -> str:
    """The name of a split, and whether label smoothing raises its loss: that of train alone is smoothed."""
    train = _config(config).get("train")
    smoothing = train.get("label_smoothing") if isinstance(train, dict) else None
    if not isinstance(smoothing, float) or not smoothing:
        return split
    return f"train, with label smoothing {smoothing:g}" if split == "train" else f"{split}, without"


def read_curves(metrics_csv: Path) -> Curves:
    """The steps and values of each column, of those rows where it was measured and finite."""
    fix = "give the metrics.csv of a run"
    text = read_text(metrics_csv, largest=LARGEST["CSV"], fix=fix)
    curves: Curves = {}
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if "step" not in (rows.fieldnames or ()):
            raise ValueError("it has no column `step`")
        for row in rows:
            measured = {name: float(cell) for name, cell in row.items() if name and "/" in name and cell}
            for name, value in measured.items():
                if math.isfinite(value):
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(_step(row["step"]))
                    values.append(value)
    except (csv.Error, TypeError, ValueError) as error:
        raise ValueError(f"{metrics_csv} cannot be read ({' '.join(str(error).split())[:200]}): {fix}") from error
    return curves


def _step(cell: str) -> float:
    step = float(cell)
    if not 0 <= step <= MOST_STEPS:
        raise ValueError(f"the step {cell} is no number of steps")
    return step


def _plot_measured(axes: Axes, steps: Sequence[float], values: Sequence[float], *, color: str, label: str) -> None:
    """A line with a point per value; where these would crowd, a faint line under its moving average."""
    if len(values) <= _CROWDED:
        axes.plot(steps, values, color=color, marker="o", markersize=3, label=label)
        return
    window = np.ones(len(values) // 30)
    average = np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, average, color=color, label=label)
