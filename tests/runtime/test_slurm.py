"""What SLURM's commands answer, and what is made of it."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deepdraw.sweep import slurm
from deepdraw.sweep.record import Job

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


# Stands in for SLURM: no array of more than three jobs, no more than `$MOST` in the queue.
SBATCH = """#!/bin/sh
array=$(awk -F '[-%]' '/--array=/ {print $4}' "$1")
echo "${array:-one}" >> "$HERE/submitted"
number=$(wc -l < "$HERE/submitted")
if [ "$number" -gt "$MOST" ]; then
    echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
    exit 1
fi
echo "Submitted batch job $number"
"""
SCONTROL = """#!/bin/sh
echo "MaxArraySize            = $SIZE"
"""
SCANCEL = """#!/bin/sh
echo "$@" > "$HERE/cancelled"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    for name, script in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("scancel", SCANCEL), ("srun", "")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"HERE": tmp_path, "SIZE": 3, "MOST": 99}.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path


def submitted(directory: Path) -> list[str]:
    jobs = [Job(number, [f"x={number}"], directory / str(number)) for number in range(7)]
    resources = {"nodes": 1, "tasks_per_node": 1, "cpus_per_task": 1, "timeout_min": 5, "signal_delay_s": 60}
    return slurm.submit(directory, jobs, resources | {"array_parallelism": 256})


def test_more_jobs_than_an_array_may_have_are_submitted_as_several(cluster):
    assert submitted(cluster / "sweep") == ["1_0", "1_1", "1_2", "2_0", "2_1", "2_2", "3"]
    assert (cluster / "submitted").read_text().split() == ["2", "2", "one"]


def test_without_arrays_each_job_is_submitted_by_itself(cluster, monkeypatch):
    monkeypatch.setenv("SIZE", "0")
    assert submitted(cluster / "sweep") == ["1", "2", "3", "4", "5", "6", "7"]


def test_of_a_sweep_that_slurm_takes_in_part_no_job_is_left_behind(cluster, monkeypatch):
    monkeypatch.setenv("MOST", "2")
    with pytest.raises(ValueError, match=r"took 6 of 7 jobs, which are cancelled, .*\(QOSMaxSubmit.*sweep resume "):
        submitted(cluster / "sweep")
    assert (cluster / "cancelled").read_text().split() == ["1", "2"]


def test_ranks_without_a_gpu_each_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"tasks_per_node=4 .* there are 1: set hydra\.launcher\.gpus_per_node=4"):
        slurm.check(tmp_path / "sweep", {"gpus_per_node": 1, "tasks_per_node": 4})
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("state", ["PENDING", "REQUEUED", "COMPLETING"])
def test_a_job_that_slurm_requeues_or_ends_itself_is_left_to_it(answers, state):
    answers["squeue"] = 0, f"7_0|{state}\n", ""
    slurm.requeue("7_0")


def test_a_job_at_its_time_limit_is_requeued_by_us(monkeypatch):
    asked = []

    def ask(*command):
        asked.append(command)
        reason = command[0] == "squeue" and command[-1] == "--format=%r"
        return CompletedProcess(command, 0, "TimeLimit\n" if reason else "7_0|COMPLETING\n", "")

    monkeypatch.setattr(slurm, "_ask", ask)
    slurm.requeue("7_0")
    assert asked[-1] == ("scontrol", "requeue", "7_0")


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


def test_the_first_line_of_the_latest_start_tells_the_cause_and_not_its_consequences():
    started, killed = "submitit INFO - Starting with JobEnvironment(job_id=9)", "srun: error: node1: task 0: Killed"
    cancelled = "slurmstepd-node1: error: *** STEP 9.0 ON node1 CANCELLED AT 2026-11-24T05:17:38 ***"
    memory = "slurmstepd-node1: error: StepId=9.0 exceeded memory limit (2466357248 > 1073741824), being killed"
    assert slurm.cause_in([started, memory, cancelled, memory, killed]) == "OUT_OF_MEMORY"
    assert slurm.cause_in([started, killed, cancelled]) == "SIGKILL"
    assert slurm.cause_in([started, memory, cancelled, started, killed]) == "SIGKILL"
