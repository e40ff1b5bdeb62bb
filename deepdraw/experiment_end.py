"""What a training tells and writes when it has ended: the table, the summary, predictions, pictures and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.data import in_brackets
from deepdraw.evaluation import Predictions, read_descriptions
from deepdraw.loggers import Logger
from deepdraw.report import print_table, write_training

Sampled = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]  # images, labels and logits of drawings


def report_training(
    directory: Path,
    told: Mapping[str, Any],
    metrics: Mapping[str, float],
    predictions: Predictions,
    drawings: Callable[[], Sampled],
    loggers: Mapping[str, Logger],
    *,
    step: int,
    trial: str | None,
) -> None:
    """Print the test metrics, and write and log the results of a run.

    told: what the summary says beside metrics and date; drawings: computes those that are looked at; trial: of how many
    test drawings the metrics are, where these are not all.
    """
    title = f"test, by the weights of epoch {told['val/epoch']}, the best on validation"
    summary = {**told, "date": datetime.now().astimezone().isoformat(timespec="seconds"), **metrics}
    if trial is not None:
        summary["trial"] = trial
        title = f"a trial on {trial}, by train.limit_steps: no result to report"
    print_table(f"{title} {in_brackets(told['recognition'])}", metrics, described=read_descriptions(directory))
    rows = directory / "metrics.csv" if "csv" in loggers else None
    pictures = write_training(directory, summary, predictions, drawings, rows)
    for logger in loggers.values():
        logger.log_pictures(pictures, step=step)
        logger.finish(summary)
