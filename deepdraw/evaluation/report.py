"""What a run shows: tables in the terminal, numbers as JSON, pictures as PNG."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

_NUM_COLUMNS, _NUM_SHOWN = 8, 24  # of drawings in each half of the sheet

# Blue and vermilion of Okabe and Ito, which colour-blind readers tell apart.
_BLUE, _VERMILION, _INK, _FAINT = "#0072B2", "#D55E00", "#333333", "#8A8A8A"

_TITLES = {
    "map3": "MAP@3",
    "mean_class_accuracy": "mean per-class accuracy",
    "chance": "chance level",
    "images_per_second": "images/s",
}


def print_table(title: str, metrics: Mapping[str, float], console: Console | None = None) -> None:
    """Print one metric per line in the order given; keys may carry a split ("test/top1").

    Accuracies (0..1) are printed in percent, a `..._stderr` beside the `..._top1` it belongs to.
    """
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    for title_and_value in _cells(metrics).items():
        table.add_row(*title_and_value)
    _print(title, table, console)


def print_comparison(
    title: str, name: str, metrics_of: Mapping[str, Mapping[str, float]], console: Console | None = None
) -> None:
    """Print one line for each key of `metrics_of`, under the heading `name`, with the same metrics side by side.

    Chance level and speed, which are as good as equal on every line, are left out.
    """
    from rich.table import Table

    lines = {
        key: _cells({k: value for k, value in metrics.items() if not k.endswith(("chance", "images_per_second"))})
        for key, metrics in metrics_of.items()
    }
    table = Table(name)
    for heading in next(iter(lines.values())):
        table.add_column(heading, justify="right")
    for key, cells in lines.items():
        table.add_row(key, *cells.values())
    _print(title, table, console)


def _cells(metrics: Mapping[str, float]) -> dict[str, str]:
    """Titles and values as they are printed."""
    plain = {key.rpartition("/")[2]: value for key, value in metrics.items()}
    return {
        _title(name): _value(name, value, plain.get(name.removesuffix("_top1") + "_stderr"))
        for name, value in plain.items()
        if not name.endswith("_stderr")
    }


def _print(title: str, table: Table, console: Console | None) -> None:
    from rich.console import Console

    console = console or Console()
    console.print(title, style="bold", soft_wrap=True, highlight=False)
    console.print(table)


def _title(name: str) -> str:
    hyphens = r"(?<=top)(?=\d)|(?<=\d)(?=shot)"  # top-1, 5-shot
    return _TITLES.get(name) or re.sub(hyphens, "-", name.replace("_", " "))


def _value(name: str, value: float, standard_error: float | None) -> str:
    if name == "images_per_second":
        return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    if name.endswith(("top1", "top5", "map3", "accuracy", "chance")):
        error = "" if standard_error is None else f" ± {100 * standard_error:.2f}"
        return f"{100 * value:.2f}{error} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def write_json(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write `mapping` with sorted keys; a reader finds the old file or the new one, never a half.

    Raises ValueError for NaN and infinity, which JSON has no word for.
    """
    text = json.dumps(mapping, indent=2, sort_keys=True, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def plot_curves(metrics_csv: Path, out: Path) -> None:
    """Draw loss, top-1 and learning rates over optimizer steps from a run's `metrics.csv` into the PNG `out`.

    Columns read: `step`, `train/loss`, `val/loss`, `train/top1`, `val/top1`, `optim/lr`, `optim/backbone_lr`;
    all but `step` may be absent and cells may be empty. Raises ValueError if there is no `step`.
    """
    from matplotlib.figure import Figure

    curves = _read_curves(metrics_csv)
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    loss, accuracy, rates = figure.subplots(1, 3, width_ratios=[3, 3, 2])
    for axes, name in ((loss, "loss"), (accuracy, "top1")):
        for split, color in (("train", _BLUE), ("val", _VERMILION)):
            if f"{split}/{name}" in curves:
                _plot_measured(axes, *curves[f"{split}/{name}"], color=color, label=split)
    if "val/top1" in curves:
        steps, values = curves["val/top1"]
        best = int(np.argmax(values))
        label = f"best val {100 * values[best]:.1f} %"
        accuracy.plot(steps[best], values[best], "o", markersize=9, mfc="none", mec=_INK, label=label)
    for name, color in (("lr", _BLUE), ("backbone_lr", _VERMILION)):
        if f"optim/{name}" in curves:
            rates.plot(*curves[f"optim/{name}"], color=color, label=name.replace("_", " "))
    for axes, title in ((loss, "loss"), (accuracy, "top-1 accuracy"), (rates, "learning rate")):
        _dress(axes, title)
    accuracy.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)


def _read_curves(metrics_csv: Path) -> dict[str, tuple[list[float], list[float]]]:
    """The steps and values of each column, of those rows where it was measured and finite."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    with metrics_csv.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if "step" not in (rows.fieldnames or ()):
            raise ValueError(f"{metrics_csv} has no column `step`: give the metrics.csv of a run")
        for row in rows:
            for name, cell in row.items():
                if "/" in name and cell and math.isfinite(value := float(cell)):
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(float(row["step"]))
                    values.append(value)
    return curves


def _plot_measured(axes: Axes, steps: Sequence[float], values: Sequence[float], *, color: str, label: str) -> None:
    """A line with a point per value; where these would crowd, a faint line under its moving average."""
    if len(values) <= 60:
        axes.plot(steps, values, color=color, marker="o", markersize=3, label=label)
        return
    window = np.ones(len(values) // 30)
    average = np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, average, color=color, label=label)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, color=_INK)
    axes.set_xlabel("step", color=_INK)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)


def plot_sheet(
    images: np.ndarray, labels: np.ndarray, logits: np.ndarray, class_names: Sequence[str], out: Path
) -> None:
    """Draw what a classifier sees and says: drawings as they come, then its most confident mistakes.

    `images` uint8 [N, S, S] in random order, `labels` int [N], `logits` float [N, C]. The PNG `out` shows the
    first 24 and the 24 worst, or as many as there are, each with the predicted name and its probability; a
    mistake also bears the true name.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    predicted = logits.argmax(axis=1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidences = odds.max(axis=1) / odds.sum(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    first = np.arange(len(images))[:_NUM_SHOWN]
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:_NUM_SHOWN]
    num_right = int((predicted[first] == labels[first]).sum())
    halves = {f"Drawings as they come: {num_right} of {len(first)} read right": first}
    if len(wrong):
        halves[f"Most confident mistakes, of {len(wrong):,} among {len(images):,} drawings"] = worst

    heights = [0.4 + 1.9 * math.ceil(len(shown) / _NUM_COLUMNS) for shown in halves.values()]  # inches
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.07)
    figure = Figure(figsize=(1.6 * _NUM_COLUMNS, sum(heights)), layout=layout)
    parts = figure.subfigures(len(halves), 1, squeeze=False, height_ratios=heights).flat
    for part, (title, shown) in zip(parts, halves.items(), strict=True):
        part.suptitle(title, x=0.01, horizontalalignment="left", fontweight="bold", color=_INK)
        grid = part.subplots(math.ceil(len(shown) / _NUM_COLUMNS), _NUM_COLUMNS, squeeze=False).flat
        for i, axes in zip(shown, grid, strict=False):
            prediction, truth = class_names[int(predicted[i])], class_names[int(labels[i])]
            _plot_drawing(axes, images[i], prediction, truth, confidences[i])
        for axes in grid:  # those the last row has left over
            axes.set_axis_off()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)


def _plot_drawing(axes: Axes, image: np.ndarray, prediction: str, truth: str, confidence: float) -> None:
    color = _BLUE if prediction == truth else _VERMILION
    below = f"{100 * confidence:.0f} %" + ("" if prediction == truth else f", is {truth}")
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=color, linewidth=1.2)
    # Else a dollar sign in a name begins a formula.
    axes.set_title(prediction, color=color, pad=3, fontsize=_fitting(prediction), parse_math=False)
    axes.set_xlabel(below, color=_FAINT, labelpad=3, fontsize=_fitting(below), parse_math=False)


def _fitting(text: str) -> float:
    """The font size in points, 9 or less, at which `text` keeps within its column."""
    return min(9.0, 9.0 * 22 / max(len(text), 1))
