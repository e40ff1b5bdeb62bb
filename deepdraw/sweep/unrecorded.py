"""Sweeps of Hydra's own launchers, which write no sweep.json: read from what each job kept of its config."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepdraw.evaluation import USUAL_OBJECTIVE, read_descriptions, read_summary
from deepdraw.runtime import find_below, read_yaml, typed
from deepdraw.sweep.job_state import JobState
from deepdraw.sweep.record import Better, Job, Sweep, inside
from deepdraw.sweep.tails import latest

LAUNCHER = "hydra"  # the name under which such a sweep is read
FIX = "give the directory of a sweep as a launcher wrote it"


def read_unrecorded(directory: Path) -> Sweep | None:
    """The sweep of a directory without a sweep.json, of which Hydra wrote multirun.yaml; None where it wrote none.

    Raises ValueError where no job has begun, or a record is damaged.
    """
    if not (directory / "multirun.yaml").is_file():
        return None
    directory = directory.absolute()
    jobs = sorted(_jobs(directory), key=lambda job: job.number)
    if not jobs:
        raise ValueError(f"{directory} holds no job that has begun: {resume_line(directory)}")
    config = read_yaml(jobs[0].directory / "config.yaml", fix=FIX)
    objective = str(config.get("objective", USUAL_OBJECTIVE))
    described = read_descriptions(jobs[0].directory).get(objective.rpartition("/")[2])
    better: Better | None = described.better if described else None
    return Sweep(directory, LAUNCHER, objective, jobs, better=better)


def resume_line(directory: Path) -> str:
    """How a sweep goes on that has no record: its command runs each job again, and each goes on where it stopped."""
    record = _hydra(read_yaml(directory / "multirun.yaml", fix=FIX))
    words = [str(word) for word in _overrides(record)]
    return f"its command goes on with it: {typed('python', 'train.py', '-m', *words, f'hydra.sweep.dir={directory}')}"


def unrecorded_states(sweep: Sweep) -> list[JobState]:
    """The state of each job: COMPLETED where it has a summary, else STOPPED, as it can be resumed."""
    return [_state(sweep, job) for job in sweep.jobs]


def _state(sweep: Sweep, job: Job) -> JobState:
    summary = read_summary(job.directory)
    found = latest(job.directory / "metrics.csv", ("epoch", sweep.objective, "train/images_per_second"))
    metric = summary.get(sweep.objective) if summary else found.get(sweep.objective)
    return JobState(
        number=job.number,
        overrides=job.overrides,
        state="COMPLETED" if summary else "STOPPED",
        cause="" if summary else "no summary.json",
        epoch=int(found["epoch"]) if "epoch" in found else None,
        metric=float(metric) if isinstance(metric, int | float) else None,
        images_per_second=found.get("train/images_per_second"),
        log=job.directory / "metrics.csv",
        error="",
        traceback="",
        directory=job.directory,
    )


def _jobs(directory: Path) -> Iterator[Job]:
    """The jobs whose runs lie in or below a directory, each with the number that Hydra gave it."""
    for number, run in enumerate(find_below(directory, lambda files, folders: "config.yaml" in files)):
        if run == directory or not inside(directory, run):
            continue
        record = _hydra(read_yaml(run / ".hydra/hydra.yaml", fix=FIX))
        job = record.get("job")
        given = job.get("num") if isinstance(job, dict) else None
        yield Job(given if isinstance(given, int) else number, [str(word) for word in _overrides(record)], run)


def _hydra(document: dict[str, Any]) -> dict[str, Any]:
    """Hydra's own part of a record; empty where it has none."""
    part = document.get("hydra")
    return part if isinstance(part, dict) else {}


def _overrides(record: dict[str, Any]) -> list[Any]:
    """The settings of the command that a record tells."""
    overrides = record.get("overrides")
    task = overrides.get("task") if isinstance(overrides, dict) else None
    return task if isinstance(task, list) else []
