"""A picture of a sweep: what its jobs were compared by, over what was swept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepdraw.evaluation import lower_is_better
from deepdraw.report import new_figure, own_style
from deepdraw.runtime import shown, whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito, which color-blind readers tell apart.
_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = "osD^vP"
_DECADE = 10.0
_LONGEST = 60  # characters of a setting


@own_style()
def plot_comparison(
    keys: Sequence[str],
    settings: Sequence[Sequence[str]],
    metrics: Sequence[float],
    objective: str,
    out: Path,
    *,
    is_lower_better: bool | None = None,
) -> None:
    """Draw the metrics [N] of N jobs over their settings [N, K] of the K swept keys into the PNG `out`.

    A key that holds numbers becomes the horizontal axis, logarithmic for learning rates and where it spans a decade,
    with a line for each setting of the other keys; where several jobs share a point, as with seeds, the line goes
    through their mean. Two keys of names make a heat map, any other keys bars, best first. is_lower_better: by default,
    what the name of the objective says.
    """
    keys, objective = [_plain(key) for key in keys], _plain(objective)
    columns = [[_plain(setting) for setting in column] for column in zip(*settings, strict=True)]
    counts = [len(set(column)) if _are_numbers(column) else 0 for column in columns]
    counts = [0 if key == "seed" else count for key, count in zip(keys, counts, strict=True)]
    lowest = lower_is_better(objective) if is_lower_better is None else is_lower_better
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    if max(counts, default=0) > 1:
        _draw_lines(axes, keys, columns, metrics, counts.index(max(counts)))
        axes.set_ylabel(objective)
    elif len(keys) == 2 and "seed" not in keys:
        _draw_map(axes, keys, columns, metrics)
        axes.set_title(objective)
    else:
        names = columns[0] if len(keys) == 1 else _named(keys, columns, range(len(keys)))
        _draw_bars(axes, names, metrics, best_is_lowest=lowest)
        axes.set_xlabel(objective)
    axes.spines[["top", "right"]].set_visible(False)
    with whole_file(out) as file:
        figure.savefig(file, format="png", dpi=130)


def _plain(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return shown(text, _LONGEST).replace("$", r"\$")


def _are_numbers(column: Sequence[str]) -> bool:
    try:
        return bool(np.isfinite([float(value) for value in column]).all())
    except ValueError:
        return False


def _named(keys: Sequence[str], columns: Sequence[Sequence[str]], chosen: Sequence[int]) -> list[str]:
    """The settings of the chosen keys, but for the seed, as one name for each job."""
    named = [column for column in chosen if keys[column] != "seed"]
    rows = zip(*(columns[column] for column in named), strict=True)
    return [" ".join(row) for row in rows] or [""] * len(columns[0])


def _draw_lines(
    axes: Axes, keys: Sequence[str], columns: Sequence[Sequence[str]], metrics: Sequence[float], over: int
) -> None:
    others = [column for column in range(len(keys)) if column != over]
    names = np.array(_named(keys, columns, others))
    positions, values = np.array(columns[over], float), np.array(metrics, float)
    for number, name in enumerate(dict.fromkeys(names)):
        color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)]
        here, there = positions[names == name], values[names == name]
        places = np.unique(here)
        axes.plot(here, there, marker, color=color)
        axes.plot(places, [there[here == place].mean() for place in places], color=color)
        axes.plot([], [], f"{marker}-", color=color, label=name)
    is_rate = re.search(r"(^|[._ ])lr$", keys[over]) is not None
    if positions.min() > 0 and (is_rate or positions.max() / positions.min() >= _DECADE):
        axes.set_xscale("log")
    axes.set_xlabel(keys[over])
    axes.grid(color="#E6E6E6", linewidth=0.8)
    if names[0]:
        axes.legend(title=" ".join(keys[column] for column in others if keys[column] != "seed"), frameon=False)


def _draw_map(axes: Axes, keys: Sequence[str], columns: Sequence[Sequence[str]], metrics: Sequence[float]) -> None:
    rows, cells = (list(dict.fromkeys(column)) for column in columns)
    grid = np.full((len(rows), len(cells)), np.nan)
    for row, cell, metric in zip(*columns, metrics, strict=True):
        grid[rows.index(row), cells.index(cell)] = metric
    axes.imshow(grid, cmap="cividis", aspect="auto")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.4f}", ha="center", va="center", color=color)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(cells)), cells)
    axes.set(ylabel=keys[0], xlabel=keys[1])


def _draw_bars(axes: Axes, names: Sequence[str], metrics: Sequence[float], *, best_is_lowest: bool) -> None:
    means = {name: float(np.mean([m for n, m in zip(names, metrics, strict=True) if n == name])) for name in names}
    best_last = sorted(means, key=lambda name: means[name], reverse=best_is_lowest)  # bars are drawn from below
    bars = axes.barh(best_last, [means[name] for name in best_last], color=_COLORS[0])
    axes.bar_label(bars, fmt="%.4f", padding=3)
