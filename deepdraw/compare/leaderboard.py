"""Encoders ranked side by side, from the evaluations of a sweep (`python -m deepdraw.compare leaderboard DIR`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepdraw.compare.comparison import Row, compare
from deepdraw.compare.forms import Column, markdown_table, print_columns, wide_console
from deepdraw.compare.leaderboard_pictures import Frozen, draw_freezing, draw_ranks
from deepdraw.compare.runs import find_runs
from deepdraw.evaluation import read_metrics, read_summary
from deepdraw.report import facts, metric_text
from deepdraw.runtime import check_writable, print_line, read_yaml, shown, write_text

SHOTS = re.compile(r"prototype_(\d+)shot_(?:calibrated_)?(top1|harmonic)")
WORDS = ("run", "encoder", "weights", "frozen")  # columns that hold no numbers
SHORTEST = 18  # characters of a cell that the narrowest terminal shows
SURE = 0.05  # the p-value, after Holm's correction, below which a run is worse than the best
NOTE = (
    f"= after a rank: no worse than the best beyond chance (McNemar's exact test, Holm's correction, p >= {SURE}). "
    "ECE, scaled: with the temperature that was found on validation. images/s: of the encoder alone, in its job. "
    "Hours: of the training, without features that an earlier run has kept."
)
_NO_RUN = "train.py -m +sweep=encoders makes such a directory"


@dataclass
class Options:
    """What `leaderboard` accepts beside a directory, as key=value."""

    out: str | None = field(
        default=None, metadata={"help": "directory to write leaderboard.md and leaderboard.png into; default: none"}
    )


@dataclass(frozen=True, eq=False)
class Entry:
    """What is known of a run: its place in the comparison, the facts of its report, its results on unseen classes.

    zeroshot, generalized: its metrics on these splits, without the split's prefix; empty where it has none.
    """

    row: Row
    summary: Mapping[str, Any]
    facts: Mapping[str, str]
    zeroshot: Mapping[str, float]
    generalized: Mapping[str, float]

    @classmethod
    def of(cls, row: Row) -> Entry:
        """Read what is there beside the metrics on test."""
        directory = row.run.directory
        summary = read_summary(directory)
        unseen = (
            {key.partition("/")[2]: x for key, x in read_metrics(directory / f"evaluations/{split}.json").items()}
            for split in ("zeroshot", "generalized")
        )
        return cls(row, summary, facts(summary, read_yaml(directory / "config.yaml", fix=_NO_RUN)), *unseen)

    @property
    def encoder(self) -> tuple[str, str]:
        """Its name, and its weights: those of a file by the file's name."""
        weights = self.facts.get("weights", "random")
        return self.facts.get("encoder", ""), Path(weights).name if Path(weights).is_absolute() else weights

    @property
    def k_shot(self) -> tuple[int, float | None]:
        """The most shots of prototypes on unseen classes, and their top-1."""
        return _most_shots(self.zeroshot, "top1")

    @property
    def harmonic(self) -> float | None:
        """The harmonic mean of seen and unseen accuracy among all classes, by prompts or else by most shots."""
        return self.generalized.get("text_harmonic", _most_shots(self.generalized, "harmonic")[1])


def show_leaderboard(directory: Path, options: Options) -> None:
    """Print the table of the runs in `directory` and, if asked to, write and draw it.

    Raises ValueError, in one line, for bad input.
    """
    if options.out is not None:
        check_writable(Path(options.out))
    entries = [Entry.of(row) for row in compare(find_runs(directory)[0]).rows]
    rows = table(entries)
    headings = [name for name in rows[0] if any(row[name] for row in rows)]
    console = wide_console()
    longest = max(SHORTEST, console.width // 5)
    cells = {name: [row[name] for row in rows] for name in headings}
    shortened = {name: [shown(text, longest) for text in each] for name, each in cells.items()}
    print_columns([Column(name, each, name not in WORDS) for name, each in shortened.items()], console)
    print_line(console, NOTE)
    if options.out is not None:
        columns = [Column(name, each, name not in WORDS) for name, each in cells.items()]
        write_text(Path(options.out) / "leaderboard.md", f"{markdown_table(columns)}\n\n{NOTE}\n")
        _draw(entries, rows, Path(options.out))


def _draw(entries: Sequence[Entry], rows: Sequence[Mapping[str, str]], out: Path) -> None:
    """The picture of all runs and, where all are of one encoder, that of how far it is frozen."""
    found = [entry.row.run.metrics for entry in entries]
    draw_ranks([f"{row['run']}: {row['encoder']}\n{row['frozen'] or row['weights']}" for row in rows], found, out)
    print(f"written to {shown(out / 'leaderboard.{md,png}')}")
    if len({entry.encoder for entry in entries}) == 1 and any(row["frozen"] for row in rows):
        measured = [
            Frozen(
                words=entry.facts.get("frozen", ""),
                trained=entry.row.run.metrics.get("trainable_parameters", 0),
                test=metrics.get("top1"),
                k_shot=entry.k_shot[1],
                harmonic=entry.harmonic,
            )
            for entry, metrics in zip(entries, found, strict=True)
        ]
        draw_freezing(measured, out / "freezing.png")
        print(f"written to {shown(out / 'freezing.png')}: accuracy over how far the encoder is frozen")


def table(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """The cells of each run by heading, best first; an empty text where a run did not measure it.

    How far an encoder is frozen is told where that differs.
    """
    rows = [_cells(place, entry) for place, entry in enumerate(entries, 1)]
    is_same = len({row["frozen"] for row in rows}) == 1
    return [{**row, "frozen": ""} if is_same else row for row in rows]


def _cells(place: int, entry: Entry) -> dict[str, str]:
    row, test = entry.row, entry.row.run.metrics
    encoder, weights = entry.encoder
    shots, k_shot = entry.k_shot
    low, high = test.get("top1_low"), test.get("top1_high")
    return {
        "rank": f"{place}{'=' if row.p_value is not None and row.p_value >= SURE else ''}",
        "encoder": encoder,
        "weights": weights,
        "frozen": entry.facts.get("frozen", ""),
        "test top-1": _text("top1", test.get("top1")),
        "95 % interval": "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}",
        "zero-shot top-1": _text("top1", entry.zeroshot.get("text_top1")),
        "k-shot top-1": "" if k_shot is None else f"{_text('top1', k_shot)} (k = {shots})",
        "generalized harmonic mean": _text("harmonic", entry.harmonic),
        "ECE": _text("ece", test.get("ece")),
        "ECE, scaled": _text("ece_scaled", test.get("ece_scaled")),
        "images/s": _text("images_per_second", test.get("encoder_images_per_second")),
        "parameters": entry.facts.get("parameters", ""),
        **_hours(entry.summary),
        "run": row.name,
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
