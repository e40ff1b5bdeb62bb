"""SLURM takes the machine back: the job saves at the next step and goes on where it stood, in the same directory."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.slurm.conftest import run

DISTURBANCES = ("requeue", "usr2", "high")


@pytest.mark.parametrize("how", DISTURBANCES)
def test_a_disturbed_job_goes_on_from_its_last_step(submit, how):
    sweep = submit("steps=60", "hydra.launcher.wait=false")
    sweep.wait_until("RUNNING")
    time.sleep(2)
    disturb(how, sweep.ids[0])
    sweep.wait_until("", seconds=200)
    progress = sweep.progress()
    assert progress["step"] == 60
    assert len(progress["starts"]) == 2 and progress["starts"][1] > 0, progress
    assert sweep.command("collect").returncode == 0


def disturb(how: str, job: str) -> None:
    if how == "requeue":
        assert run("scontrol", "requeue", job).returncode == 0
    elif how == "usr2":
        assert run("scancel", "--signal=USR2", job).returncode == 0
    else:
        node = run("squeue", "-h", "-j", job, "-o", "%N").stdout.strip()
        whole = ["sbatch", "-p", "high", f"--nodelist={node}", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 5"]
        subprocess.run(whole, check=True, capture_output=True)
