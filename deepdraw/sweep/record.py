"""A sweep on disk: what was submitted, and what has become of each job."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from deepdraw.evaluation import lower_is_better
from deepdraw.runtime import MB, Lock, read_json, shown, write_json
from deepdraw.sweep.backends import BACKENDS
from deepdraw.sweep.reports import Report, read_report
from deepdraw.sweep.signature import is_signed, sign
from deepdraw.sweep.tails import last_lines, latest

ENDED = {"COMPLETED", "FAILED", "STOPPED"}
FOLDERS = ("jobs", "code", "logs")  # of a sweep, beside those of the jobs
ID = re.compile(r"[0-9]{1,20}(_[0-9]{1,10})?")  # of a job: SLURM's own, or the time at which a local one was started
LARGEST = 64 * MB  # of a sweep.json; a job takes some hundred bytes
MOST = 10**9  # number that a job may have


@dataclass
class _Entry:
    """A job as sweep.json has it; directory: from that of the sweep."""

    number: int
    overrides: list[str]
    directory: str
    ids: list[str]


@dataclass
class _Code:
    digest: str = ""
    commit: str | None = None
    packages: list[str] = field(default_factory=list)  # the user's own, by name


@dataclass
class _Document:
    """What a sweep.json says; signature: see `deepdraw.sweep.signature`."""

    launcher: Literal["local", "slurm"]
    objective: str
    jobs: list[_Entry]
    task: str = ""
    command: list[str] = field(default_factory=list)
    submitted: str = ""
    code: _Code = field(default_factory=_Code)
    signature: str = ""


@dataclass
class Job:
    """One run of a sweep: its overrides, its run directory and the ids under which it was started, the latest last."""

    number: int
    overrides: list[str]
    directory: Path
    ids: list[str] = field(default_factory=list)


@dataclass
class Sweep:
    """What `<sweep>/sweep.json` says; objective is the `split/name` by which its jobs are compared."""

    directory: Path
    launcher: str
    objective: str
    jobs: list[Job]
    task: str = ""
    command: list[str] = field(default_factory=list)
    submitted: str = ""
    code: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lower_is_better(self) -> bool:
        """Whether the best job is the one with the lowest objective."""
        return lower_is_better(self.objective)

    @property
    def swept(self) -> list[str]:
        """The keys that differ between jobs; all keys where none does."""
        values_of = defaultdict(list)
        for job in self.jobs:
            for key, value in _settings(job.overrides).items():
                values_of[key].append(value)
        differing = [key for key, values in values_of.items() if len(values) < len(self.jobs) or len(set(values)) > 1]
        return differing or list(values_of)


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
        settings = _settings(self.overrides)
        return [settings.get(key, "") for key in keys]


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (override.partition("=") for override in overrides)}


def claim(directory: Path) -> Lock:
    """Take a directory for a new sweep; the lock is to be released once its sweep.json is written, or never will be.

    Raises ValueError where it holds a sweep, even one that another process is just starting there, and where nothing
    can be written. Who dies before the sweep is written leaves the directory free.
    """
    lock = Lock(directory / "claim.lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not lock.acquire():
            raise _taken(directory, f" that {lock.owner} is starting (if it is gone, remove {lock.path})")
    except OSError as error:
        raise ValueError(
            f"nothing can be written in {directory} ({error.strerror}): "
            "choose as hydra.sweep.dir a directory that this machine and those that run the jobs can write"
        ) from None
    if os.path.lexists(directory / "sweep.json"):
        lock.release()
        raise _taken(directory)
    if links := [name for name in (*FOLDERS, "multirun.yaml") if (directory / name).is_symlink()]:
        lock.release()
        raise ValueError(f"{directory / links[0]} is a link: remove it, or choose another hydra.sweep.dir")
    return lock


def _taken(directory: Path, how: str = "") -> ValueError:
    return ValueError(
        f"{directory} holds a sweep{how}: `python -m deepdraw.sweep resume {directory}` goes on with it; "
        "for a new one choose another hydra.sweep.dir"
    )


def write_sweep(directory: Path, launcher: str, objective: str, jobs: Sequence[Job], **about: Any) -> Sweep:
    """Write `<sweep>/sweep.json` with these jobs, beside those of other numbers and whatever else it says already.

    about: `task`, the file whose `main` each job calls, and `code`, what tells its version. It is signed as this user's
    own, with the configs and the code that lie in the directory.
    """
    if os.path.lexists(directory / "sweep.json"):
        former = _read_document(directory)
    else:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        former = _Document(_launcher(launcher), objective, [], command=[*map(shown, sys.argv)], submitted=now)
    new = [_Entry(job.number, job.overrides, os.path.relpath(job.directory, directory), job.ids) for job in jobs]
    merged = {job.number: job for job in [*former.jobs, *new]}
    document = asdict(
        replace(
            former,
            launcher=_launcher(launcher),
            objective=objective,
            jobs=[merged[number] for number in sorted(merged)],
            task=about.get("task", former.task),
            code=_Code(**about["code"]) if "code" in about else former.code,
        )
    )
    write_json(directory / "sweep.json", {**document, "signature": sign(directory, document)})
    return read_sweep(directory)


def _launcher(name: str) -> Literal["local", "slurm"]:
    assert name in ("local", "slurm")
    return name  # type: ignore[return-value]


def is_own(directory: Path) -> bool:
    """Whether this user launched the sweep, and nothing that it runs has been changed since."""
    return is_signed(directory, asdict(_read_document(directory)))


def read_sweep(directory: Path) -> Sweep:
    """The sweep of a directory; ValueError where it holds none, or one that is damaged or leads out of it."""
    document = _read_document(directory)
    directory = directory.absolute()
    jobs = [Job(job.number, job.overrides, directory / job.directory, job.ids) for job in document.jobs]
    about = {name: value for name, value in asdict(document).items() if name not in ("jobs", "signature")}
    return Sweep(directory, jobs=jobs, **about)


def inside(directory: Path, path: Path) -> bool:
    """Whether `path` lies in `directory` and no link leads it out of there."""
    home = os.path.realpath(directory)
    real = os.path.realpath(path)
    return real != home and os.path.commonpath([home, real]) == home


def _read_document(directory: Path) -> _Document:
    """What sweep.json says, of which every id, number and directory is one that a launcher writes."""
    file, fix = directory / "sweep.json", "give the directory of a sweep as a launcher wrote it"
    if not os.path.lexists(file):
        raise ValueError(f"{directory} holds no sweep: give the directory that the launcher printed, with a sweep.json")
    if links := [name for name in ("sweep.json", *FOLDERS) if not inside(directory, directory / name)]:
        raise ValueError(f"{directory / links[0]} is a link out of the directory: {fix}")
    document = read_json(file, _Document, fix=fix, largest=LARGEST)
    numbers = [job.number for job in document.jobs]
    if not numbers or len(set(numbers)) < len(numbers) or not 0 <= min(numbers) <= max(numbers) < MOST:
        raise ValueError(f"{file} has no jobs with numbers of their own: {fix}")
    for job in document.jobs:
        for number in job.ids:
            if not ID.fullmatch(number):
                raise ValueError(f"{file}: {shown(repr(number))} is no id of a job: {fix}")
        try:
            is_inside = inside(directory, directory / job.directory)
            (directory / job.directory / "job.json").exists()
        except (OSError, ValueError) as error:  # such as a name that is too long, or holds a null character
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"{file}: {shown(repr(job.directory), 100)} of job {job.number}: {reason}: {fix}"
            ) from error
        if not is_inside:
            raise ValueError(
                f"{file}: {shown(repr(job.directory))} of job {job.number} leads out of {directory}: {fix}"
            )
    return document


def states(sweep: Sweep) -> list[JobState]:
    """What has become of each job: what it wrote itself, held against one look at squeue and one at sacct.

    It needs neither the process that launched the sweep nor, where there is no asking it, SLURM.
    """
    ids = [job.ids[-1] for job in sweep.jobs if job.ids]
    reports = [_report(job) for job in sweep.jobs]
    written = {job.number: report for job, report in zip(sweep.jobs, reports, strict=True) if report}
    queue, account = BACKENDS[sweep.launcher].queue(sweep.directory, ids, written)
    logs = _logs(sweep.directory)
    return [_state(job, sweep, report, queue, account, logs) for job, report in zip(sweep.jobs, reports, strict=True)]


def _report(job: Job) -> Report | None:
    """What the latest attempt of a job wrote; where that is damaged, one that began and says so."""
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
    queue: Mapping[str, str] | None,
    account: Mapping[str, tuple[str, str]],
    logs: Mapping[str, Sequence[Path]],
) -> JobState:
    number = job.ids[-1] if job.ids else ""
    own_logs = logs.get(number, [])
    started = bool(report or own_logs)
    state, cause = _infer_state(
        report.state if report else None, started, queue, number, *account.get(number, ("", ""))
    )
    report = report or Report("STOPPED", number)  # which says no more
    suffix = ".err" if state == "FAILED" else ".out"
    default = sweep.directory / "logs" / f"{number}_log{suffix}"
    log = next((log for log in own_logs if log.suffix == suffix), own_logs[0] if own_logs else default)
    if state == "FAILED" and not report.error and (cause == "SIGKILL" or not cause.isupper()):
        cause = BACKENDS[sweep.launcher].cause(last_lines(log, 20)) or cause
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


def _infer_state(
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
    if accounted in ("RUNNING", "PENDING"):  # SLURM's two books are not written in one instant
        return accounted, ""
    if queue is None and not accounted:
        return reported or "UNKNOWN", "there is no asking SLURM"
    return ("FAILED", "ended without a result") if started or accounted else ("STOPPED", "never started")


def _cause(accounted: str, exit_code: str) -> str:
    """What sacct's state and exit code ("1:0": status 1; "0:9": signal 9) say of a failure."""
    if accounted != "FAILED":
        return accounted.split()[0]  # of "CANCELLED by 1000"
    status, _, number = exit_code.partition(":")
    return signal.Signals(int(number)).name if number not in ("", "0") else f"exit status {status}"
