"""`hydra/launcher=local`: a process for each job, as many at once as there are GPUs, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from deepdraw.sweep.backends import states
from deepdraw.sweep.job_state import JobState
from deepdraw.sweep.launch_local import visible_gpus
from deepdraw.sweep.record import read_sweep

ROOT = Path(__file__).parents[2]

# Stands in for train.py: raises for x=2 and dies for x=3, until there is a file "mended"; x=0 never ends by itself,
# x=6 catches Ctrl-C and goes on, x=5 ends once there is a file "go".
STUB = """
import json, os, signal, time
from pathlib import Path
import hydra
from deepdraw.runtime.run import one_line_errors, hydra_run_directory

@hydra.main(version_base="1.3", config_path=None)
@one_line_errors
def main(cfg):
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    told = {"start": time.time(), "cwd": os.getcwd(), **{name: os.environ.get(name) for name in names}}
    mended = Path("mended").exists()
    if cfg.x == 2 and not mended:
        raise RuntimeError("two is not good")
    if cfg.x == 3 and not mended:
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.x == 0:
        time.sleep(300)
    if cfg.x == 6:
        try:
            time.sleep(300)
        except BaseException:
            time.sleep(300)
    while cfg.x == 5 and not Path("go").exists():
        time.sleep(0.1)
    (hydra_run_directory() / "told.json").write_text(json.dumps(told | {"end": time.time()}))
    return cfg.x / 10

if __name__ == "__main__":
    main()
"""


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {**inherited, "PYTHONPATH": str(ROOT), **more}


def launch(folder: Path, *overrides: str, **variables: str) -> subprocess.Popen[str]:
    (folder / "stub.py").write_text(STUB)
    (folder / "elsewhere").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "../stub.py", "-m", "hydra/launcher=deepdraw_local", "hydra.sweep.dir=sweep", *overrides],
        cwd=folder / "elsewhere",
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deepdraw.sweep", name, "sweep"],
        cwd=folder / "elsewhere",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def found(folder: Path) -> list[JobState]:
    return states(read_sweep(folder / "elsewhere/sweep"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> tuple[Path, int, str]:
    """A sweep of four jobs on two GPUs of which one job raised and one was killed: folder, exit status, output."""
    folder = tmp_path_factory.mktemp("local")
    process = launch(folder, "+x=1,2,3,4", CUDA_VISIBLE_DEVICES="5,7")
    output, _ = process.communicate(timeout=300)
    return folder, process.returncode, output


@pytest.mark.slow
def test_a_failing_job_ends_no_other_and_fails_the_sweep(ended):
    folder, status, output = ended
    assert status == 1
    assert [(job.state, job.cause) for job in found(folder)] == [
        ("COMPLETED", ""),
        ("FAILED", ""),
        ("FAILED", "SIGKILL"),
        ("COMPLETED", ""),
    ]
    assert "RuntimeError: two is not good" in output
    assert "[4/4]" in output
    rows = (folder / "elsewhere/sweep/results.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["+x", "4", "1", "2", "3"]


@pytest.mark.slow
def test_each_job_has_a_gpu_of_its_own_among_those_that_are_visible(ended):
    folder, *_ = ended
    told = [json.loads((folder / f"elsewhere/sweep/{number}/told.json").read_text()) for number in (0, 3)]
    assert {each["CUDA_VISIBLE_DEVICES"] for each in told} <= {"5", "7"}
    assert {each["cwd"] for each in told} == {str(folder / "elsewhere")}
    assert {each["OMP_NUM_THREADS"] for each in told} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


@pytest.mark.slow
def test_resume_runs_again_only_what_has_no_good_result(ended):
    folder, *_ = ended
    first = (folder / "elsewhere/sweep/0/told.json").read_bytes()
    (folder / "elsewhere/mended").touch()
    (folder / "stub.py").write_text("raise SystemExit('the code of a sweep is that of its submission')")
    done = command(folder, "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job.metric for job in found(folder)] == [0.1, 0.2, 0.3, 0.4]
    assert (folder / "elsewhere/sweep/0/told.json").read_bytes() == first


def wait_for(folder: Path, wanted: list[str]) -> None:
    for _ in range(600):
        with suppress(ValueError):  # not submitted yet
            if [job.state for job in found(folder)] == wanted:
                return
        time.sleep(0.2)
    pytest.fail(f"not {wanted}")


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", ["Ctrl-C", "cancel"])
def test_a_stopped_sweep_ends_its_jobs_and_says_how_to_go_on(tmp_path, ended_by):
    process = launch(tmp_path, "+x=0", "+y=1,2,3", "hydra.launcher.n_jobs=2", CUDA_VISIBLE_DEVICES="")
    wait_for(tmp_path, ["RUNNING", "RUNNING", "PENDING"])
    if ended_by == "cancel":
        assert command(tmp_path, "resume").returncode == 1
        assert command(tmp_path, "cancel").returncode == 0
    else:
        process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [job.state for job in found(tmp_path)] == ["STOPPED"] * 3
    assert f"python -m deepdraw.sweep resume {tmp_path / 'elsewhere/sweep'}" in output


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how a process handles signals")
def test_a_stopped_sweep_also_ends_a_job_in_which_a_library_dropped_the_interruption(tmp_path):
    process = launch(tmp_path, "+x=6", CUDA_VISIBLE_DEVICES="")
    wait_for(tmp_path, ["RUNNING"])
    time.sleep(5)  # it has reached its first sleep
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert [job.state for job in found(tmp_path)] == ["STOPPED"]


@pytest.mark.slow
def test_jobs_whose_launcher_was_killed_are_still_known(tmp_path):
    process = launch(tmp_path, "+x=0", "+y=1,2", "hydra.launcher.n_jobs=1", CUDA_VISIBLE_DEVICES="")
    wait_for(tmp_path, ["RUNNING", "PENDING"])
    process.kill()
    process.communicate()
    assert [job.state for job in found(tmp_path)] == ["RUNNING", "STOPPED"]
    assert command(tmp_path, "cancel").returncode == 0
    wait_for(tmp_path, ["STOPPED", "STOPPED"])


@pytest.mark.slow
def test_jobs_whose_launcher_was_killed_go_on_and_resume_runs_the_others(tmp_path):
    process = launch(tmp_path, "+x=5,1,4", "hydra.launcher.n_jobs=1", CUDA_VISIBLE_DEVICES="")
    wait_for(tmp_path, ["RUNNING", "PENDING", "PENDING"])
    process.kill()
    process.communicate()
    assert "still run" in command(tmp_path, "resume").stderr
    (tmp_path / "elsewhere/go").touch()
    wait_for(tmp_path, ["COMPLETED", "STOPPED", "STOPPED"])
    first = (tmp_path / "elsewhere/sweep/0/told.json").read_bytes()
    done = command(tmp_path, "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"running {tmp_path}/elsewhere/sweep/code/stub.py, by the code in ")
    assert [job.state for job in found(tmp_path)] == ["COMPLETED"] * 3
    assert (tmp_path / "elsewhere/sweep/0/told.json").read_bytes() == first


@pytest.mark.slow
def test_a_launcher_that_was_killed_before_it_had_jobs_leaves_its_directory_free(tmp_path):
    sweep = tmp_path / "elsewhere/sweep"
    process = launch(tmp_path, "+x=1,4")
    for _ in range(3000):
        if (sweep / "code/deepdraw").exists():
            break
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (sweep / "sweep.json").exists()
    assert f"{sweep.name} holds no " in command(tmp_path, "resume").stderr
    (sweep / "code/deepdraw/left_by_the_first.py").touch()
    again = launch(tmp_path, "+x=1,4")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert [job.state for job in found(tmp_path)] == ["COMPLETED"] * 2
    assert {path.name for path in sweep.iterdir()} >= {"0", "1", "code", "jobs", "logs", "sweep.json"}
    assert not (sweep / "claim.lock").exists()


def test_a_folder_named_code_that_is_no_copy_is_kept(tmp_path):
    mine = tmp_path / "elsewhere/sweep/code/mine.py"
    mine.parent.mkdir(parents=True)
    mine.touch()
    process = launch(tmp_path, "+x=1,4")
    output, _ = process.communicate(timeout=60)
    assert output.splitlines()[-1] == (
        f"error: {mine.parent} is there and no copy of a sweep's: choose another hydra.sweep.dir"
    )
    assert mine.exists()


def test_a_job_that_would_write_elsewhere_is_refused(tmp_path):
    process = launch(tmp_path, "+x=1,4", "hydra.sweep.subdir=../${hydra.job.num}")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.splitlines()[-1].endswith("choose a hydra.sweep.subdir that is")
    assert not (tmp_path / "elsewhere/sweep/sweep.json").exists()


@pytest.mark.slow
def test_a_directory_with_a_sweep_is_refused(ended):
    folder, *_ = ended
    again = launch(folder, "+x=1,2")
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 1
    assert "holds a sweep" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_package_that_a_later_batch_names_first_is_copied_too(tmp_path):
    package = tmp_path / "packages/late/__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("class Part: ...")
    batches = ["hydra.sweeper.max_batch_size=1", "+part._target_=builtins.dict,late.Part,late.Other"]
    process = launch(tmp_path, "+x=1", *batches, PYTHONPATH=os.pathsep.join([str(ROOT), str(package.parents[1])]))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    sweep = tmp_path / "elsewhere/sweep"
    assert (sweep / "code/late/__init__.py").read_text() == "class Part: ..."
    assert [job.state for job in found(tmp_path)] == ["COMPLETED"] * 3
    assert read_sweep(sweep).code["packages"] == ["late"]
    package.write_text("class Edited: ...")
    (sweep / "0/job.json").unlink()  # the first job is run again, by the code of all batches
    done = command(tmp_path, "resume")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_optuna_maximises_what_the_jobs_return(tmp_path):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.sampler.seed=1"]
    process = launch(tmp_path, *search, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "+x=interval(4,9)")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    jobs = found(tmp_path)
    assert [job.number for job in jobs] == [0, 1, 2, 3]
    best = yaml.safe_load((tmp_path / "elsewhere/sweep/optimization_results.yaml").read_text())
    assert best["best_value"] == max(job.metric for job in jobs if job.metric)
    assert best["best_params"]["+x"] == pytest.approx(10 * best["best_value"])


def test_a_sweeper_that_learns_from_results_has_to_wait_for_them(tmp_path):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "+x=interval(4,9)"]
    output, _ = launch(tmp_path, "hydra/launcher=deepdraw_slurm", "hydra.launcher.wait=false", *search).communicate()
    assert output.splitlines()[-1] == (
        "error: this sweeper chooses jobs by the results of others: set hydra.launcher.wait=true"
    )


def test_gpus_are_those_that_cuda_visible_devices_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_gpus_are_all_that_the_driver_lists(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: A'\necho '  MIG 1g'\necho 'GPU 1: B'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["0", "1"]


@pytest.mark.parametrize("sweep", ["lr", "lr_by_freeze", "optuna"])
def test_the_sweeps_need_no_numbers_typed(sweep):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"+sweep={sweep}", "hydra/launcher=local"], return_hydra_config=True)
    assert "optimizer.lr" in config.hydra.sweeper.params
    assert config.hydra.launcher.objective == "val/top1"
