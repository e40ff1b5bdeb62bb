"""What a run directory tells of each split: the metrics of its evaluations, and of the test at the end of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepdraw.data import Recognition, as_recognition
from deepdraw.evaluation import (
    RECOGNITION,
    TRIAL,
    Scored,
    read_checkpoint,
    read_descriptions,
    read_metrics,
    read_recognition,
)
from deepdraw.report.tables import Line, lines

SPLITS = ("test", "zeroshot", "generalized", "val", "train")  # in this order, others behind them


@dataclass(frozen=True)
class SplitResults:
    """A split by its name in results: which of its drawings, the checkpoint that was scored, what was found."""

    split: str
    recognition: Recognition
    checkpoint: Scored | None
    metrics: dict[str, float]
    lines: list[Line]


def read_results(run: Path, summary: Mapping[str, Any]) -> list[SplitResults]:
    """The results of each split in a run directory, but for trials.

    The test metrics of the summary stand in for those that no evaluation of the test split found. Raises ValueError,
    naming the file, for one that is damaged.
    """
    evaluations, described = run / "evaluations", read_descriptions(run)
    files = [path for path in sorted(evaluations.glob("*.json")) if not path.stem.endswith(TRIAL)]
    metrics_of = {path.stem: read_metrics(path) for path in files}
    recognition_of = {path.stem: read_recognition(path) for path in files}
    tested = {key: value for key, value in summary.items() if key.startswith("test/")}
    if tested:
        metrics_of["test"] = tested | metrics_of.get("test", {})
        recognition_of.setdefault("test", as_recognition(summary.get(RECOGNITION)))
    order = sorted(metrics_of, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))
    found = [
        SplitResults(
            split,
            recognition_of[split],
            read_checkpoint(evaluations / f"{split}.json"),
            metrics_of[split],
            lines(metrics_of[split], described),
        )
        for split in order
    ]
    return [results for results in found if results.lines]
