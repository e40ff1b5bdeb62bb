"""Weights & Biases: one W&B run for each run directory, even if the process is killed or the network fails."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypedDict

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from deepdraw.loggers.login import wandb_key
from deepdraw.loggers.names import dashboard_names
from deepdraw.runtime import read_json, write_json

FINISH_TIMEOUT = 300.0  # seconds that the end of a run waits for its upload; `wandb sync` sends what is left
PROJECT = "deepdraw"
MAX_LABEL_LENGTH = 128  # characters of a name or group


class WandbLogger:
    """Metrics, pictures, config and summary in a W&B run, under the names of `dashboard_names`.

    The run is online after `wandb login`, else offline; `wandb sync` then uploads it. Its id and name are kept in
    `<run>/wandb.json`, so that a run that was killed, even before its first checkpoint, continues the same W&B run. W&B
    writes offline runs in blocks, so up to 32 KiB of rows may be lost. The steps that a resumed run repeats appear
    twice at the same `step`, which is the axis of all charts; W&B's own step counter may never decrease and differs
    from it only there. If W&B fails, training continues without it. While a
    run trains, its W&B summary shows the best value of each metric of conf/metric, by its `better`; at the end, the
    values of the best weights.

    project, entity: by default those of WANDB_PROJECT and WANDB_ENTITY, of the folder's wandb/settings, or of the sweep
        of an agent; else the project `deepdraw`.
    name: by default the end of the run directory's path, in a sweep the number of the job and what it varies.
    group: by default none, in a sweep the end of its directory's path.
    tags: by default those of WANDB_TAGS.
    job_type: by default that of WANDB_JOB_TYPE.

    `wandb disabled` and `wandb offline`, typed in the folder where a run starts, hold for it. An agent of a sweep
    chooses the id of the run, which is kept.
    """

    def __init__(
        self,
        run_dir: Path,
        config: Mapping[str, Any],
        project: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        entity: str | None = None,
        job_type: str | None = None,
    ) -> None:
        self._run_dir, self._config = run_dir, dict(config)
        self._place = {"project": project, "entity": entity, "job_type": job_type}
        self._tags = list(tags)
        self._file = run_dir / "wandb.json"
        self._saved = _read(self._file)
        digest = blake2b(json.dumps(self._config, sort_keys=True).encode(), digest_size=8).hexdigest()
        self._state: dict[str, Any] = {
            "id": secrets.token_hex(6),
            "step": -1,
            "config": digest,
            **group_and_name(run_dir),
        }
        self._state |= {key: value for key, value in (("group", group), ("name", name)) if value}
        if self._saved.get("config") == digest:
            self._state |= self._saved
        self._run: Any = None
        self._failed = False

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        self._send(lambda run: self._add(run, dashboard_names({**metrics, "epoch": epoch}), step))

    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        def add(run: Any) -> None:
            import wandb

            self._add(run, {name: wandb.Image(str(path)) for name, path in pictures.items()}, step)

        self._send(add)

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._state["id"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._state |= {**self._saved, **state}

    def finish(self, summary: Mapping[str, Any]) -> None:
        def close(run: Any) -> None:
            run.summary.update(dashboard_names(summary))
            run.finish()

        self._send(close)

    def _send(self, action: Callable[[Any], None]) -> None:
        """Apply `action` to the run. It is opened on first use, so that a refused run leaves nothing on W&B."""
        if self._failed:
            return
        try:
            if self._run is None:
                self._run = self._open()
            action(self._run)
        except Exception as error:  # no failure of logging may end the training
            self._failed = True
            print(f"W&B failed and gets no more rows of this run ({_first_line(error)}); training goes on")

    def _add(self, run: Any, values: Mapping[str, Any], step: int) -> None:
        self._state["step"] = max(step, self._state["step"] + 1)
        self._save()
        run.log({**values, "step": step}, step=self._state["step"], commit=True)

    def _save(self) -> None:
        """Save id and step for the process that resumes this run."""
        write_json(self._file, self._state)

    def _open(self) -> Any:
        import wandb

        folder = wandb.setup().settings  # of environment variables, and of wandb/settings in the current folder
        self._place["project"] = self._place["project"] or folder.project or PROJECT
        options: Any = {
            "id": self._state["id"],
            "group": self._state["group"],
            "name": self._state["name"],
            "tags": self._tags or None,  # None: W&B reads WANDB_TAGS
            "resume": "allow",
            "reinit": "create_new",  # a failed job of the same sweep may have left its run open in this process
            "dir": str(self._run_dir),
            "config": self._config,
            **self._place,
            "settings": wandb.Settings(finish_timeout=FINISH_TIMEOUT),
        }
        mode: Any = _chosen_mode(folder) or ("online" if wandb_key() else "offline")
        try:
            run = wandb.init(mode=mode, **options)
        except (wandb.Error, OSError) as error:
            if mode != "online":
                raise
            print(f"W&B refused the run ({_first_line(error)}): it is kept offline; `wandb sync` uploads it later")
            wandb.teardown()  # frees the id for the offline run
            run = wandb.init(mode="offline", **options)
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")
        for name, better in _directions(self._run_dir).items():
            run.define_metric(f"val/{name}", step_metric="step", summary="min" if better == "lower" else "max")
        if isinstance(identity := getattr(run, "id", None), str):  # an agent's, whatever was asked for
            self._state["id"] = identity
        self._save()
        return run


class _State(TypedDict, total=False):
    """The content of `wandb.json`. config: a digest of the config of the run that wrote it."""

    id: str
    step: int
    config: str
    group: str | None
    name: str | None


class _Described(TypedDict):
    """A metric of conf/metric in `<run>/metrics.json`, as far as W&B shows it."""

    better: Literal["higher", "lower"]


def _chosen_mode(folder: Any) -> str | None:
    """The mode that WANDB_MODE, or `wandb disabled` and its like in this folder, chose; None if none did."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return None if folder.mode == "online" else folder.mode  # online is the default


def _directions(run_dir: Path) -> dict[str, str]:
    """Which values of each metric of conf/metric are better, as the run says; nothing of a run that has none."""
    file = run_dir / "metrics.json"
    if not file.exists():
        return {}
    found = read_json(file, dict[str, _Described], fix="delete it, and train the run again")
    return {name: described["better"] for name, described in found.items()}


def _read(file: Path) -> dict[str, Any]:
    if not os.path.lexists(file):
        return {}
    return dict(read_json(file, _State, fix="remove it, which begins a W&B run of its own"))


def group_and_name(run_dir: Path) -> dict[str, str | None]:
    """The run's group and name on W&B: from W&B's environment variables, else from the sweep and the job."""
    group, name = None, _path_end(run_dir)
    if HydraConfig.initialized() and (hydra := HydraConfig.get()).mode == RunMode.MULTIRUN:
        sweep = Path(hydra.sweep.dir)
        typed = sweep / "multirun.yaml"  # only Hydra's own sweeper writes it
        common = OmegaConf.load(typed).hydra.overrides.task if typed.exists() else []
        swept = [override for override in hydra.overrides.task if override not in common]
        group, name = _path_end(sweep), " ".join([str(hydra.job.num), *swept])[:MAX_LABEL_LENGTH]
    return {"group": os.environ.get("WANDB_RUN_GROUP") or group, "name": os.environ.get("WANDB_NAME") or name}


def _path_end(directory: Path) -> str:
    """The last two parts of a path (day and time in the default directories), which tell runs apart."""
    return "/".join(directory.resolve().parts[-2:])[-MAX_LABEL_LENGTH:]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
