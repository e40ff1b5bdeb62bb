"""Charts of an evaluation: reliability, risk and coverage, accuracy by complexity, and calibrated stacking."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from deepdraw.report.style import (
    BLUE,
    FAINT,
    GREEN,
    HALF,
    INK,
    SKY,
    VERMILION,
    WIDE,
    Picture,
    finished,
    new_figure,
    percent,
    style_axes,
)

if TYPE_CHECKING:
    from deepdraw.evaluation import Predictions, Reliability, Stacking

_COVERAGE = 0.8  # of drawings answered, at which the risk is marked
_NUM_POINTS = 500  # on a curve


def reliability(found: Reliability, metrics: Mapping[str, float]) -> Picture:
    """Accuracy against confidence in bins (Guo et al., 2017, arXiv 1706.04599), and how many drawings are in each."""
    figure = new_figure(HALF, 4.6)
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges, width = found.edges[:-1], np.diff(found.edges)
    filled = found.counts > 0
    bars = {"align": "edge", "linewidth": 0.8, "edgecolor": "white"}
    accuracies, confidences = found.accuracies[filled], found.confidences[filled]
    diagram.bar(edges[filled], accuracies, width[filled], color=BLUE, label="accuracy", **bars)
    for sign, color, name in ((1, VERMILION, "too sure"), (-1, SKY, "not sure enough")):
        gaps = sign * (confidences - accuracies)
        lower = np.minimum(confidences, accuracies)
        diagram.bar(edges[filled], gaps.clip(min=0), width[filled], lower, color=color, label=name, **bars)
    diagram.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1, label="calibrated")
    style_axes(diagram, y="accuracy")
    diagram.set(xlim=(0, 1), ylim=(0, 1))
    histogram.bar(edges, found.counts / max(found.counts.sum(), 1), width, color=FAINT, **bars)
    style_axes(histogram, x="confidence", y="drawings")
    for axis in (diagram.yaxis, histogram.yaxis, histogram.xaxis):
        axis.set_major_formatter(percent)
    error = float(np.average(np.abs(confidences - accuracies), weights=found.counts[filled]))
    title = f"Reliability: ECE {100 * error:.1f} %"
    about = f"Accuracy is {100 * error:.1f} % away from confidence, on average over drawings."
    scaled = next((value for name, value in metrics.items() if name.endswith("ece_scaled")), None)
    if scaled is not None:
        title += f", {100 * scaled:.1f} % when scaled"
        about += f" Scaling by the temperature fitted on validation makes it {100 * scaled:.1f} %."
    return finished(figure, title, about)


def risk_coverage(predictions: Predictions) -> Picture:
    """The share of mistakes among the most confident drawings, for every share of drawings answered."""
    coverages, risks = predictions.risk_coverage()
    figure = new_figure(HALF, 4.6)
    axes = figure.subplots()
    shown = np.unique(np.linspace(0, len(coverages) - 1, _NUM_POINTS).astype(int))
    axes.plot(coverages[shown], risks[shown], color=BLUE, linewidth=2)
    axes.fill_between(coverages[shown], risks[shown], color=BLUE, alpha=0.15, linewidth=0)
    for coverage, color in ((_COVERAGE, VERMILION), (1.0, INK)):
        risk = float(np.interp(coverage, coverages, risks))
        label = f"{percent(risk)} wrong of {percent(coverage)}"
        axes.plot(coverage, risk, "o", color=color, label=label, clip_on=False, zorder=3)
    style_axes(axes, x="drawings answered, the most confident first", y="of them wrong")
    axes.set(xlim=(0, 1), ylim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(percent)
    at_marked = float(np.interp(_COVERAGE, coverages, risks))
    about = (
        f"Answering all drawings, {percent(float(risks[-1]))} are wrong; answering only the most confident "
        f"{percent(_COVERAGE)}, {percent(at_marked)} are. The area under the curve is {100 * predictions.aurc():.2f} %."
    )
    return finished(figure, f"Risk and coverage: area {100 * predictions.aurc():.1f} %", about)


def complexity(metrics: Mapping[str, float]) -> Picture | None:
    """Top-1 by number of strokes and points, with intervals where `metrics` have them; None where they have neither."""
    groups = {unit: _by_complexity(metrics, unit) for unit in ("strokes", "points")}
    groups = {unit: found for unit, found in groups.items() if found}
    if not groups:
        return None
    figure = new_figure(HALF, 1 + 2.35 * len(groups))
    for axes, (unit, found) in zip(figure.subplots(len(groups), 1, squeeze=False).flat, groups.items(), strict=True):
        values = np.array([value for value, _, _ in found.values()])
        low, high = (np.array([bound[side] for bound in found.values()]) for side in (1, 2))
        bars = axes.bar(list(found), values, color=BLUE, width=0.7)
        axes.errorbar(list(found), values, (values - low, high - values), fmt="none", ecolor=INK, elinewidth=1)
        axes.bar_label(bars, [f"{100 * value:.0f}" for value in values], label_type="center", color="white", fontsize=8)
        style_axes(axes, x=unit, grid="y")
        axes.set_ylim(0, 1.05 * max(high.max(), 0.01))
        axes.yaxis.set_major_formatter(percent)
    about = (
        f"Top-1 accuracy of drawings of few and of many {' and '.join(groups)}, with 95 % intervals where there are."
    )
    return finished(figure, "Top-1 by complexity of the drawing", about)


def _by_complexity(metrics: Mapping[str, float], unit: str) -> dict[str, tuple[float, float, float]]:
    """Value, lower and upper bound of each group in the order of `metrics`."""
    found = {}
    for name, value in metrics.items():
        if (match := re.fullmatch(rf"(?:.*_)?top1_{unit}_(.+)", name)) and not name.endswith(("_low", "_high")):
            bounds = metrics.get(f"{name}_low", value), metrics.get(f"{name}_high", value)
            found[match[1]] = (value, *bounds)
    return found


def stacking(found: Stacking) -> Picture:
    """Seen against unseen accuracy as an offset is taken from seen scores (Chao et al., 2016, arXiv 1605.04253)."""
    means = found.harmonic_means
    best, chosen = int(means.argmax()), int(np.abs(found.offsets - found.chosen).argmin())
    figure = new_figure(WIDE, 4.4)
    trade, offsets = figure.subplots(1, 2, width_ratios=[1, 1.2])
    trade.plot(found.unseen, found.seen, color=BLUE, linewidth=2)
    offsets.plot(found.offsets, found.seen, color=BLUE, label="seen classes")
    offsets.plot(found.offsets, found.unseen, color=GREEN, label="unseen classes")
    offsets.plot(found.offsets, means, color=INK, linewidth=2, label="harmonic mean")
    for i, color, style, name in ((best, INK, "none", "best"), (chosen, VERMILION, VERMILION, "chosen")):
        label = f"{name}: harmonic mean {100 * means[i]:.1f} %"
        trade.plot(found.unseen[i], found.seen[i], "o", markersize=10, mec=color, mfc=style, label=label)
        offsets.plot(found.offsets[i], means[i], "o", markersize=10, mec=color, mfc=style)
    offsets.axvline(found.chosen, color=VERMILION, linestyle="--", linewidth=1)
    style_axes(trade, x="accuracy on unseen classes", y="accuracy on seen classes")
    style_axes(offsets, x="offset taken from the scores of seen classes", y="accuracy")
    trade.set(xlim=(0, None), ylim=(0, None))
    for axis in (trade.xaxis, trade.yaxis, offsets.yaxis):
        axis.set_major_formatter(percent)
    about = (
        f"With the offset {found.chosen:.3g}, chosen on seen classes held back, {percent(found.seen[chosen])} of "
        f"drawings of seen and {percent(found.unseen[chosen])} of unseen classes are right, a harmonic mean of "
        f"{100 * means[chosen]:.1f} %; the best offset of the curve would give {100 * means[best]:.1f} %."
    )
    return finished(figure, "Calibrated stacking: seen against unseen classes", about)
