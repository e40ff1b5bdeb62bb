"""Pictures of a leaderboard: the runs by accuracy, and accuracy over how far an encoder is frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepdraw.report import new_figure, own_style
from deepdraw.runtime import whole_file

_LINES = {
    "test": "test top-1, seen classes",
    "k_shot": "k-shot top-1, unseen classes",
    "harmonic": "generalized, harmonic mean",
}


@dataclass(frozen=True)
class Frozen:
    """What an encoder found that is frozen as `words` say, with so many parameters trained; accuracies in 0..1."""

    words: str
    trained: float
    test: float | None
    k_shot: float | None
    harmonic: float | None


@own_style()
def draw_ranks(names: Sequence[str], metrics: Sequence[Mapping[str, float]], out: Path) -> None:
    """Draw test top-1 of each run with its interval, the first on top, into `out`/leaderboard.png."""
    figure = new_figure(7, 0.5 * len(names) + 1.2)
    axes = figure.subplots()
    for place, found in enumerate(metrics):
        middle = found.get("top1", math.nan)
        errors = [[100 * (middle - found.get("top1_low", middle))], [100 * (found.get("top1_high", middle) - middle)]]
        axes.errorbar(100 * middle, place, xerr=errors, fmt="o", color="tab:blue", capsize=3)
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("top-1 on test, %, with 95 % interval")
    with whole_file(out / "leaderboard.png") as file:
        figure.savefig(file, format="png")


@own_style()
def draw_freezing(measured: Sequence[Frozen], out: Path) -> None:
    """Draw accuracy on seen classes, unseen ones and both over how far the encoder is frozen, into the PNG `out`."""
    ordered = sorted(measured, key=lambda frozen: frozen.trained)
    places = range(len(ordered))
    figure = new_figure(7, 4)
    axes = figure.subplots()
    for name, label in _LINES.items():
        values = [math.nan if (value := getattr(frozen, name)) is None else 100 * value for frozen in ordered]
        if not all(map(math.isnan, values)):
            axes.plot(places, values, marker="o", label=label)
    ticks = [f"{frozen.words}\n{frozen.trained:,.0f}".replace("$", r"\$") for frozen in ordered]
    axes.set_xticks(places, ticks, fontsize="small")
    axes.set_xlim(-0.5, len(ordered) - 0.5)  # so that the outer labels are whole
    axes.set_xlabel("how far the encoder is frozen, and the parameters that train")
    axes.set_ylabel("%")
    axes.legend()
    with whole_file(out) as file:
        figure.savefig(file, format="png")
