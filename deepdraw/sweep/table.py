"""The results of a sweep: the table in the terminal, results.csv, and the failures."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.evaluation import RECOGNITION
from deepdraw.runtime import MB, cell, csv_cell, csv_heading, read_json, shown, sweep_command, write_text
from deepdraw.sweep.job_state import JobState
from deepdraw.sweep.record import Sweep, inside
from deepdraw.sweep.tails import last_lines

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"COMPLETED": "green", "FAILED": "bold red", "STOPPED": "yellow", "RUNNING": "cyan"}
NUM_LINES = 12  # of the end of a traceback that are shown
PLAIN = (int, float, str, type(None))  # what a cell of results.csv may hold
SUMMARY = 4 * MB  # bytes that a summary.json may have


def ranked(sweep: Sweep, jobs: Sequence[JobState]) -> list[JobState]:
    """The jobs best first: those with a result by their objective, then those that run, then the others."""
    sign = 1 if sweep.lower_is_better else -1

    def place(job: JobState) -> tuple[bool, bool, float, int]:
        return not job.is_good, not job.is_alive, math.inf if job.metric is None else sign * job.metric, job.number

    return sorted(jobs, key=place)


def print_table(sweep: Sweep, jobs: Sequence[JobState], console: Console | None = None) -> None:
    """Print a line for each job, best first, and below the table the error of each that failed."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console(width=None if sys.stdout.isatty() else 160)
    keys = sweep.swept
    table = Table("job")
    for heading in (*keys, "state"):
        table.add_column(cell(heading))
    has_speed = any(job.images_per_second is not None for job in jobs)  # not of cached features
    for heading in ("epoch", sweep.objective, *["images/s"] * has_speed):
        table.add_column(cell(heading), justify="right")
    table.add_column("log", overflow="fold")
    for job in ranked(sweep, jobs):
        table.add_row(
            str(job.number),
            *map(cell, job.values(keys)),
            cell(_state(job), STYLES.get(job.state, "")),
            _text(job.epoch, "d"),
            _text(job.metric, ".4f"),
            *[_text(job.images_per_second, ",.0f")] * has_speed,
            cell(os.path.relpath(job.log, sweep.directory)),
        )
    console.print(cell(sweep.directory), style="bold", soft_wrap=True)
    console.print(table)
    for job in jobs:
        if job.error:
            console.print(cell(f"job {job.number}: {job.error}"), soft_wrap=True)


def job_line(sweep: Sweep, job: JobState) -> str:
    """A job in one line."""
    settings = " ".join(f"{key}={value}" for key, value in zip(sweep.swept, job.values(sweep.swept), strict=True))
    metric = "" if job.metric is None else f"  {sweep.objective} {job.metric:.4f}"
    return shown(f"job {job.number} {_state(job)}  {settings}{metric}" + (f"  {job.error}" if job.error else ""))


def _state(job: JobState) -> str:
    return f"{job.state} ({job.cause})" if job.cause else job.state


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def print_failures(jobs: Sequence[JobState]) -> None:
    """Print the end of the traceback of each job that failed, or of its log where it left none."""
    for job in jobs:
        if job.state == "FAILED":
            lines = job.traceback.strip().splitlines()[-NUM_LINES:] or last_lines(job.log, NUM_LINES)
            heading = shown(f"job {job.number} {_state(job)}, {job.log}")
            print(f"\n{heading}", *(shown(line.expandtabs()) for line in lines), sep="\n    ")


def write_results(sweep: Sweep, jobs: Sequence[JobState]) -> Path:
    """Write `<sweep>/results.csv`, best first: the swept keys, the state, the metrics of each run's summary,
    and whether they are of recognized drawings."""
    keys, rows = sweep.swept, []
    for job in ranked(sweep, jobs):
        metrics, problem = _summary(sweep, job) if job.is_good else ({}, job.error)
        rows.append(
            {"job": job.number}
            | dict(zip(keys, job.values(keys), strict=True))
            | {"state": job.state, "cause": job.cause, sweep.objective: job.metric, "epoch": job.epoch}
            | {"images_per_second": job.images_per_second}
            | {name: value for name, value in metrics.items() if name != sweep.objective}
            | {"directory": os.path.relpath(job.directory, sweep.directory)}
            | {"log": os.path.relpath(job.log, sweep.directory), "error": problem}
        )
    columns = list(dict.fromkeys(column for row in rows for column in row))
    file, text = sweep.directory / "results.csv", io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(csv_heading, columns))
    writer.writerows([csv_cell(row.get(column, "")) for column in columns] for row in rows)
    write_text(file, text.getvalue())
    return file


def _summary(sweep: Sweep, job: JobState) -> tuple[dict[str, float | str | None], str]:
    """The metrics of a run's summary, and in one line what keeps it from being read."""
    file = job.directory / "summary.json"
    if not os.path.lexists(file):  # a script of the user's own need not write one
        return {}, job.error
    if not inside(sweep.directory, file):
        return {}, f"{file} is a link out of the sweep"
    try:
        summary = read_json(file, dict[str, Any], fix="run the job again", largest=SUMMARY)
    except ValueError as error:
        return {}, str(error)
    kept = {name: value for name, value in summary.items() if "/" in name or name == RECOGNITION}
    return {name: value for name, value in kept.items() if isinstance(value, PLAIN)}, job.error


def report_results(sweep: Sweep, jobs: Sequence[JobState]) -> None:
    """Print the failures and the table, write results.csv, and say how the jobs that failed are run again."""
    print_failures(jobs)
    print()
    print_table(sweep, jobs)
    print(f"results: {write_results(sweep, jobs)}")
    num_bad = sum(not job.is_good for job in jobs)
    if num_bad:
        print(f"{num_bad} of {len(jobs)} jobs have no good result; run again what has none:")
        print(f"    {sweep_command('resume', sweep.directory)}")
