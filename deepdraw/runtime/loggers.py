"""Where metrics go: metrics.csv and Weights & Biases; a resumed run goes on in the same file and the same W&B run."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """Takes rows of `split/name` metrics. Its state is kept in the checkpoint and given back on resuming."""

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Take one row, measured after `step` optimizer steps in `epoch` (both count from 1)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on after the last row."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Forget whatever was logged after that state was taken."""
        ...

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take the run's summary and close."""
        ...


class CSVLogger:
    """One row for each call in `<run>/metrics.csv`; a metric that was not measured leaves an empty cell."""

    def __init__(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        self._path = run_dir / "metrics.csv"
        self._rows: list[dict[str, str]] = []

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        row = {"epoch": str(epoch), "step": str(step), **{key: f"{value:.8g}" for key, value in metrics.items()}}
        known = self._columns()
        self._rows.append(row)
        if self._path.exists() and row.keys() <= set(known):
            with self._path.open("a", newline="") as file:
                csv.DictWriter(file, known).writerow(row)
        else:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        return {"num_rows": len(self._rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        rows = []
        if self._path.exists():
            with self._path.open(newline="") as file:
                rows = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file)]
        if len(rows) < state["num_rows"]:
            raise ValueError(
                f"{self._path} has {len(rows)} of the run's {state['num_rows']} rows: "
                "put it back, or train again in another hydra.run.dir"
            )
        self._rows = rows[: state["num_rows"]]
        self._write()

    def finish(self, summary: Mapping[str, Any]) -> None:
        pass

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(key for row in self._rows for key in row))

    def _write(self) -> None:
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(self._rows)


class WandbLogger:
    """The same rows in a W&B run: online after `wandb login`, else offline, to be sent by `wandb sync` later."""

    def __init__(self, run_dir: Path, config: Mapping[str, Any], project: str, group: str | None) -> None:
        self._options: Any = {"dir": str(run_dir), "config": dict(config), "project": project, "group": group}
        self._run: Any = None
        self._id: str | None = None

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        self._start().log({**metrics, "epoch": epoch}, step=step)

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._start().id}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._id = state["id"]

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._start().summary.update(summary)
        self._start().finish()

    def _start(self) -> Any:
        """The run, opened on first use: a refused run leaves nothing on W&B."""
        if self._run is None:
            import wandb

            mode: Any = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
            self._run = wandb.init(id=self._id, resume="allow", mode=mode, **self._options)
        return self._run


def _logged_in() -> bool:
    """Whether W&B would find an API key without asking for one."""
    from requests.utils import get_netrc_auth

    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return bool(os.environ.get("WANDB_API_KEY") or get_netrc_auth(server))
