"""`python -m deepdraw.sweep`: what became of a sweep, from its directory and Slurm's commands alone."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from deepdraw.sweep.__main__ import main
from deepdraw.sweep.record import Job, Sweep, read_sweep, write_sweep


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of Slurm's names that answer what they are told to; what they are asked is noted in `asked`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def says(**answers: str) -> None:
        for command, answer in answers.items():
            (folder / f"{command}.txt").write_text(answer)
            script = f"#!/bin/sh\necho {command} $@ >> {tmp_path}/asked\ncat {folder}/{command}.txt\n"
            (folder / command).write_text(script)
            (folder / command).chmod(0o755)

    says(squeue="", sacct="", scancel="")
    return says


@pytest.fixture
def sweep(tmp_path, slurm) -> Sweep:
    """Four jobs: a good one, one that raised, one that runs, one that waits."""
    directory = tmp_path / "sweep"
    rates = ["1e-4", "3e-4", "1e-3", "3e-3"]
    jobs = [Job(n, [f"optimizer.lr={rate}"], directory / str(n), [f"7_{n}"]) for n, rate in enumerate(rates)]
    for job in jobs:
        job.directory.mkdir(parents=True)
        config = {"optimizer": {"lr": 1.0}, "hydra": {"launcher": {"mem_gb": 32, "timeout_min": 60}}}
        (directory / "jobs").mkdir(exist_ok=True)
        OmegaConf.save(OmegaConf.create(config), directory / f"jobs/{job.number}.yaml")
    finish(jobs[0], objective=0.8)
    failure = {"error": "RuntimeError: it broke", "traceback": "Traceback:\n  train.py\nRuntimeError: it broke"}
    (jobs[1].directory / "job.json").write_text(json.dumps({"state": "FAILED", "id": "7_1", **failure}))
    slurm(squeue="7_2|RUNNING\n7_3|PENDING", sacct="7_0|COMPLETED|0:0\n7_1|OUT_OF_MEMORY|0:125")
    return write_sweep(directory, "slurm", "val/top1", jobs, task="train.py", code={"digest": "0"})


def finish(job: Job, objective: float) -> None:
    report = {"state": "COMPLETED", "id": job.ids[-1], "objective": objective}
    (job.directory / "job.json").write_text(json.dumps(report))


def test_status_shows_every_job(sweep, capsys):
    assert main(["status", str(sweep.directory)]) == 0
    printed = capsys.readouterr().out
    for part in ("3e-3", "0.8000", "FAILED (OUT_OF_MEMORY)", "RuntimeError: it broke"):
        assert part in printed
    assert "1 COMPLETED, 1 FAILED, 1 RUNNING, 1 PENDING" in printed


def test_collect_writes_the_results_and_a_picture_and_fails_where_a_job_has_none(sweep, capsys):
    assert main(["collect", str(sweep.directory)]) == 1
    printed = capsys.readouterr().out
    assert "    RuntimeError: it broke" in printed
    assert f"python -m deepdraw.sweep resume {sweep.directory}" in printed
    with (sweep.directory / "results.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["COMPLETED", "RUNNING", "PENDING", "FAILED"]
    assert (sweep.directory / "results.png").stat().st_size > 5000


def test_collect_is_content_where_every_job_has_its_result(sweep):
    for job in sweep.jobs:
        finish(job, objective=job.number / 4)
    assert main(["collect", str(sweep.directory)]) == 0


def test_resume_is_refused_while_jobs_run_or_wait(sweep, capsys):
    assert main(["resume", str(sweep.directory)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: jobs 2, 3 of {sweep.directory} still run or wait: let them end, or cancel")
    assert message.count("\n") == 1


@pytest.fixture
def submitted(monkeypatch) -> list:
    """What would be submitted: numbers of jobs and launcher parameters."""
    calls = []

    def submit(directory, jobs, parameters):
        calls.append(([job.number for job in jobs], parameters))
        return [f"8_{job.number}" for job in jobs]

    monkeypatch.setattr("deepdraw.sweep.slurm.submit", submit)
    return calls


def test_resume_submits_again_what_has_no_good_result_with_the_launchers_settings_changed(sweep, slurm, submitted):
    slurm(squeue="", sacct="7_0|COMPLETED|0:0\n7_1|FAILED|1:0\n7_2|OUT_OF_MEMORY|0:125\n7_3|CANCELLED by 0|0:0")
    assert main(["resume", str(sweep.directory), "mem_gb=64"]) == 0
    assert submitted == [([1, 2, 3], {"mem_gb": 64, "timeout_min": 60})]
    assert [job.ids for job in read_sweep(sweep.directory).jobs] == [["7_0"], *(["7_" + n, "8_" + n] for n in "123")]


def test_resume_has_nothing_to_do_where_all_is_good(sweep, submitted, capsys):
    for job in sweep.jobs:
        finish(job, objective=0.5)
    assert main(["resume", str(sweep.directory)]) == 0
    assert "all 4 jobs have their result" in capsys.readouterr().out
    assert submitted == []


def test_cancel_ends_what_runs_and_what_waits(sweep, tmp_path, capsys):
    assert main(["cancel", str(sweep.directory)]) == 0
    assert "scancel 7_2 7_3\n" in (tmp_path / "asked").read_text()
    assert "cancelled jobs 2, 3" in capsys.readouterr().out


def test_a_misspelt_launcher_setting_is_refused(sweep, slurm, submitted, capsys):
    slurm(squeue="", sacct="")
    assert main(["resume", str(sweep.directory), "mem_bg=64"]) == 1
    assert "mem_bg is no setting of this launcher: choose mem_gb, timeout_min" in capsys.readouterr().err
    assert submitted == []


@pytest.mark.parametrize("command", ["status", "collect", "resume", "cancel"])
def test_a_directory_without_a_sweep_gets_one_line(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {tmp_path} holds no sweep: ")
    assert message.count("\n") == 1


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("status", "collect", "resume", "cancel"))


def test_the_sweep_directory_may_be_given_from_anywhere(sweep, monkeypatch, capsys):
    monkeypatch.chdir(sweep.directory.parent)
    assert main(["status", "sweep"]) == 0
    assert str(Path(sweep.directory)) in capsys.readouterr().out
