"""Sweeps whose jobs have ended in several ways, and a squeue that says what a test wants."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepdraw.sweep.record import Job, Sweep, write_sweep


def sweep_of(directory: Path, *overrides: list[str], launcher: str = "slurm") -> Sweep:
    jobs = [Job(number, each, directory / str(number), [f"7_{number}"]) for number, each in enumerate(overrides)]
    for job in jobs:
        job.directory.mkdir(parents=True, exist_ok=True)
    (directory / "logs").mkdir(exist_ok=True)
    return write_sweep(directory, launcher, "val/top1", jobs, task="train.py", code={"digest": "0"})


def report(sweep: Sweep, number: int, state: str, **more) -> None:
    job = sweep.jobs[number]
    content = {"state": state, "id": job.ids[-1], "host": "node1", "pid": 1, **more}
    (job.directory / "job.json").write_text(json.dumps(content))


@pytest.fixture
def slurm(monkeypatch):
    """What squeue and sacct would say; `None` where the one is not there, {} where the other keeps no books."""

    said = SimpleNamespace(queue={}, account={}, num_looks=0)

    def queue_states(ids):
        said.num_looks += 1
        return said.queue

    monkeypatch.setattr("deepdraw.sweep.slurm.queue_states", queue_states)
    monkeypatch.setattr("deepdraw.sweep.slurm.account_states", lambda ids: said.account)
    return said


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return sweep_of(tmp_path, ["optimizer.lr=1e-3", "backbone=tiny"])


@pytest.fixture
def mixed(tmp_path, slurm) -> Sweep:
    sweep = sweep_of(tmp_path, ["optimizer.lr=1e-4"], ["optimizer.lr=3e-4"], ["optimizer.lr=1e-3"])
    report(sweep, 0, "COMPLETED", objective=0.7)
    report(sweep, 1, "FAILED", error="RuntimeError: it broke", traceback="Traceback\n  line\nRuntimeError: it broke")
    report(sweep, 2, "COMPLETED", objective=0.9)
    (sweep.jobs[2].directory / "summary.json").write_text(json.dumps({"test/top1": 0.85, "val/top1": 0.9, "seed": 1}))
    return sweep
