"""The state of every job, from what it wrote itself and what squeue says of it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deepdraw.sweep.backends import states
from deepdraw.sweep.record import read_sweep
from deepdraw.sweep.table import print_table
from tests.runtime.sweeps.conftest import report, sweep_of


@pytest.mark.parametrize(
    ("reported", "queue", "account", "state", "cause"),
    [
        (None, "PENDING", None, "PENDING", ""),
        ("RUNNING", "RUNNING", ("RUNNING", "0:0"), "RUNNING", ""),
        ("RUNNING", "PENDING", None, "PENDING", ""),  # requeued
        ("COMPLETED", "COMPLETING", None, "COMPLETED", ""),
        ("COMPLETED", None, ("COMPLETED", "0:0"), "COMPLETED", ""),
        ("FAILED", None, ("FAILED", "1:0"), "FAILED", ""),  # its own error says more
        ("FAILED", None, ("OUT_OF_MEMORY", "0:125"), "FAILED", "OUT_OF_MEMORY"),
        ("RUNNING", None, ("OUT_OF_MEMORY", "0:125"), "FAILED", "OUT_OF_MEMORY"),
        ("RUNNING", None, ("FAILED", "0:9"), "FAILED", "SIGKILL"),
        ("RUNNING", None, ("TIMEOUT", "0:0"), "FAILED", "TIMEOUT"),
        ("RUNNING", None, ("CANCELLED by 1000", "0:15"), "FAILED", "CANCELLED"),
        ("RUNNING", None, ("COMPLETED", "0:0"), "FAILED", "ended without a result"),
        ("RUNNING", None, None, "FAILED", "ended without a result"),  # without sacct
        (None, None, ("PENDING", "0:0"), "PENDING", ""),
        (None, None, None, "STOPPED", "never started"),
    ],
)
def test_the_state_of_a_job_is_its_own_word_held_against_slurms(sweep, slurm, reported, queue, account, state, cause):
    slurm.queue = {"7_0": queue} if queue else {}
    slurm.account = {"7_0": account} if account else {}
    if reported:
        report(sweep, 0, reported, objective=0.5)
    (job,) = states(sweep)
    assert (job.state, job.cause) == (state, cause)
    assert job.is_good == (state == "COMPLETED")


def test_without_slurm_a_job_is_taken_at_its_word(sweep, slurm):
    slurm.queue = None
    assert states(sweep)[0].state == "UNKNOWN"
    report(sweep, 0, "RUNNING")
    assert states(sweep)[0].state == "RUNNING"


def test_results_of_an_earlier_attempt_are_ignored(sweep, slurm):
    report(sweep, 0, "FAILED", error="RuntimeError: once")
    sweep.jobs[0].ids.append("8_0")
    slurm.queue = {"8_0": "PENDING"}
    (job,) = states(sweep)
    assert (job.state, job.error) == ("PENDING", "")


def test_a_killed_job_shows_the_last_line_of_its_error_log(sweep, slurm):
    report(sweep, 0, "RUNNING")
    (sweep.directory / "logs/7_0_0_log.err").write_text("slurmstepd: error: oom_kill event\n\n")
    slurm.account = {"7_0": ("OUT_OF_MEMORY", "0:125")}
    (job,) = states(sweep)
    assert job.log.name == "7_0_0_log.err"
    assert job.error == "slurmstepd: error: oom_kill event"


def test_progress_is_read_from_the_end_of_a_table_that_is_being_written(sweep, slurm):
    slurm.queue = {"7_0": "RUNNING"}
    rows = ["epoch,step,train/loss,val/top1,train/images_per_second", "1,10,0.5,,80", "1,20,,0.4,", "2,30,0.4,,90"]
    (sweep.jobs[0].directory / "metrics.csv").write_text("\n".join(rows) + "\n2,4")
    (job,) = states(sweep)
    assert (job.epoch, job.metric, job.images_per_second) == (2, 0.4, 90)


def test_the_tests_own_row_counts_as_no_epoch(sweep, slurm):
    report(sweep, 0, "COMPLETED", objective=0.4)
    rows = ["epoch,step,train/loss,val/top1,test/top1", "1,10,0.5,,", "2,20,0.4,,", "2,20,,0.4,", "1,20,,,0.3"]
    (sweep.jobs[0].directory / "metrics.csv").write_text("\n".join(rows) + "\n")
    assert states(sweep)[0].epoch == 2


def test_of_two_hundred_jobs_all_is_known_by_one_look_at_the_queue(tmp_path, slurm):
    sweep = sweep_of(tmp_path, *([f"optimizer.lr={number}e-5"] for number in range(200)))
    rows = "".join(f"{step // 100},{step},0.5,{step / 1e4}\n" for step in range(5000))
    for number, job in enumerate(sweep.jobs):
        (job.directory / "metrics.csv").write_text("epoch,step,train/loss,val/top1\n" + rows)
        (tmp_path / f"logs/7_{number}_0_log.out").touch()
        report(sweep, number, "COMPLETED", objective=number / 200)
    found = states(read_sweep(tmp_path))
    print_table(sweep, found, Console(file=io.StringIO()))
    assert slurm.num_looks == 1
    assert all(job.is_good and job.epoch == 49 for job in found)
