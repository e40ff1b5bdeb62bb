"""Encoders ranked side by side, from the evaluations of a sweep (`python -m deepdraw.compare leaderboard DIR`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepdraw.compare.comparison import Comparison, Row, compare
from deepdraw.compare.forms import Column, markdown_table
from deepdraw.compare.runs import find_runs
from deepdraw.evaluation import read_metrics, read_summary
from deepdraw.report import facts, metric_text, new_figure, own_style
from deepdraw.runtime import cell, check_writable, read_yaml, shown, whole_file, write_text

SHOTS = re.compile(r"prototype_(\d+)shot_(?:calibrated_)?(top1|harmonic)")
WORDS = ("run", "encoder", "weights")  # columns that hold no numbers
SURE = 0.05  # the p-value, after Holm's correction, below which a run is worse than the best
_NO_RUN = "train.py -m +sweep=encoders makes such a directory"


@dataclass
class Options:
    """What `leaderboard` accepts beside a directory, as key=value."""

    out: str | None = field(
        default=None, metadata={"help": "directory to write leaderboard.md and leaderboard.png into; default: none"}
    )


def show_leaderboard(directory: Path, options: Options) -> None:
    """Print the table of the runs in `directory` and, if asked to, write and draw it.

    Raises ValueError, in one line, for bad input.
    """
    from rich.console import Console
    from rich.table import Table

    if options.out is not None:
        check_writable(Path(options.out))
    comparison = compare(find_runs(directory)[0])
    rows = table(comparison)
    headings = [name for name in rows[0] if any(row[name] for row in rows)]
    grid = Table()
    for name in headings:
        grid.add_column(cell(name))
    for row in rows:
        grid.add_row(*(cell(row[name]) for name in headings))
    Console(width=400).print(grid)
    note = (
        f"= after a rank: no worse than the best beyond chance (McNemar's exact test, Holm's correction, p >= {SURE})."
    )
    print(note)
    if options.out is None:
        return
    found = [Column(name, [row[name] for row in rows], name not in WORDS) for name in headings]
    write_text(Path(options.out) / "leaderboard.md", f"{markdown_table(found)}\n\n{note}\n")
    _draw(comparison, rows, Path(options.out) / "leaderboard.png")
    print(f"written to {shown(Path(options.out) / 'leaderboard.{md,png}')}")


def table(comparison: Comparison) -> list[dict[str, str]]:
    """The cells of each run by heading, best first; an empty text where a run did not measure it."""
    return [_cells(place, row) for place, row in enumerate(comparison.rows, 1)]


def _cells(place: int, row: Row) -> dict[str, str]:
    directory = row.run.directory
    summary = read_summary(directory)
    told = facts(summary, read_yaml(directory / "config.yaml", fix=_NO_RUN))
    zeroshot, generalized = (
        {key.partition("/")[2]: x for key, x in read_metrics(directory / f"evaluations/{split}.json").items()}
        for split in ("zeroshot", "generalized")
    )
    test = row.run.metrics
    # of evaluate.py, which gives no rate for features that it read from the cache
    rate = read_metrics(directory / "evaluations/test.json").get("test/images_per_second")
    low, high = test.get("top1_low"), test.get("top1_high")
    return {
        "rank": f"{place}{'=' if row.p_value is not None and row.p_value >= SURE else ''}",
        "run": row.name,
        "encoder": told.get("encoder", ""),
        "weights": told.get("weights", "random"),
        "test top-1": _text("top1", test.get("top1")),
        "95 % interval": "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}",
        **_unseen(zeroshot, generalized),
        "ECE": _text("ece", test.get("ece")),
        "images/s": _number(rate),
        "parameters": told.get("parameters", ""),
        **_hours(summary),
    }


def _unseen(zeroshot: Mapping[str, float], generalized: Mapping[str, float]) -> dict[str, str]:
    """What was found of unseen classes: with prompts, with most shots, and among the seen classes."""
    shots, top1 = _most_shots(zeroshot, "top1")
    _, harmonic = _most_shots(generalized, "harmonic")
    return {
        "zero-shot top-1": _text("top1", zeroshot.get("text_top1")),
        "k-shot top-1": "" if top1 is None else f"{_text('top1', top1)} (k = {shots})",
        "generalized harmonic mean": _text("harmonic", generalized.get("text_harmonic", harmonic)),
    }


def _most_shots(metrics: Mapping[str, float], name: str) -> tuple[int, float | None]:
    """The largest k of prototypes, and their metric of this name; with the chosen offset where there is one."""
    found = [
        (int(match[1]), "calibrated" in key, value)
        for key, value in metrics.items()
        if (match := SHOTS.fullmatch(key)) and match[2] == name
    ]
    best = max(found, default=None)
    return (0, None) if best is None else (best[0], best[2])


def _hours(summary: Mapping[str, Any]) -> dict[str, str]:
    """The hours of training, under GPU or CPU."""
    hours = summary.get("duration")
    kinds = {"GPU hours": "", "CPU hours": ""}
    if isinstance(hours, int | float):
        ranks = summary.get("ranks", 1)
        kind = "GPU hours" if str(summary.get("device")).startswith("cuda") else "CPU hours"
        kinds[kind] = f"{hours * ranks / 3600:.3f}"
    return kinds


def _text(name: str, value: float | None) -> str:
    return "" if value is None else metric_text(name, value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _draw(comparison: Comparison, rows: list[dict[str, str]], out: Path) -> None:
    """Draw test top-1 with its interval for each run, the best on top."""
    with own_style():
        figure = new_figure(7, 0.5 * len(rows) + 1.2)
        axes = figure.subplots()
        for place, row in enumerate(comparison.rows):
            found = row.run.metrics
            middle = 100 * found.get("top1", float("nan"))
            low, high = (100 * found.get(f"top1_{end}", middle / 100) for end in ("low", "high"))
            axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="o", color="tab:blue", capsize=3)
        axes.set_yticks(range(len(rows)), [f"{row['run']}\n{row['weights']}".replace("$", r"\$") for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("top-1 on test, %, with 95 % interval")
        with whole_file(out) as file:
            figure.savefig(file, format="png")
