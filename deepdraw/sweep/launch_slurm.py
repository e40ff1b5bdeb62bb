"""From a batch of overrides to their results, by way of SLURM."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from deepdraw.runtime import failure_line
from deepdraw.sweep import slurm
from deepdraw.sweep.estimate import estimate
from deepdraw.sweep.record import Job, Sweep, write_sweep
from deepdraw.sweep.states import states
from deepdraw.sweep.submission import returns, write_jobs
from deepdraw.sweep.table import conclude, describe

BASIC = "basic_sweeper"  # which would raise the first failure, as if more had not been said of it already
SHORTEST, LONGEST = 1.0, 15.0  # seconds between two looks at the jobs, fewer in a sweep that has just begun
LOOKS_TO_CONFIRM = 2  # looks that must find a job ended: its report may come late over a network file system


def launch_on_slurm(
    batch: tuple[Any, ...], about: Mapping[str, Any], parameters: Mapping[str, Any], wait: bool
) -> list[JobReturn]:
    """Submit a batch of jobs and, with `wait`, return their results when all have ended; nothing without.

    batch and about: what `write_jobs` takes. parameters: the rest of `hydra.launcher`. Leaves with one line where the
    jobs cannot be submitted.
    """
    directory, first = Path(batch[0].hydra.sweep.dir), batch[-1]
    is_basic = BASIC in batch[0].hydra.sweeper._target_
    if not wait and not is_basic:
        sys.exit("error: this sweeper chooses jobs by the results of others: set hydra.launcher.wait=true")
    try:
        slurm.check(directory, parameters)
        sweep, jobs = write_jobs(*batch, **about)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {failure_line(error)}")
    if cost := estimate(directory, jobs, parameters, Path(batch[0].hydra.runtime.cwd)):
        print(cost, flush=True)
    try:
        ids = slurm.submit(directory, jobs, parameters)
    except ValueError as error:
        sys.exit(f"error: {failure_line(error)}")
    jobs = [replace(job, ids=[*job.ids, number]) for job, number in zip(jobs, ids, strict=True)]
    sweep = write_sweep(directory, sweep.launcher, sweep.objective, jobs)
    arrays = ", ".join(dict.fromkeys(number.partition("_")[0] for number in ids))
    try:
        print(f"submitted {len(jobs)} jobs as {arrays}; {sweep.objective} is compared; logs in {directory / 'logs'}")
        print(f"where they are: python -m deepdraw.sweep status {directory}", flush=True)
        if not wait:
            print(f"what they brought, when they have ended: python -m deepdraw.sweep collect {directory}")
            return []
        follow(sweep, jobs)
    except KeyboardInterrupt:
        print("\nthe jobs go on without this process. To come back to them:")
        for command in ("status", "collect", "cancel"):
            print(f"    python -m deepdraw.sweep {command} {directory}")
        sys.exit(130)
    try:
        ended = conclude(directory)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {failure_line(error)}")
    if is_basic and not all(job.is_good for job in ended):
        sys.exit(1)
    return returns(ended[first:])


def follow(sweep: Sweep, jobs: Sequence[Job]) -> None:
    """Wait for these jobs to end, and print a line for each that does."""
    begin = time.monotonic()
    looks_ended = {job.number: 0 for job in jobs}
    while looks_ended:
        waiting = [job for job in jobs if job.number in looks_ended]
        for state in states(replace(sweep, jobs=waiting)):
            looks_ended[state.number] = 0 if state.is_alive else looks_ended[state.number] + 1
            if state.is_good or looks_ended[state.number] >= LOOKS_TO_CONFIRM:
                del looks_ended[state.number]
                print(f"[{len(jobs) - len(looks_ended)}/{len(jobs)}] {describe(sweep, state)}", flush=True)
        if looks_ended:
            time.sleep(min(LONGEST, SHORTEST + (time.monotonic() - begin) / 20))
