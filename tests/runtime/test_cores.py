"""Threads follow what is granted to a process, and waiting threads sleep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepdraw.runtime import choose_threads, cores, num_cores

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 16 cores on which nothing limits a process; returns the root of its control groups."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    for name in ("SLURM_CPUS_PER_TASK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "own").write_text("0::/user/job\n")
    (tmp_path / "user/job").mkdir(parents=True)
    (tmp_path / "cpu").mkdir()
    return tmp_path


def test_a_process_that_nothing_limits_has_all_cores(machine):
    (machine / "user/job/cpu.max").write_text("max 100000\n")
    assert num_cores() == 16


@pytest.mark.parametrize(("quota", "number"), [("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1)])
@pytest.mark.parametrize("group", ["user/job", "user", "."])
def test_the_quota_of_a_control_group_or_of_one_above_it_limits(machine, group, quota, number):
    (machine / group / "cpu.max").write_text(quota)
    assert num_cores() == number


def test_the_quota_of_an_old_control_group_limits(machine):
    (machine / "own").write_text("4:cpu,cpuacct:/\n")
    (machine / "cpu/cpu.cfs_quota_us").write_text("300000\n")
    (machine / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert num_cores() == 3
    (machine / "cpu/cpu.cfs_quota_us").write_text("-1\n")  # no limit
    assert num_cores() == 16


def test_the_least_of_all_limits_counts(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert num_cores() == 6
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert num_cores() == 5


def test_threads_are_those_granted_shared_by_ranks_and_never_raised(machine, monkeypatch):
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    assert choose_threads() == "16 threads, 16 cores"
    assert chosen == []
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert choose_threads() == "6 threads, 6 of 16 cores (SLURM_CPUS_PER_TASK)"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert choose_threads().startswith("1 thread, 6 of 16 cores")
    assert chosen == [6, 1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads() == "1 thread, 6 of 16 cores (OMP_NUM_THREADS)"
    assert chosen == [6, 1]


@pytest.mark.parametrize(("given", "policy"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_of_a_command_sleep_while_they_wait_unless_the_user_says_otherwise(given, policy):
    code = "import deepdraw.runtime.startup, os; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": str(ROOT), **given}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == policy
