"""A sweep on a real SLURM cluster: submitted, followed, its results kept and its failures told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.slurm.conftest import HERE, ROOT, Submitted, run

pytestmark = pytest.mark.slow


def test_good_results_are_kept_beside_jobs_that_raise_or_are_killed(submit):
    sweep = submit("lr=0.1,0.2", "does=return,raise,kill")
    assert sweep.launcher.returncode == 1, sweep.launcher.stderr
    printed = sweep.launcher.stdout
    assert "submitted 6 jobs" in printed and str(sweep.directory / "logs") in printed and "val/top1" in printed
    assert 'raise ValueError(f"lr={cfg.lr} cannot be on rank {rank}")' in printed
    first, second, *bad = sweep.results
    assert [(row["lr"], row["does"], row["state"]) for row in (first, second)] == [
        ("0.2", "return", "COMPLETED"),
        ("0.1", "return", "COMPLETED"),
    ]
    assert [row["state"] for row in bad] == ["FAILED"] * 4
    assert {row["cause"] for row in bad if row["does"] == "kill"} == {"SIGKILL"}
    (raised,) = (row for row in bad if (row["lr"], row["does"]) == ("0.2", "raise"))
    assert "ValueError: lr=0.2 cannot be on rank 0" in (sweep.directory / raised["log"]).read_text()

    assert sweep.command("resume").returncode == 0
    assert [len(job["ids"]) for job in sweep.jobs] == [1, 2, 2, 1, 2, 2]


def test_slurms_own_books_say_failed_of_jobs_that_raise_are_killed_or_take_too_much_memory(submit, accounting):
    sweep = submit("does=return,raise,kill,memory")
    end = time.monotonic() + 60
    while (states := sweep.booked_states()) != ["COMPLETED", *["FAILED"] * 3]:  # written some time after the end
        assert time.monotonic() < end, states
        time.sleep(0.5)


def test_a_job_that_takes_too_much_memory_fails_with_that_cause(submit, accounting):
    sweep = submit("lr=0.1,0.2", "does=return,memory")
    assert sweep.launcher.returncode == 1, sweep.launcher.stderr
    ends = [("COMPLETED", "")] * 2 + [("FAILED", "OUT_OF_MEMORY")] * 2
    assert [(row["state"], row["cause"]) for row in sweep.results] == ends
    assert sweep.launcher.stdout.count("FAILED (OUT_OF_MEMORY)") >= 2
    assert sweep.command("resume").returncode == 0
    assert [len(job["ids"]) for job in sweep.jobs] == [1, 2, 1, 2]


def test_a_launcher_that_does_not_wait_loses_nothing(submit):
    sweep = submit("lr=0.1,0.2,0.3", "hydra.launcher.wait=false")
    assert sweep.launcher.returncode == 0, sweep.launcher.stderr
    for number in range(3):
        sweep.wait_until("", number=number)
    assert sweep.command("collect").returncode == 0
    assert [row["lr"] for row in sweep.results] == ["0.3", "0.2", "0.1"]


@contextmanager
def submitting(tmp_path: Path, *overrides: str) -> Iterator[tuple[Submitted, subprocess.Popen[str]]]:
    """A launcher that has submitted its jobs and waits for them; its output is read as far as that."""
    directory = tmp_path / "sweep"
    with subprocess.Popen(
        [sys.executable, str(HERE / "stub.py"), "-m", f"hydra.sweep.dir={directory}", *overrides],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        while "where they are" not in (line := launcher.stdout.readline()):
            assert line
        yield Submitted(directory, subprocess.CompletedProcess([], 0)), launcher


def test_what_is_collected_when_the_launcher_was_killed_is_what_it_would_have_told(submit, tmp_path):
    overrides = ["lr=0.1,0.2,0.3", "does=return,raise", "steps=10"]
    told = submit(*overrides, directory=tmp_path / "left_alone")
    with submitting(tmp_path, *overrides) as (sweep, launcher):
        launcher.kill()
    for number in range(6):
        sweep.wait_until("", number=number)
    assert sweep.command("collect").returncode == 1
    of_this_sweep = {"log"}  # a file that bears its job's id
    rows, expected = (
        [{key: cell for key, cell in row.items() if key not in of_this_sweep} for row in submitted.results]
        for submitted in (sweep, told)
    )
    assert rows == expected
    assert [row["lr"] for row in rows[:3]] == ["0.3", "0.2", "0.1"]


def test_ctrl_c_says_how_to_come_back_and_ends_no_job(cluster, tmp_path):
    with submitting(tmp_path, "lr=0.1", "steps=30") as (sweep, launcher):
        launcher.send_signal(signal.SIGINT)
        _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert f"python -m deepdraw.sweep status {sweep.directory}" in said
    assert run("squeue", "-h", "-j", sweep.ids[0], "-o", "%T").stdout.strip() in ("PENDING", "RUNNING")
    run("scancel", *sweep.ids)


HELD = ("hydra.launcher.wait=false", "+hydra.launcher.additional_parameters={hold: true}")


def edited(tmp_path: Path) -> Path:
    """A copy of the stub that a test may edit."""
    shutil.copytree(HERE / "conf", tmp_path / "own/conf")
    return shutil.copy(HERE / "stub.py", tmp_path / "own/stub.py")


def test_edits_made_while_jobs_wait_do_not_change_them(submit, tmp_path):
    stub = edited(tmp_path)
    sweep = submit("lr=0.1", *HELD, stub=stub)
    stub.write_text(stub.read_text().replace("return -abs", "return 7 + abs"))
    (tmp_path / "own/conf/stub.yaml").write_text("lr: 9")
    assert run("scontrol", "release", sweep.ids[0]).returncode == 0
    sweep.wait_until("")
    assert sweep.command("collect").returncode == 0
    assert float(sweep.results[0]["val/top1"]) == pytest.approx(-0.2)


def test_without_a_copy_of_the_code_jobs_refuse_code_that_was_edited(submit, tmp_path):
    stub = edited(tmp_path)
    sweep = submit("lr=0.1", *HELD, "hydra.launcher.snapshot=false", stub=stub)
    stub.write_text(stub.read_text() + "\n# edited\n")
    run("scontrol", "release", sweep.ids[0])
    sweep.wait_until("")
    collected = sweep.command("collect")
    assert collected.returncode == 1
    assert "has changed since this job was submitted" in collected.stdout


def test_two_sweeps_never_share_a_directory(submit, tmp_path):
    first = submit("lr=0.1", *HELD)
    second = submit("lr=0.2", *HELD)
    run("scancel", *first.ids)
    assert second.launcher.returncode == 1
    assert "holds a sweep" in second.launcher.stderr
    command = [sys.executable, str(edited(tmp_path)), "-m", "lr=0.1", *HELD]
    conf = tmp_path / "own/conf/stub.yaml"
    conf.write_text(conf.read_text().replace("${now:%Y-%m-%d}/${now:%H-%M-%S}", "now"))  # the clock stands still
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(lambda _: run(*command, cwd=tmp_path), range(2)))
    assert [launcher.returncode for launcher in done] == [0, 0], done[0].stderr + done[1].stderr
    found = sorted(folder.name for folder in (tmp_path / "sweeps").iterdir())
    assert found == ["now", "now_2"]
    for folder in found:
        run("scancel", *json.loads((tmp_path / f"sweeps/{folder}/sweep.json").read_text())["jobs"][0]["ids"])


def test_resources_that_slurm_has_not_are_refused_in_one_line(submit):
    sweep = submit("lr=0.1,0.2", "hydra.launcher.mem_gb=999")
    assert sweep.launcher.returncode == 1
    (line,) = sweep.launcher.stderr.strip().splitlines()
    assert line.startswith("error: SLURM refuses these jobs") and "mem_gb=999" in line
    assert not (sweep.directory / "sweep.json").exists()


def test_the_rank_that_fails_ends_the_job_and_tells_why(submit):
    sweep = submit("does=raise", "hydra.launcher.nodes=2")
    assert sweep.launcher.returncode == 1
    assert "ValueError: lr=0.1 cannot be on rank 1" in sweep.launcher.stdout
    assert [row["state"] for row in sweep.results] == ["FAILED"]
