"""What a sweep will cost, by the speed of former runs of its configs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from deepdraw.runtime.progress import duration
from deepdraw.runtime.sweeps import Job
from deepdraw.runtime.tails import read_json

NEWEST = 100  # former runs that are looked at
FREE = ["hydra", "slurm", "optimizer", "schedule", "seed", "logger", "features.dir"]  # by which a step takes as long
FREE += ["train.epochs", "train.limit_steps", "train.label_smoothing", "train.clip_grad"]
FREE += ["train.log_every", "train.checkpoint_every"]


def estimate(directory: Path, jobs: Sequence[Job], parameters: Mapping[str, Any], home: Path) -> str | None:
    """In one line, how long the jobs of the sweep in `directory` will train; None where no former run tells.

    parameters: the node `hydra.launcher`, whose GPUs and ranks the former run must have had. It is looked for in
    outputs/ and sweeps/ of `home` and beside the sweep.
    """
    num_gpus, num_ranks = parameters["gpus_per_node"] or 0, parameters["nodes"] * parameters["tasks_per_node"]
    formers = [
        (run, summary, config)
        for run, summary, config in _former_runs(directory, home)
        if summary["device"].startswith("cuda") == bool(num_gpus) and summary.get("ranks", 1) == num_ranks
    ]
    seconds, told = [], []
    for job in jobs if formers else ():
        config = _read(directory / "jobs" / f"{job.number}.yaml")
        for run, summary, former in formers:
            steps = _steps(config, former, summary)
            if steps and _of_speed(config) == _of_speed(former):
                num_images = steps * config["data"]["batch_size"] * config["train"]["grad_accum"]
                seconds.append(num_images / summary["train/images_per_second"])
                told.append((run, summary["train/images_per_second"]))
                break
    if not seconds:
        return None
    shortest, longest = duration(min(seconds)), duration(max(seconds))
    each = f"about {longest} each" if shortest == longest else f"about {shortest} to {longest}"
    number = f"{len(seconds)} jobs" if len(seconds) == len(jobs) else f"{len(seconds)} of {len(jobs)} jobs"
    total = duration(sum(seconds) * max(1, num_gpus) * parameters["nodes"])
    run, speed = told[0]
    said = f"former run {run} made {speed:,.0f} images/s"
    return f"{number} of {each} ({said}): {total} of {'GPU' if num_gpus else 'machine'} time"


def _former_runs(directory: Path, home: Path) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Directory, summary and config of the runs that have ended, the newest first."""
    files = {*home.glob("outputs/*/*/summary.json"), *home.glob("sweeps/*/*/*/summary.json")}
    files |= {*directory.parent.glob("*/summary.json"), *directory.parent.glob("*/*/summary.json")}
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:NEWEST]:
        summary, config = read_json(file), file.with_name("config.yaml")
        if summary.keys() >= {"train/images_per_second", "steps", "device"} and config.exists():
            yield file.parent, summary, _read(config)


def _steps(config: Mapping[str, Any], former: Mapping[str, Any], summary: Mapping[str, Any]) -> int:
    """The steps of a job by those of a former run on the same data; 0 where that was cut short and tells nothing."""
    now, then = config.get("train", {}), former["train"]
    limit = now.get("limit_steps") or math.inf
    if then.get("limit_steps") is None:
        return int(min(limit, summary["steps"] * now.get("epochs", 0) // then["epochs"]))
    return int(limit) if limit <= summary["steps"] else 0


def _of_speed(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config a step's time depends on."""
    rest = deepcopy(dict(config))
    for key in FREE:
        node, _, name = key.rpartition(".")
        (rest.get(node, {}) if node else rest).pop(name, None)
    return rest


def _read(file: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
