"""Loggers write metrics to metrics.csv, W&B and TensorBoard. A resumed run continues the same files and W&B run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from deepdraw.loggers.tensorboard import TensorBoardLogger
from deepdraw.loggers.wandb import WandbLogger
from deepdraw.runtime import LARGEST, append_text, flush_to_disk, read_text, results_writer, write_text

__all__ = ["CSVLogger", "Logger", "TensorBoardLogger", "WandbLogger", "log_evaluation"]


class Logger(Protocol):
    """Takes rows of `split/name` metrics. Its state is kept in the checkpoint and given back on resuming."""

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Take one row, measured after `step` optimizer steps in `epoch` (both count from 1)."""
        ...

    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        """Take PNG files, each under a name such as `plots/curves`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state that `load_state_dict` needs to continue after the last row."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Forget whatever was logged after that state was taken; of an empty state, nothing."""
        ...

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take the run's summary and close."""
        ...


class CSVLogger:
    """One row for each call in `<run>/metrics.csv`; a metric that was not measured leaves an empty cell.

    A row is on the disk before `state_dict` returns, and so before a checkpoint counts it. `epoch_time` is left out,
    because `images_per_second` says the same.
    """

    def __init__(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        self._path = run_dir / "metrics.csv"
        self._rows: list[dict[str, str]] = []
        self._columns: dict[str, None] = {}  # in the order of the first rows that have them
        self._is_flushed = True

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        cells = {key: f"{value:.8g}" for key, value in metrics.items() if not key.endswith("/epoch_time")}
        row = {"epoch": str(epoch), "step": str(step), **cells}
        self._rows.append(row)
        if self._path.exists() and row.keys() <= self._columns.keys():
            append_text(self._path, _as_csv([*self._columns], [row]))
            self._is_flushed = False
        else:
            self._write()

    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        self._flush()
        return {"num_rows": len(self._rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        rows = self._read() if self._path.exists() else []
        wanted = state.get("num_rows", len(rows))
        if len(rows) < wanted:
            raise ValueError(
                f"{self._path} has {len(rows)} of the run's {wanted} rows: "
                "put it back, or train again in another hydra.run.dir"
            )
        self._rows = rows[:wanted]
        if self._rows:
            self._write()

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._flush()

    def _flush(self) -> None:
        if not self._is_flushed:
            flush_to_disk(self._path)
            self._is_flushed = True

    def _read(self) -> list[dict[str, str]]:
        """All complete rows from the first on. The last row may be cut short if the process was killed."""
        fix = "put it back, or train again in another hydra.run.dir"
        text = read_text(self._path, largest=LARGEST["CSV"], fix=fix)
        lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        rows: list[dict[str, str]] = []
        try:
            columns = next(lines, [])
            for cells in lines:
                row = dict(zip(columns, cells, strict=True))
                if not (row["epoch"].isdecimal() and row["step"].isdecimal()):
                    break
                rows.append({key: cell for key, cell in row.items() if cell})
        except (csv.Error, ValueError, KeyError):
            pass
        return rows

    def _write(self) -> None:
        self._columns = dict.fromkeys(key for row in self._rows for key in row)
        columns = [*self._columns]
        self._is_flushed = True
        write_text(self._path, _as_csv(columns, [dict(zip(columns, columns, strict=True)), *self._rows]))


def _as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()


def log_evaluation(
    run_dir: Path,
    loggers: Mapping[str, Callable[[Path, Mapping[str, Any]], Logger]],
    config: Mapping[str, Any],
    metrics: Mapping[str, float],
    pictures: Mapping[str, Path],
) -> None:
    """Add an evaluation's `split/name` metrics and pictures to the W&B run and the event files of the training.

    loggers: the loggers in the evaluation's own config, by name; each takes the run directory and a config.
    config: the training's. If the run directory has no `summary.json`, the training may still be running, and nothing
    is added. `metrics.csv` is never changed, so that the run can be resumed.
    """
    summary = run_dir / "summary.json"
    if not summary.exists():
        return
    training = json.loads(summary.read_text())
    starts = [start for name, start in loggers.items() if name != "csv"]
    with results_writer(run_dir) if starts else nullcontext():
        for start in starts:
            logger = start(run_dir, config)
            logger.load_state_dict({})
            logger.log(metrics, epoch=training["val/epoch"], step=training["steps"])
            logger.log_pictures(pictures, step=training["steps"])
            logger.finish({})
