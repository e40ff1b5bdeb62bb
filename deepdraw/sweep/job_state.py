"""The state of each job of a sweep, the cause of a failure, and the latest metrics."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deepdraw.sweep.record import Job, Sweep, settings
from deepdraw.sweep.reports import Report, read_report
from deepdraw.sweep.tails import last_lines, latest

ENDED = {"COMPLETED", "FAILED", "STOPPED"}


class Queue(NamedTuple):
    """Jobs by their ids.

    queued: the state of each that runs or waits; None where there is nobody to ask. accounted: state and exit code of
    each that the accounting knows, such as ("FAILED", "1:0").
    """

    queued: Mapping[str, str] | None
    accounted: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class JobState:
    """What is known of a job.

    state: PENDING, RUNNING, COMPLETED, FAILED, STOPPED (it can be resumed), or SLURM's own word for what lies between
    cause: of FAILED, where SLURM or the launcher knows one (OUT_OF_MEMORY, TIMEOUT, SIGKILL, ...)
    metric: the sweep's objective: of the best weights of a completed job, of another one the latest value
    images_per_second: in training, of the latest epoch
    error: the last line of the traceback, or where it was killed, of its log; of a completed job, why it has no metric
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
        values = settings(self.overrides)
        return [values.get(key, "") for key in keys]


def job_states(
    sweep: Sweep,
    find_queue: Callable[[Path, Sequence[str], Mapping[int, Report]], Queue],
    find_cause: Callable[[Sequence[str]], str],
) -> list[JobState]:
    """The state of each job, by its own report and by the queue; find_queue, find_cause: those of a Backend."""
    ids = [job.ids[-1] for job in sweep.jobs if job.ids]
    reports = [_latest_report(job) for job in sweep.jobs]
    written = {job.number: report for job, report in zip(sweep.jobs, reports, strict=True) if report}
    queue = find_queue(sweep.directory, ids, written)
    logs = _logs(sweep.directory)
    return [
        _state(job, sweep, report, queue, logs, find_cause) for job, report in zip(sweep.jobs, reports, strict=True)
    ]


def _latest_report(job: Job) -> Report | None:
    """The report of the latest attempt of a job; if it is damaged, a report of a running job that says so."""
    number = job.ids[-1] if job.ids else ""
    try:
        report = read_report(job.directory)
    except ValueError as error:
        return Report("RUNNING", number, cause="job.json is damaged", error=str(error))
    return report if report and report.id == number else None


def _logs(directory: Path) -> dict[str, list[Path]]:
    """The logs of each id: 7_1_0_log.out is one of the job 7_1, and 7_0_log.out one of the job 7."""
    found: dict[str, list[Path]] = defaultdict(list)
    for log in sorted((directory / "logs").glob("*_log.*")):
        parts = log.name.split("_")
        for number in ("_".join(parts[:2]), parts[0]):
            found[number].append(log)
    return found


def _state(
    job: Job,
    sweep: Sweep,
    report: Report | None,
    queue: Queue,
    logs: Mapping[str, Sequence[Path]],
    find_cause: Callable[[Sequence[str]], str],
) -> JobState:
    number = job.ids[-1] if job.ids else ""
    own_logs = logs.get(number, [])
    started = bool(report or own_logs)
    state, cause = _infer_state(report.state if report else None, started, queue, number)
    report = report or Report("STOPPED", number)  # which says no more
    suffix = ".err" if state == "FAILED" else ".out"
    default = sweep.directory / "logs" / f"{number}_log{suffix}"
    log = next((log for log in own_logs if log.suffix == suffix), own_logs[0] if own_logs else default)
    if state == "FAILED" and not report.error and (cause == "SIGKILL" or not cause.isupper()):
        cause = find_cause(last_lines(log, 20)) or cause
    error = report.error if state in ("COMPLETED", "FAILED") else ""
    if state == "FAILED" and not error:
        error = "".join(last_lines(log, 1))
    found = latest(job.directory / "metrics.csv", ("epoch", sweep.objective, "train/images_per_second"))
    return JobState(
        number=job.number,
        overrides=job.overrides,
        state=state,
        cause=cause or report.cause,
        epoch=int(found["epoch"]) if "epoch" in found else None,
        metric=report.objective if state == "COMPLETED" else found.get(sweep.objective),
        images_per_second=found.get("train/images_per_second"),
        log=log,
        error=error,
        traceback=report.traceback if state == "FAILED" else "",
        directory=job.directory,
    )


def _infer_state(reported: str | None, started: bool, queue: Queue, number: str) -> tuple[str, str]:
    """State and cause of the job with the id `number`, by its own report, the queue and the accounting."""
    accounted, exit_code = queue.accounted.get(number, ("", ""))
    failure = "" if accounted in ("", "COMPLETED", "RUNNING", "PENDING") else _cause(accounted, exit_code)
    if reported in ENDED:  # the report says more of an exception than the exit status does
        return str(reported), failure if reported == "FAILED" and accounted != "FAILED" else ""
    if queue.queued is not None and number in queue.queued:
        return queue.queued[number], ""
    if failure:
        return "FAILED", failure
    if accounted in ("RUNNING", "PENDING"):  # sacct and squeue are not updated at the same time
        return accounted, ""
    if queue.queued is None and not accounted:
        return reported or "UNKNOWN", "there is no asking SLURM"
    return ("FAILED", "ended without a result") if started or accounted else ("STOPPED", "never started")


def _cause(accounted: str, exit_code: str) -> str:
    """What sacct's state and exit code ("1:0": status 1; "0:9": signal 9) say of a failure."""
    if accounted != "FAILED":
        return accounted.split()[0]  # of "CANCELLED by 1000"
    status, _, number = exit_code.partition(":")
    return signal.Signals(int(number)).name if number not in ("", "0") else f"exit status {status}"
