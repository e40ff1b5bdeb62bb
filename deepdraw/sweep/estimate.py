"""What a sweep will cost, by the speed of earlier runs of its configs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, TypedDict

from deepdraw.runtime import duration, read_json, read_yaml
from deepdraw.sweep.record import Job

_Summary = TypedDict(
    "_Summary", {"train/images_per_second": float, "steps": int, "device": str, "ranks": int}, total=False
)

NEWEST = 100  # earlier runs that are read
# Keys that do not change the time of a step.
NOT_TIMED = ["hydra", "slurm", "optimizer", "schedule", "seed", "logger", "features.dir"]
NOT_TIMED += ["train.epochs", "train.limit_steps", "train.label_smoothing", "train.clip_grad"]
NOT_TIMED += ["train.log_every", "train.checkpoint_every"]


def estimate(directory: Path, jobs: Sequence[Job], parameters: Mapping[str, Any], home: Path) -> str | None:
    """In one line, how long the jobs of the sweep in `directory` will train; None where no earlier run tells.

    parameters: the node `hydra.launcher`, whose GPUs and ranks an earlier run must have had. Runs are looked for in
    outputs/ and sweeps/ of `home` and beside the sweep.
    """
    num_gpus, num_nodes = parameters.get("gpus_per_node") or 0, parameters.get("nodes", 1)
    num_ranks = num_nodes * parameters.get("tasks_per_node", 1)
    past_runs = [
        (run, summary, config)
        for run, summary, config in _past_runs(directory, home)
        if summary["device"].startswith("cuda") == bool(num_gpus) and summary.get("ranks", 1) == num_ranks
    ]
    seconds, sources = [], []
    for job in jobs if past_runs else ():
        config = read_yaml(directory / "jobs" / f"{job.number}.yaml", fix="submit the sweep again")
        settings = _step_settings(config)
        for run, summary, past in past_runs:
            if settings == _step_settings(past) and (steps := _steps(config, past, summary)):
                num_images = steps * config["data"]["batch_size"] * config["train"]["grad_accum"]
                seconds.append(num_images / summary["train/images_per_second"])
                sources.append((run, summary["train/images_per_second"]))
                break
    if not seconds:
        return None
    shortest, longest = duration(min(seconds)), duration(max(seconds))
    each = f"about {longest} each" if shortest == longest else f"about {shortest} to {longest}"
    number = f"{len(seconds)} jobs" if len(seconds) == len(jobs) else f"{len(seconds)} of {len(jobs)} jobs"
    total = duration(sum(seconds) * max(1, num_gpus) * num_nodes)
    run, speed = sources[0]
    source = f"former run {run} made {speed:,.0f} images/s"
    return f"{number} of {each} ({source}): {total} of {'GPU' if num_gpus else 'machine'} time"


def _past_runs(directory: Path, home: Path) -> Iterator[tuple[Path, _Summary, dict[str, Any]]]:
    """Directory, summary and config of runs that have ended and are not damaged, the newest first."""
    files = {*home.glob("outputs/*/*/summary.json"), *home.glob("sweeps/*/*/*/summary.json")}
    files |= {*directory.parent.glob("*/summary.json"), *directory.parent.glob("*/*/summary.json")}
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:NEWEST]:
        with suppress(ValueError):
            summary = read_json(file, _Summary, fix="train again")
            is_known = summary.keys() >= {"train/images_per_second", "steps", "device"}
            if is_known and summary["train/images_per_second"] > 0 and file.with_name("config.yaml").exists():
                yield file.parent, summary, read_yaml(file.with_name("config.yaml"), fix="train again")


def _steps(config: Mapping[str, Any], past: Mapping[str, Any], summary: _Summary) -> int:
    """The steps of a job, by those of an earlier run of its settings; 0 where that was cut short and tells nothing."""
    now, then = config.get("train"), past.get("train")
    if not isinstance(now, dict) or not isinstance(then, dict):
        return 0
    limit = now.get("limit_steps") or math.inf
    if then.get("limit_steps") is None:
        epochs = then.get("epochs")
        if not isinstance(epochs, int) or epochs < 1:
            return 0
        return int(min(limit, summary["steps"] * now.get("epochs", 0) // epochs))
    return int(limit) if limit <= summary["steps"] else 0


def _step_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that the time of a step depends on."""
    rest = deepcopy(dict(config))
    for key in NOT_TIMED:
        node, _, name = key.rpartition(".")
        holder = rest.get(node) if node else rest
        if isinstance(holder, dict):
            holder.pop(name, None)
    return rest
