"""A sweep of many jobs that do nothing on SLURM: to submit them, to ask where they are, and to collect them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Column, Table

import benchmarks as bench
from deepdraw.runtime import PACKAGE
from deepdraw.sweep import Sweep, read_sweep, slurm, states

STUB = """import hydra


@hydra.main(version_base="1.3", config_path=".", config_name="stub")
def main(cfg):
    return -cfg.lr


if __name__ == "__main__":
    main()
"""
CONFIG = """lr: 0
hydra: {sweep: {dir: sweep, subdir: "${hydra.job.num}"}}
"""
LAUNCHER = ["hydra/launcher=deepdraw_slurm"]
LAUNCHER += [f"hydra.launcher.{key}" for key in ("wait=false", "cpus_per_task=1", "mem_gb=1", "timeout_min=10")]


@dataclass
class Options(bench.Options):
    """What the benchmark accepts."""

    num_jobs: int = field(default=200, metadata={"help": "jobs, each of which imports Hydra and ends"})


def run(options: Options) -> dict[str, Any]:
    """Seconds of whole commands, and how many jobs were collected."""
    with tempfile.TemporaryDirectory(dir=options.out, prefix="sweep-") as scratch:
        home = Path(scratch).absolute()
        (home / "stub.py").write_text(STUB)
        (home / "stub.yaml").write_text(CONFIG)
        jobs = [str(home / "stub.py"), "-m", f"lr=range({options.num_jobs})"]
        one_process = _seconds(home, *jobs, "hydra.sweep.dir=one_process")
        submission = _seconds(home, *jobs, *LAUNCHER)
        sweep = read_sweep(home / "sweep")
        try:
            status = ["-m", "deepdraw.sweep", "status", str(sweep.directory)]
            while_they_run = _seconds(home, *status)
            while any(job.is_alive for job in states(sweep)):
                time.sleep(5)
            after = _seconds(home, *status)
            asked = _seconds_of_slurm(sweep)
            good = sum(job.is_good and job.metric == -job.number for job in states(sweep))
        finally:  # of a benchmark that is interrupted no job is left
            slurm.cancel(sorted({job.ids[-1].partition("_")[0] for job in sweep.jobs}))
    return {
        "one_process_seconds": one_process,
        "submission_seconds": submission,
        "status_while_they_run_seconds": while_they_run,
        "status_after_seconds": after,
        "squeue_and_sacct_seconds": asked,
        "num_collected": good,
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """Each command, and what it is held against."""
    right: Any = {"justify": "right"}
    shown = Table(
        "what",
        Column("seconds", **right),
        "against",
        title=f"{options.num_jobs:,} jobs, of which {figures['num_collected']:,} were collected",
    )
    submission, after = figures["submission_seconds"], figures["status_after_seconds"]
    alone, asked = figures["one_process_seconds"], figures["squeue_and_sacct_seconds"]
    shown.add_row("Hydra's own launcher: all in one process", f"{alone:.1f}", "")
    shown.add_row("submission to SLURM", f"{submission:.1f}", f"{submission / alone:.2f} of it")
    shown.add_row("squeue and sacct", f"{asked:.2f}", "")
    shown.add_row("status, when all have ended", f"{after:.2f}", f"{after / asked:.1f} times them")
    shown.add_row("status, while they run", f"{figures['status_while_they_run_seconds']:.2f}", "")
    return shown


def _seconds(home: Path, *arguments: str) -> float:
    """What a command of Python takes; ValueError, with its last line, where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"{arguments[0]} was killed"])[-1]
        raise ValueError(last.removeprefix("error: "))
    return seconds


def _seconds_of_slurm(sweep: Sweep) -> float:
    """What SLURM takes to answer for all jobs."""
    ids = [job.ids[-1] for job in sweep.jobs]
    start = time.perf_counter()
    slurm.queue_states(ids)
    slurm.account_states(ids)
    return time.perf_counter() - start
