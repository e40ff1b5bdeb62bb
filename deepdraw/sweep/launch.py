"""What both launchers do with a batch of jobs: write and submit it, wait for the jobs, return their results."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from deepdraw.runtime import sweep_command, sweep_end
from deepdraw.sweep.backends import BACKENDS, states
from deepdraw.sweep.record import Sweep, read_sweep
from deepdraw.sweep.submission import job_returns, write_jobs
from deepdraw.sweep.table import job_line, report_results

BASIC = "basic_sweeper"  # which would raise the first failure, although the failures of all jobs are printed already
SHORTEST, LONGEST = 1.0, 15.0  # seconds between two looks at the jobs, fewer in a sweep that has just begun
LOOKS_TO_CONFIRM = 2  # looks that must find a job ended: its report may come late over a network file system


def launch_jobs(batch: tuple[Any, ...], options: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[JobReturn]:
    """Submit a batch of jobs and return their results when all have ended; nothing with `wait: false`.

    batch: the positional arguments of `write_jobs`; options: its keywords; parameters: the rest of `hydra.launcher`.
    Leaves with one line where the jobs cannot be submitted, and after Ctrl-C, which leaves those of SLURM alone.
    """
    with sweep_end(batch[0].hydra.sweep.dir):
        return _launch(batch, options, parameters)


def _launch(batch: tuple[Any, ...], options: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[JobReturn]:
    config, first = batch[0], batch[-1]
    directory, backend = Path(config.hydra.sweep.dir), BACKENDS[options["launcher"]]
    is_basic, waits = BASIC in config.hydra.sweeper._target_, parameters.get("wait", True)
    if not waits and not is_basic:
        raise ValueError("this sweeper chooses jobs by the results of others: set hydra.launcher.wait=true")
    backend.check(directory, parameters)
    sweep, jobs = write_jobs(*batch, **options)
    progress = backend.submit(sweep, jobs, parameters)
    if progress == "submitted" and not waits:
        print(f"their results, when they have ended: {sweep_command('collect', directory)}")
        return []
    if progress == "submitted":
        follow(read_sweep(directory), [job.number for job in jobs])
    sweep = read_sweep(directory)
    ended = states(sweep)
    report_results(sweep, ended)
    if progress == "stopped":
        sys.exit(130)
    if is_basic and not all(job.is_good for job in ended):
        sys.exit(1)
    return job_returns(ended[first:])


def follow(sweep: Sweep, numbers: Sequence[int]) -> None:
    """Wait for the jobs with these numbers to end, and print a line for each that does."""
    begin = time.monotonic()
    looks_ended = dict.fromkeys(numbers, 0)
    while looks_ended:
        waiting = [job for job in sweep.jobs if job.number in looks_ended]
        for state in states(replace(sweep, jobs=waiting)):
            looks_ended[state.number] = 0 if state.is_alive else looks_ended[state.number] + 1
            if state.is_good or looks_ended[state.number] >= LOOKS_TO_CONFIRM:
                del looks_ended[state.number]
                print(f"[{len(numbers) - len(looks_ended)}/{len(numbers)}] {job_line(sweep, state)}", flush=True)
        if looks_ended:
            time.sleep(min(LONGEST, SHORTEST + (time.monotonic() - begin) / 20))
