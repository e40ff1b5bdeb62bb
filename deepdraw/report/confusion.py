"""Which classes are taken for which, and which are read well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepdraw.report.style import (
    BLUE,
    FAINT,
    HALF,
    INK,
    VERMILION,
    WIDE,
    Picture,
    finished,
    new_figure,
    percent,
    style_axes,
)
from deepdraw.runtime import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_PAIRS, _NUM_WORST, _NUM_BEST = 20, 30, 15
_LONGEST = 30  # characters of a name; the longest of Quick, Draw! has 17
_NUM_NAMED = 70  # of the classes on each side of the matrix


def matrix(confusion: NDArray[np.int64], classes: Sequence[str]) -> Picture:
    """The confusion matrix in shares of each true class, classes that are confused beside each other."""
    from matplotlib.colors import PowerNorm

    order = similar_side_by_side(confusion)
    counts = confusion[np.ix_(order, order)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(WIDE, 4 + 0.12 * len(classes))
    figure = new_figure(side, 0.93 * side)
    axes = figure.subplots()
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, 0, 1), interpolation="nearest")
    step = math.ceil(len(classes) / _NUM_NAMED)
    ticks = np.arange(0, len(classes), step)
    names = [shown(classes[order[i]], _LONGEST) for i in ticks]
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.tick_params(labelsize=6.5, colors=INK, length=2)
    axes.set_xlabel("read as", color=INK)
    axes.set_ylabel("is" if step == 1 else f"is (every {step}th name)", color=INK)
    axes.spines[:].set_color(FAINT)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.5, format=percent, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK)
    about = (
        f"Confusion matrix of {len(classes)} classes: rows are the true class, columns the one read, color the share "
        "of the true class. Classes often taken for each other stand side by side."
    )
    return finished(figure, "Confusion matrix", about)


def similar_side_by_side(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order of the classes int64 [C] in which those often confused are neighbors.

    It is the order of leaves of an average-linkage tree, optimal among those of the tree (Bar-Joseph et al., 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(confusion) < 3:
        return np.arange(len(confusion))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    alike = np.sqrt(shares @ shares.T) + (shares + shares.T) / 2
    distances = alike.max() - alike
    np.fill_diagonal(distances, 0)
    return leaves_list(linkage(squareform(distances, checks=False), "average", optimal_ordering=True)).astype(np.int64)


def worst_pairs(confusion: NDArray[np.int64], classes: Sequence[str]) -> Picture | None:
    """The 20 most frequent mistakes as bars, with counts; None without any mistake."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    most = np.argsort(-mistakes, axis=None, kind="stable")[:_NUM_PAIRS]
    true, read = np.unravel_index(most[mistakes.flat[most] > 0], mistakes.shape)
    if not len(true):
        return None
    counts, totals = mistakes[true, read], confusion[true].sum(axis=1)
    figure = new_figure(HALF, 0.8 + 0.24 * len(true))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(true)), counts, color=VERMILION, height=0.7)
    notes = [f"{count:,} of {total:,}" for count, total in zip(counts, totals, strict=True)]
    axes.bar_label(bars, notes, padding=3, fontsize=8, color=INK)
    style_axes(axes, x="drawings", grid="x")
    pairs = [f"{shown(classes[i], _LONGEST)} → {shown(classes[j], _LONGEST)}" for i, j in zip(true, read, strict=True)]
    axes.set_yticks(np.arange(len(true)), pairs, parse_math=False)
    axes.set_xlim(0, 1.25 * counts.max())
    axes.invert_yaxis()
    about = f"Most often {classes[true[0]]} is read as {classes[read[0]]}: {notes[0]} drawings of it."
    return finished(figure, "Most frequent mistakes: is → read as", about)


def class_accuracies(confusion: NDArray[np.int64], classes: Sequence[str]) -> Picture:
    """Bars of the 30 worst and the 15 best classes and the sorted accuracies of all; absent classes are left out.

    A class of which every drawing is right is never one of the worst.
    """
    totals = confusion.sum(axis=1)
    present = np.flatnonzero(totals)
    accuracies = confusion.diagonal()[present] / totals[present]
    order = np.argsort(accuracies, kind="stable")
    accuracies, names = accuracies[order], [shown(classes[i], _LONGEST) for i in present[order]]
    worst = min(_NUM_WORST, int((accuracies < 1).sum()))  # none that is right throughout
    best = min(_NUM_BEST, len(names) - worst)
    figure = new_figure(WIDE, 1.2 + 0.19 * max(worst, 16))
    *left, right = figure.subfigures(1, 2 if worst else 1, squeeze=False).flat
    for part in left:
        _plot_bars(part.subplots(), accuracies[:worst], names[:worst], "the worst" if best else "", VERMILION)
    whole, *others = right.subplots(1 + (best > 0), 1, squeeze=False, height_ratios=[1.0, 1.3][: 1 + (best > 0)]).flat
    ranks = np.arange(1, len(names) + 1)
    whole.fill_between(ranks, accuracies, step="mid", color=BLUE, alpha=0.25, linewidth=0)
    whole.step(ranks, accuracies, where="mid", color=BLUE)
    whole.axhline(accuracies.mean(), color=INK, linestyle="--", label=f"mean {100 * accuracies.mean():.1f} %")
    style_axes(whole, f"all {len(names)} classes, sorted", x="class")
    whole.set(xlim=(0.5, len(names) + 0.5), ylim=(0, 1))
    whole.yaxis.set_major_formatter(percent)
    for axes in others:
        _plot_bars(axes, accuracies[-best:][::-1], names[-best:][::-1], "the best", BLUE)
    told = {"worst": names[: min(worst, 3)], "best": names[:-4:-1]}
    about = f"Accuracy of each of {len(names)} classes, {100 * accuracies.mean():.1f} % on average; "
    about += "; ".join(f"{which}: {', '.join(some)}" for which, some in told.items() if some) + "."
    return finished(figure, "Accuracy of each class", about)


def _plot_bars(axes: Axes, accuracies: NDArray[np.float64], names: Sequence[str], title: str, color: str) -> None:
    bars = axes.barh(np.arange(len(names)), accuracies, color=color, height=0.7)
    axes.bar_label(bars, [f"{100 * accuracy:.0f} %" for accuracy in accuracies], padding=3, fontsize=8, color=INK)
    style_axes(axes, title, grid="x")
    axes.set_yticks(np.arange(len(names)), names, parse_math=False)
    axes.set(xlim=(0, 1.1), ylim=(len(names) - 0.4, -0.6))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(percent)
