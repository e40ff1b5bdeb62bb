"""What a sweep has brought: the table in the terminal, results.csv, and what went wrong."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepdraw.runtime.sweeps import JobState, Sweep, read_sweep, states
from deepdraw.runtime.tails import last_lines, read_json

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"COMPLETED": "green", "FAILED": "bold red", "STOPPED": "yellow", "RUNNING": "cyan"}
SHOWN = 12  # lines of the end of a traceback


def ranked(jobs: Sequence[JobState]) -> list[JobState]:
    """The jobs best first: those with a result by their objective, then those that run, then the others."""

    def place(job: JobState) -> tuple[bool, bool, float, int]:
        return not job.is_good, not job.is_alive, -(float("-inf") if job.metric is None else job.metric), job.number

    return sorted(jobs, key=place)


def print_table(sweep: Sweep, jobs: Sequence[JobState], console: Console | None = None) -> None:
    """Print a line for each job, best first, and below the table the error of each that failed."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console(width=None if sys.stdout.isatty() else 160)
    keys = sweep.swept
    table = Table("job", *keys, "state")
    for heading in ("epoch", sweep.objective, "images/s"):
        table.add_column(heading, justify="right")
    table.add_column("log", overflow="fold")
    for job in ranked(jobs):
        style = STYLES.get(job.state)
        table.add_row(
            str(job.number),
            *job.values(keys),
            f"[{style}]{_state(job)}[/]" if style else _state(job),
            _text(job.epoch, "d"),
            _text(job.metric, ".4f"),
            _text(job.images_per_second, ",.0f"),
            os.path.relpath(job.log, sweep.directory),
        )
    console.print(str(sweep.directory), style="bold", soft_wrap=True, highlight=False)
    console.print(table)
    for job in jobs:
        if job.error:
            console.print(f"job {job.number}: {job.error}", soft_wrap=True, highlight=False, markup=False)


def describe(sweep: Sweep, job: JobState) -> str:
    """A job in one line."""
    settings = " ".join(f"{key}={value}" for key, value in zip(sweep.swept, job.values(sweep.swept), strict=True))
    metric = "" if job.metric is None else f"  {sweep.objective} {job.metric:.4f}"
    return f"job {job.number} {_state(job)}  {settings}{metric}" + (f"  {job.error}" if job.error else "")


def _state(job: JobState) -> str:
    return f"{job.state} ({job.cause})" if job.cause else job.state


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def print_failures(jobs: Sequence[JobState]) -> None:
    """Print the end of the traceback of each job that failed, or of its log where it left none."""
    for job in jobs:
        if job.state == "FAILED":
            lines = job.traceback.strip().splitlines()[-SHOWN:] or last_lines(job.log, SHOWN)
            print(f"\njob {job.number} {_state(job)}, {job.log}", *lines, sep="\n    ")


def write_results(sweep: Sweep, jobs: Sequence[JobState]) -> Path:
    """Write `<sweep>/results.csv`, best first: the swept keys, the state, and the metrics of each run's summary."""
    keys, rows = sweep.swept, []
    for job in ranked(jobs):
        summary = read_json(job.directory / "summary.json") if job.is_good else {}
        metrics = {name: value for name, value in summary.items() if "/" in name}
        rows.append(
            {"job": job.number}
            | dict(zip(keys, job.values(keys), strict=True))
            | {"state": job.state, "cause": job.cause, sweep.objective: job.metric, "epoch": job.epoch}
            | {"images_per_second": job.images_per_second}
            | {name: value for name, value in metrics.items() if name != sweep.objective}
            | {"directory": os.path.relpath(job.directory, sweep.directory)}
            | {"log": os.path.relpath(job.log, sweep.directory), "error": job.error}
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    file = sweep.directory / "results.csv"
    beside = file.with_name(f".{file.name}.tmp")
    with beside.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(beside, file)
    return file


def conclude(directory: Path) -> list[JobState]:
    """Print and write what the sweep has brought, failures first, and what to do about those."""
    sweep = read_sweep(directory)
    jobs = states(sweep)
    print_failures(jobs)
    print()
    print_table(sweep, jobs)
    print(f"results: {write_results(sweep, jobs)}")
    num_bad = sum(not job.is_good for job in jobs)
    if num_bad:
        print(f"{num_bad} of {len(jobs)} jobs have no good result; run again what has none:")
        print(f"    python -m deepdraw.sweep resume {directory}")
    return jobs
