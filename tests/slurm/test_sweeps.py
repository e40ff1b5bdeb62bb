"""A sweep on a real SLURM cluster: submitted, followed, its results kept and its failures told."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.slurm.conftest import HERE, ROOT, run


def test_good_results_are_kept_beside_jobs_that_raise_are_killed_or_take_too_much_memory(submit, accounting):
    sweep = submit("lr=0.1,0.2", "does=return,raise,kill,memory", "hydra.sweeper.max_batch_size=null")
    assert sweep.launcher.returncode == 1, sweep.launcher.stderr
    printed = sweep.launcher.stdout
    assert "submitted 8 jobs" in printed and str(sweep.directory / "logs") in printed and "val/top1" in printed
    assert 'raise ValueError(f"lr={cfg.lr} cannot be on rank {rank}")' in printed
    first, second, *bad = sweep.results
    assert [(row["lr"], row["does"], row["state"]) for row in (first, second)] == [
        ("0.2", "return", "COMPLETED"),
        ("0.1", "return", "COMPLETED"),
    ]
    assert {row["state"] for row in bad} == {"FAILED"}
    causes = {row["does"]: row["cause"] for row in bad}
    assert (causes["kill"], causes["memory"]) == ("SIGKILL", "OUT_OF_MEMORY")
    logs = {row["does"]: Path(sweep.directory / row["log"]).read_text() for row in bad}
    assert "ValueError: lr=0.2 cannot be on rank 0" in logs["raise"]

    states = run("sacct", "-X", "-n", "-P", "-j", sweep.ids[0].partition("_")[0], "-o", "State")
    if states.returncode == 0:
        assert sorted(states.stdout.split()) == ["COMPLETED"] * 2 + ["FAILED"] * 6

    assert sweep.command("resume").returncode == 0
    assert [len(job["ids"]) for job in sweep.jobs] == [1, 2, 2, 2, 1, 2, 2, 2]


def test_a_launcher_that_does_not_wait_or_is_killed_loses_nothing(submit):
    sweep = submit("lr=0.1,0.2,0.3", "hydra.launcher.wait=false")
    assert sweep.launcher.returncode == 0, sweep.launcher.stderr
    for number in range(3):
        sweep.wait_until("", number=number)
    assert sweep.command("collect").returncode == 0
    assert [row["lr"] for row in sweep.results] == ["0.3", "0.2", "0.1"]


def test_ctrl_c_says_how_to_come_back_and_ends_no_job(cluster, tmp_path):
    command = [
        sys.executable,
        str(HERE / "stub.py"),
        "-m",
        "lr=0.1",
        "steps=30",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), **_environment()}
    ) as launcher:
        assert launcher.stdout is not None
        while "where they are" not in (line := launcher.stdout.readline()):
            assert line
        launcher.send_signal(signal.SIGINT)
        said, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert f"python -m deepdraw.sweep status {tmp_path / 'sweep'}" in said
    job = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"][0]["ids"][-1]
    assert run("squeue", "-h", "-j", job, "-o", "%T").stdout.strip() in ("PENDING", "RUNNING")
    run("scancel", job)


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


HELD = ("hydra.launcher.wait=false", "+hydra.launcher.additional_parameters={hold: true}")


def edited(tmp_path: Path) -> Path:
    """A copy of the stub that a test may edit."""
    shutil.copytree(HERE / "conf", tmp_path / "own/conf")
    return shutil.copy(HERE / "stub.py", tmp_path / "own/stub.py")


def test_what_is_edited_while_jobs_wait_changes_nothing_in_them(submit, tmp_path):
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
