"""SLURM takes the machine back: the job saves at the next step and goes on where it stood, in the same directory."""

from __future__ import annotations

import time

import pytest

from tests.slurm.conftest import disturb

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
