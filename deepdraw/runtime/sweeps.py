"""A sweep on disk: what was submitted, and what has become of each job."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from deepdraw.runtime import processes, slurm
from deepdraw.runtime.files import write_json
from deepdraw.runtime.tails import last_lines, latest, read_json

ENDED = {"COMPLETED", "FAILED", "STOPPED"}


@dataclass
class Job:
    """One run of a sweep: its overrides, its run directory and the ids under which it was started, the latest last."""

    number: int
    overrides: list[str]
    directory: Path
    ids: list[str] = field(default_factory=list)


@dataclass
class Sweep:
    """What `<sweep>/sweep.json` says; objective is the `split/name` that every job returns, the higher the better."""

    directory: Path
    launcher: str
    objective: str
    jobs: list[Job]
    task: str = ""
    command: list[str] = field(default_factory=list)
    submitted: str = ""
    code: Mapping[str, Any] = field(default_factory=dict)

    @property
    def swept(self) -> list[str]:
        """The keys that differ between jobs; all keys where none does."""
        settings = [_settings(job.overrides) for job in self.jobs]
        keys = list(dict.fromkeys(key for setting in settings for key in setting))
        return [key for key in keys if len({setting.get(key) for setting in settings}) > 1] or keys


@dataclass(frozen=True)
class JobState:
    """What is known of a job.

    state: PENDING, RUNNING, COMPLETED, FAILED, STOPPED (it can be resumed), or Slurm's own word for what lies between
    cause: of FAILED, where Slurm or the launcher knows one (OUT_OF_MEMORY, TIMEOUT, SIGKILL, ...)
    metric: what a completed job returned, of another one the latest value
    images_per_second: in training, of the latest epoch
    error: the last line of the traceback, or where it was killed, of its log
    """

    number: int
    overrides: list[str]
    state: str
    cause: str
    epoch: int | None
    metric: float | None
    images_per_second: float | None
    log: Path
    error: str
    traceback: str
    directory: Path

    @property
    def is_good(self) -> bool:
        """Whether it ended with a result."""
        return self.state == "COMPLETED"

    @property
    def is_alive(self) -> bool:
        """Whether it runs or waits."""
        return self.state not in ENDED

    def values(self, keys: Sequence[str]) -> list[str]:
        """Its settings of these keys, empty where it has none."""
        settings = _settings(self.overrides)
        return [settings.get(key, "") for key in keys]


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (override.partition("=") for override in overrides)}


def claim(directory: Path) -> None:
    """Take a directory for a new sweep.

    Raises ValueError where it holds one, even if that began in the same instant, and where nothing can be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(directory, error) from None
    try:
        (directory / "sweep.json").open("x").close()
    except FileExistsError:
        raise ValueError(
            f"{directory} holds a sweep: `python -m deepdraw.sweep resume {directory}` goes on with it; "
            "for a new one choose another hydra.sweep.dir"
        ) from None
    except OSError as error:
        raise _cannot_write(directory, error) from None


def _cannot_write(directory: Path, error: OSError) -> ValueError:
    return ValueError(
        f"nothing can be written in {directory} ({error.strerror}): "
        "choose as hydra.sweep.dir a directory that this machine and those that run the jobs can write"
    )


def write_sweep(directory: Path, launcher: str, objective: str, jobs: Sequence[Job], **about: Any) -> Sweep:
    """Write `<sweep>/sweep.json` with these jobs, beside those of other numbers and whatever else it says already.

    about: `task`, the file whose `main` each job calls, and `code`, what tells its version.
    """
    former = read_json(directory / "sweep.json")
    new = {
        job.number: {
            "number": job.number,
            "overrides": job.overrides,
            "directory": os.path.relpath(job.directory, directory),
            "ids": job.ids,
        }
        for job in jobs
    }
    merged = {job["number"]: job for job in former.get("jobs", [])} | new
    document = {
        "submitted": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        **former,
        **about,
        "launcher": launcher,
        "objective": objective,
        "jobs": [merged[number] for number in sorted(merged)],
    }
    write_json(directory / "sweep.json", document)
    return read_sweep(directory)


def read_sweep(directory: Path) -> Sweep:
    """The sweep of a directory; ValueError where it holds none."""
    document = read_json(directory / "sweep.json")
    if not document.get("jobs"):
        raise ValueError(f"{directory} holds no sweep: give the directory that the launcher printed, with a sweep.json")
    directory = directory.absolute()
    jobs = [Job(**{**job, "directory": directory / job["directory"]}) for job in document["jobs"]]
    about = {name: document[name] for name in ("task", "command", "submitted", "code") if name in document}
    return Sweep(directory, document["launcher"], document["objective"], jobs, **about)


def states(sweep: Sweep) -> list[JobState]:
    """What has become of each job: what it wrote itself, held against one look at squeue and one at sacct.

    It needs neither the process that launched the sweep nor, where there is no asking it, Slurm.
    """
    ids = [job.ids[-1] for job in sweep.jobs if job.ids]
    reports = [read_json(job.directory / "job.json") for job in sweep.jobs]
    account: Mapping[str, tuple[str, str]] = {}
    queue: Mapping[str, str] | None
    if sweep.launcher == "local":
        queue = processes.queue_states(sweep.directory, ids, reports)
    else:
        queue, account = slurm.queue_states(ids), slurm.account_states(ids)
    logs = sorted((sweep.directory / "logs").glob("*_log.*"))
    return [_state(job, sweep, report, queue, account, logs) for job, report in zip(sweep.jobs, reports, strict=True)]


def _state(
    job: Job,
    sweep: Sweep,
    report: Mapping[str, Any],
    queue: Mapping[str, str] | None,
    account: Mapping[str, tuple[str, str]],
    logs: Sequence[Path],
) -> JobState:
    number = job.ids[-1] if job.ids else ""
    if report.get("id") != number:  # of an earlier attempt
        report = {}
    own_logs = [log for log in logs if log.name.startswith(f"{number}_")]
    started = bool(report or own_logs)
    state, cause = _judge(report.get("state"), started, queue, number, *account.get(number, ("", "")))
    suffix = ".err" if state == "FAILED" else ".out"
    default = sweep.directory / "logs" / f"{number}_log{suffix}"
    log = next((log for log in own_logs if log.suffix == suffix), own_logs[0] if own_logs else default)
    if state == "FAILED" and not report.get("error") and (cause == "SIGKILL" or not cause.isupper()):
        cause = slurm.cause_in(last_lines(log, 20)) or cause
    found = latest(job.directory / "metrics.csv", ("epoch", sweep.objective, "train/images_per_second"))
    return JobState(
        number=job.number,
        overrides=job.overrides,
        state=state,
        cause=cause or report.get("cause") or "",
        epoch=int(found["epoch"]) if "epoch" in found else None,
        metric=report.get("objective") if state == "COMPLETED" else found.get(sweep.objective),
        images_per_second=found.get("train/images_per_second"),
        log=log,
        error=(report.get("error") or "".join(last_lines(log, 1))) if state == "FAILED" else "",
        traceback=(report.get("traceback") or "") if state == "FAILED" else "",
        directory=job.directory,
    )


def _judge(
    reported: str | None, started: bool, queue: Mapping[str, str] | None, number: str, accounted: str, exit_code: str
) -> tuple[str, str]:
    """State and cause, by what the job said of itself, the queue (None: there is no asking it) and accounting."""
    failure = "" if accounted in ("", "COMPLETED", "RUNNING", "PENDING") else _cause(accounted, exit_code)
    if reported in ENDED:  # of what it raised itself, an exit status tells less, and tells it later
        return str(reported), failure if reported == "FAILED" and accounted != "FAILED" else ""
    if queue is not None and number in queue:
        return queue[number], ""
    if failure:
        return "FAILED", failure
    if accounted in ("RUNNING", "PENDING"):  # Slurm's two books are not written in one instant
        return accounted, ""
    if queue is None and not accounted:
        return reported or "UNKNOWN", "there is no asking Slurm"
    return ("FAILED", "ended without a result") if started or accounted else ("STOPPED", "never started")


def _cause(accounted: str, exit_code: str) -> str:
    """What sacct's state and exit code ("1:0": status 1; "0:9": signal 9) say of a failure."""
    if accounted != "FAILED":
        return accounted.split()[0]  # of "CANCELLED by 1000"
    status, _, number = exit_code.partition(":")
    return signal.Signals(int(number)).name if number not in ("", "0") else f"exit status {status}"
