"""SLURM takes the machine back: the job saves at the next step and goes on where it stood, in the same directory."""

from __future__ import annotations

import time

import pytest

from tests.slurm.conftest import disturb, wait_for

pytestmark = pytest.mark.slow

DISTURBANCES = [("requeue", "main"), ("usr2", "main"), ("high", "main"), ("high", "grace")]


@pytest.mark.parametrize(("how", "partition"), DISTURBANCES)
def test_a_disturbed_job_goes_on_from_its_last_step(submit, how, partition):
    sweep = submit("steps=60", f"hydra.launcher.partition={partition}", "hydra.launcher.wait=false")
    sweep.wait_until("RUNNING")
    time.sleep(2)
    disturb(how, sweep.ids[0])
    sweep.wait_until("", seconds=200)
    progress = sweep.progress()
    assert progress["step"] == 60
    assert len(progress["starts"]) == 2 and progress["starts"][1] > 0, progress
    assert sweep.command("collect").returncode == 0


def test_usr2_before_a_job_can_answer_is_granted_after_its_first_step(submit):
    sweep = submit("steps=20", "hydra.launcher.wait=false")
    log = sweep.directory / f"logs/{sweep.ids[0]}_0_log.out"
    wait_for(log)
    while not (sweep.directory / "0/job.json").exists():
        disturb("usr2", sweep.ids[0])
    sweep.wait_until("", seconds=200)
    assert sweep.progress() == {"step": 20, "starts": [0, 1]}
    assert sweep.command("collect").returncode == 0
