"""What SLURM's commands answer, and what is made of it."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest

from deepdraw.runtime import slurm

SACCT = """7_0|COMPLETED|0:0
7_1|FAILED|9:0
7_1.batch|FAILED|9:0
7_1.0|CANCELLED|0:9
7_2|FAILED|1:0
7_2.batch|FAILED|1:0
7_2.0|OUT_OF_MEMORY|0:125
7_3|CANCELLED by 1000|0:15
7_3.0|CANCELLED|0:9
7_[4-9]|PENDING|0:0
"""


@pytest.fixture
def answers(monkeypatch):
    """What each command answers: (status, output, errors), or None where there is none."""
    found: dict[str, tuple[int, str, str] | None] = {}

    def ask(*command):
        answer = found.get(command[0])
        return answer and CompletedProcess(command, *answer)

    monkeypatch.setattr(slurm, "_ask", ask)
    return found


def test_the_books_say_how_each_job_ended(answers):
    answers["sacct"] = 0, SACCT, ""
    assert slurm.account_states([f"7_{number}" for number in range(5)]) == {
        "7_0": ("COMPLETED", "0:0"),
        "7_1": ("FAILED", "0:9"),
        "7_2": ("OUT_OF_MEMORY", "0:125"),
        "7_3": ("CANCELLED by 1000", "0:15"),
    }


@pytest.mark.parametrize("answer", [None, (1, "", "Slurm accounting storage is disabled")])
def test_without_books_nothing_is_known(answers, answer):
    answers["sacct"] = answer
    assert slurm.account_states(["7_0"]) == {}


def test_the_queue_tells_a_job_that_is_gone_from_a_controller_that_is(answers):
    assert slurm.queue_states(["7_0"]) is None
    answers["squeue"] = 1, "", "slurm_load_jobs error: Unable to contact slurm controller"
    assert slurm.queue_states(["7_0"]) is None
    answers["squeue"] = 1, "", "slurm_load_jobs error: Invalid job id specified"
    assert slurm.queue_states(["7_0"]) == {}
    answers["squeue"] = 0, "7_0|RUNNING\n7_1|PENDING\n", ""
    assert slurm.queue_states(["7_0", "7_2"]) == {"7_0": "RUNNING"}


@pytest.mark.parametrize("state", ["PENDING", "REQUEUED", "COMPLETING"])
def test_a_job_that_slurm_requeues_or_ends_itself_is_left_to_it(answers, state):
    answers["squeue"] = 0, f"7_0|{state}\n", ""
    slurm.requeue("7_0")


def test_a_job_that_cannot_be_requeued_says_so(answers):
    answers["squeue"] = 0, "7_0|RUNNING\n", ""
    answers["scontrol"] = 1, "", "Requested operation is presently disabled"
    with pytest.raises(ValueError, match=r"presently disabled.*resume the sweep"):
        slurm.requeue("7_0")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("slurmstepd-node1: error: Exceeded job memory limit", "OUT_OF_MEMORY"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0.", "OUT_OF_MEMORY"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-11-24T02:32:12 DUE TO TIME LIMIT ***", "TIMEOUT"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-11-24T02:32:12 ***", "CANCELLED"),
        ("srun: error: node1: task 0: Killed", "SIGKILL"),
        ("my own words on task 0: Killed", ""),
    ],
)
def test_the_log_tells_the_cause_where_nothing_else_does(line, cause):
    assert slurm.cause_in(["before", line, "srun: Force Terminated StepId=9.0"]) == cause
