"""Sweeps of a stub on the SLURM cluster that is up; without one these tests skip. `.ci/run` starts one."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, the project importable beside what PYTHONPATH names."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def disturb(how: str, job: str) -> None:
    """Do to a job that runs what SLURM and its users do: `requeue` it, send it `usr2`, take its node for `high`.

    `limit`: let it stand still until SLURM warns it of its time limit, which sends it on, however fast this machine is.
    """
    if how == "requeue":
        assert run("scontrol", "requeue", job).returncode == 0
    elif how == "usr2":
        assert run("scancel", "--signal=USR2", job).returncode == 0
    elif how == "limit":
        assert run("scancel", "--signal=STOP", job).returncode == 0
    else:
        node = run("squeue", "-h", "-j", job, "-o", "%N").stdout.strip()
        whole = ["sbatch", "-p", "high", f"--nodelist={node}", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 5"]
        subprocess.run(whole, check=True, capture_output=True)


def wait_for(file: Path, seconds: float = 120) -> None:
    """Until there is something in a file that a job writes."""
    end = time.monotonic() + seconds
    while not (file.exists() and file.stat().st_size):
        assert time.monotonic() < end, f"{file} has not come"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def cluster() -> None:
    """A SLURM controller that answers."""
    if shutil.which("scontrol") is None or "is UP" not in run("scontrol", "ping").stdout:
        pytest.skip("no SLURM cluster answers: start one and set SLURM_CONF")


@pytest.fixture(scope="session")
def accounting(cluster: None) -> None:
    """One that keeps books."""
    if run("sacct", "--noheader").returncode:
        pytest.skip("this SLURM keeps no accounting")


@dataclass
class Submitted:
    """A sweep's directory, and how its launcher ended and what it printed."""

    directory: Path
    launcher: subprocess.CompletedProcess[str]

    @property
    def jobs(self) -> list[dict]:
        return json.loads((self.directory / "sweep.json").read_text())["jobs"]

    @property
    def ids(self) -> list[str]:
        return [job["ids"][-1] for job in self.jobs]

    @property
    def results(self) -> list[dict[str, str]]:
        with (self.directory / "results.csv").open() as file:
            return list(csv.DictReader(file))

    def progress(self, number: int = 0) -> dict:
        """The steps of a stub's run, and those from which it started."""
        return json.loads((self.directory / f"{number}/checkpoints/last.pt").read_text())

    def booked_states(self) -> list[str]:
        """What sacct says of each job, as far as it has heard of them."""
        array = self.ids[0].partition("_")[0]
        booked = run("sacct", "-X", "-n", "-P", "-j", array, "-o", "JobID,State").stdout.split()
        return [line.partition("|")[2] for line in sorted(booked)]

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m deepdraw.sweep NAME`."""
        return run(sys.executable, "-m", "deepdraw.sweep", name, str(self.directory), *arguments)

    def wait_until(self, *states: str, number: int = 0, seconds: float = 120) -> None:
        """Until the job is in one of these states, RUNNING by its own word; an empty one is no longer in the queue."""
        end = time.monotonic() + seconds
        while True:
            state = run("squeue", "-h", "-j", self.ids[number], "-o", "%T").stdout.strip()
            begun = self.directory / f"{number}/job.json"
            if state in states and (state != "RUNNING" or begun.exists()):
                return
            assert time.monotonic() < end, f"{state!r} is none of {states}"
            time.sleep(0.2)


Submit = Callable[..., Submitted]


@pytest.fixture
def submit(cluster: None, tmp_path: Path) -> Submit:
    """Sweep the stub, or a copy of it, from the test's own directory; options: of Hydra, before the overrides."""

    def sweep(
        *overrides: str,
        stub: Path = HERE / "stub.py",
        directory: Path = tmp_path / "sweep",
        options: Sequence[str] = (),
    ) -> Submitted:
        command = [sys.executable, str(stub), *options, "-m", f"hydra.sweep.dir={directory}", *overrides]
        return Submitted(directory, run(*command, cwd=tmp_path))

    return sweep
