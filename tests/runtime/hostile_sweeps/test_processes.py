"""Which process is a job of a sweep: no other is ever sent a signal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deepdraw.runtime.lock import Lock
from deepdraw.sweep import processes
from deepdraw.sweep.__main__ import main
from deepdraw.sweep.reports import Report
from tests.runtime.hostile_sweeps.conftest import HERE

HOSTILE_OWNERS = [-1, 0, 1, 2**31, 10**30, True, None, "1", 1.5, [], "bystander"]


@pytest.mark.parametrize("pid", HOSTILE_OWNERS)
def test_no_process_that_a_lock_names_is_sent_a_signal(sweep, pid, bystander, signals):
    pid = bystander.pid if pid == "bystander" else pid
    for machine in (json.loads(Lock(sweep / "x")._own)["machine"], "elsewhere"):
        owner = {"host": HERE, "pid": pid, "machine": machine, "since": "", "token": ""}
        (sweep / "local.lock").write_text(json.dumps(owner))
        assert main(["cancel", str(sweep)]) in (0, 1)
    assert not signals


@pytest.mark.parametrize("pid", HOSTILE_OWNERS)
def test_no_process_is_sent_a_signal_that_is_not_the_job(sweep, pid, bystander, signals):
    pid = bystander.pid if pid == "bystander" else pid
    report = {"state": "RUNNING", "id": "20260101000000_0", "host": HERE, "pid": pid}
    (sweep / "0/job.json").write_text(json.dumps(report))
    assert main(["cancel", str(sweep)]) in (0, 1)
    assert not signals


@pytest.fixture
def job(sweep) -> Iterator[Report]:
    """The report of a process with the command line of the sweep's first job."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    command += processes.job_command(sweep, 0, "20260101000000_0")[1:]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Report("RUNNING", "20260101000000_0", HERE, process.pid)


def test_a_process_is_the_job_only_of_its_own_sweep_number_and_attempt(sweep, job, tmp_path, signals):
    assert processes.is_running(sweep, 0, job)
    assert not processes.is_running(sweep, 1, job)
    assert not processes.is_running(tmp_path, 0, job)
    assert not processes.is_running(sweep, 0, replace(job, id="20260101000001_0"))
    processes.interrupt(sweep, {0: job, 1: job})
    assert [pid for pid, _ in signals] == [job.pid]


def test_a_process_is_the_job_by_whatever_path_the_sweep_is_named(sweep, job, tmp_path):
    (tmp_path / "link").symlink_to("sweep")
    assert processes.is_running(tmp_path / "link", 0, job)


def test_a_process_of_another_user_is_not_the_job(sweep, job, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not processes.is_running(sweep, 0, job)


def test_where_there_is_no_proc_the_command_line_is_asked_of_ps(sweep, job, monkeypatch):
    if shutil.which("ps") is None:
        pytest.skip("no ps")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: exists(path) and not str(path).startswith("/proc"))
    assert processes.is_running(sweep, 0, job)
    assert not processes.is_running(sweep, 1, job)
