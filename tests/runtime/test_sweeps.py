"""The state of every job, from what it wrote itself and what squeue says of it."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.axes import Axes
from omegaconf import OmegaConf
from rich.console import Console

from deepdraw.sweep.backends import states
from deepdraw.sweep.claim import claim
from deepdraw.sweep.job import find_objective
from deepdraw.sweep.plot import plot_comparison
from deepdraw.sweep.record import Job, Sweep, read_sweep, write_sweep
from deepdraw.sweep.submission import check_direction, find_better
from deepdraw.sweep.table import job_line, print_failures, print_table, ranked, write_results


def sweep_of(directory: Path, *overrides: list[str], launcher: str = "slurm") -> Sweep:
    jobs = [Job(number, each, directory / str(number), [f"7_{number}"]) for number, each in enumerate(overrides)]
    for job in jobs:
        job.directory.mkdir(parents=True, exist_ok=True)
    (directory / "logs").mkdir(exist_ok=True)
    return write_sweep(directory, launcher, "val/top1", jobs, task="train.py", code={"digest": "0"})


def report(sweep: Sweep, number: int, state: str, **more) -> None:
    job = sweep.jobs[number]
    content = {"state": state, "id": job.ids[-1], "host": "node1", "pid": 1, **more}
    (job.directory / "job.json").write_text(json.dumps(content))


@pytest.fixture
def slurm(monkeypatch):
    """What squeue and sacct would say; `None` where the one is not there, {} where the other keeps no books."""

    said = SimpleNamespace(queue={}, account={}, num_looks=0)

    def queue_states(ids):
        said.num_looks += 1
        return said.queue

    monkeypatch.setattr("deepdraw.sweep.slurm.queue_states", queue_states)
    monkeypatch.setattr("deepdraw.sweep.slurm.account_states", lambda ids: said.account)
    return said


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return sweep_of(tmp_path, ["optimizer.lr=1e-3", "backbone=tiny"])


def test_a_written_sweep_is_read_again_after_its_directory_was_moved(tmp_path):
    write_sweep(tmp_path / "a", "slurm", "val/top1", [Job(0, ["x=1"], tmp_path / "a/0", ["3_0"])], task="train.py")
    (tmp_path / "a").rename(tmp_path / "b")
    read = read_sweep(tmp_path / "b")
    assert read.jobs == [Job(0, ["x=1"], tmp_path / "b/0", ["3_0"])]
    assert (read.launcher, read.objective, read.task) == ("slurm", "val/top1", "train.py")


def test_a_later_batch_and_a_resumed_job_join_the_others(tmp_path):
    first = sweep_of(tmp_path, ["x=1"], ["x=2"])
    later = [Job(1, ["x=2"], tmp_path / "1", ["7_1", "8_1"]), Job(2, ["x=3"], tmp_path / "2", ["8_2"])]
    now = write_sweep(tmp_path, "slurm", "val/top1", later)
    assert [job.ids for job in now.jobs] == [["7_0"], ["7_1", "8_1"], ["8_2"]]
    assert (now.task, now.submitted) == (first.task, first.submitted)


def test_a_directory_is_claimed_once(tmp_path):
    claim(tmp_path / "sweep")
    with pytest.raises(ValueError, match=r"holds a sweep.*choose another hydra.sweep.dir"):
        claim(tmp_path / "sweep")


def test_where_nothing_can_be_written_another_directory_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"nothing can be written in .*file/sweep \(Not a directory\): choose as hydra"
    ):
        claim(tmp_path / "file/sweep")

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("deepdraw.runtime.lock.create_whole", refuse)
    with pytest.raises(ValueError, match=r"\(Permission denied\): choose as hydra.sweep.dir"):
        claim(tmp_path / "sweep")


def test_a_directory_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no sweep: give the directory that the launcher printed"):
        read_sweep(tmp_path)


def test_the_swept_keys_are_those_that_differ(tmp_path):
    sweep = sweep_of(tmp_path, ["backbone=tiny", "freeze=all", "+seed=1"], ["backbone=tiny", "freeze=none", "+seed=2"])
    assert sweep.swept == ["freeze", "+seed"]


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


@pytest.fixture
def mixed(tmp_path, slurm) -> Sweep:
    sweep = sweep_of(tmp_path, ["optimizer.lr=1e-4"], ["optimizer.lr=3e-4"], ["optimizer.lr=1e-3"])
    report(sweep, 0, "COMPLETED", objective=0.7)
    report(sweep, 1, "FAILED", error="RuntimeError: it broke", traceback="Traceback\n  line\nRuntimeError: it broke")
    report(sweep, 2, "COMPLETED", objective=0.9)
    (sweep.jobs[2].directory / "summary.json").write_text(json.dumps({"test/top1": 0.85, "val/top1": 0.9, "seed": 1}))
    return sweep


def test_the_table_is_best_first_and_says_what_failed(mixed):
    console = Console(width=160, file=io.StringIO())
    print_table(mixed, states(mixed), console)
    printed = console.file.getvalue()
    lines = [line for line in printed.splitlines() if "e-" in line]
    assert ["1e-3" in lines[0], "1e-4" in lines[1], "3e-4" in lines[2]] == [True] * 3
    assert "optimizer.lr" in printed
    assert "job 1: RuntimeError: it broke" in printed


def test_the_results_are_best_first_with_the_swept_keys_and_the_summaries_metrics(mixed):
    with write_results(mixed, states(mixed)).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer.lr"] for row in rows] == ["1e-3", "1e-4", "3e-4"]
    assert (rows[0]["val/top1"], rows[0]["test/top1"], rows[1]["test/top1"]) == ("0.9", "0.85", "")
    assert (rows[2]["state"], rows[2]["error"]) == ("FAILED", "RuntimeError: it broke")


def test_a_job_in_one_line(mixed):
    assert job_line(mixed, states(mixed)[2]) == "job 2 COMPLETED  optimizer.lr=1e-3  val/top1 0.9000"


def test_failures_show_the_end_of_their_tracebacks(mixed, capsys):
    print_failures(states(mixed))
    printed = capsys.readouterr().out
    assert "job 1 FAILED" in printed
    assert "    RuntimeError: it broke" in printed


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


def claim_and_die(directory: Path) -> None:
    claim(directory)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_claim_dies_with_its_process(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert (tmp_path / "claim.lock").exists()
    claim(tmp_path).release()


def test_a_claim_says_whose_it_is(tmp_path):
    claimed = claim(tmp_path)
    with pytest.raises(ValueError, match=rf"that process {os.getpid()} on .* is starting \(if it is gone, remove "):
        claim(tmp_path)
    claimed.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jobs", "code", "logs", "multirun.yaml"])
def test_a_directory_in_which_links_lead_elsewhere_is_not_claimed(tmp_path, name):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / name).symlink_to("../elsewhere")
    with pytest.raises(ValueError, match=rf"{name} is a link: remove it, or choose another hydra\.sweep\.dir"):
        claim(tmp_path / "sweep")
    assert os.listdir(tmp_path / "sweep") == [name]


def test_of_losses_the_lowest_comes_first_everywhere(mixed):
    by_loss = replace(mixed, objective="val/loss")
    with write_results(by_loss, states(by_loss)).open(newline="") as file:
        assert [row["val/loss"] for row in csv.DictReader(file)] == ["0.7", "0.9", ""]
    assert [job.number for job in ranked(by_loss, states(by_loss))] == [0, 2, 1]
    assert [job.number for job in ranked(mixed, states(mixed))] == [2, 0, 1]


@pytest.mark.parametrize(("better", "order"), [("lower", [0, 2, 1]), ("higher", [2, 0, 1])])
def test_of_a_metric_of_ones_own_the_best_comes_first_as_the_metric_says(mixed, better, order):
    by_doubt = write_sweep(mixed.directory, "slurm", "val/doubt", mixed.jobs, better=better)
    again = write_sweep(mixed.directory, "slurm", "val/doubt", mixed.jobs[:1])  # a resumed job keeps it
    assert again == by_doubt
    with write_results(again, states(again)).open(newline="") as file:
        assert [int(row["job"]) for row in csv.DictReader(file)] == order
    assert [job.number for job in ranked(again, states(again))] == order


@pytest.mark.parametrize(("objective", "better", "best"), [("val/doubt", True, "b"), ("val/doubt", None, "c")])
@pytest.mark.parametrize("number", [1, 2])
def test_the_picture_has_the_best_bar_on_top(tmp_path, monkeypatch, objective, better, best, number):
    drawn, barh = [], Axes.barh
    monkeypatch.setattr(Axes, "barh", lambda axes, names, *more, **how: drawn.append(names) or barh(axes, names, *more))
    keys, settings = (["freeze"], ["seed", "freeze"])[number - 1], [["a"], ["b"], ["c"]]
    settings = [["1", *setting][-number:] for setting in settings]
    plot_comparison(keys, settings, [0.2, 0.1, 0.3], objective, tmp_path / "x.png", is_lower_better=better)
    assert drawn[0][-1] == best  # bars are drawn from below


class Doubt:
    """A metric of the user's own of which less is better."""

    name, title, unit, better = "doubt", "doubt", "", "lower"

    def __call__(self, predictions):
        return 0.0


def test_a_metric_of_ones_own_says_in_which_direction_a_sweeper_is_to_search():
    config = OmegaConf.create({"metric": {"any": {"_target_": f"{__name__}.Doubt"}}, "hydra": {"sweeper": {}}})
    config.hydra.launcher = {"objective": "val/doubt"}
    assert find_better("val/doubt", [OmegaConf.create({}), config]) == "lower"
    assert find_better("val/top1", [config]) is None
    config.hydra.sweeper.direction = "minimize"
    check_direction(config)
    config.hydra.sweeper.direction = "maximize"
    with pytest.raises(ValueError, match=r"the worst val/doubt: set hydra\.sweeper\.direction=minimize$"):
        check_direction(config)


@pytest.mark.parametrize(
    ("objective", "returned", "expected"),
    [("val/loss", 0.9, 1.5), ("val/top1", 0.1, 0.9), ("test/top1", 0.9, 0.85)],
)
def test_a_jobs_objective_is_the_metric_of_that_name_whatever_its_main_returns(tmp_path, objective, returned, expected):
    (tmp_path / "summary.json").write_text(json.dumps({"val/top1": 0.9, "val/loss": 1.5, "test/top1": 0.85, "seed": 1}))
    assert find_objective(tmp_path, objective, returned) == (expected, "")


def test_a_script_without_metrics_is_compared_by_what_its_main_returns(tmp_path):
    assert find_objective(tmp_path, "score", 3) == (3.0, "")
    assert find_objective(tmp_path, "score", float("nan")) == find_objective(tmp_path, "score", None) == (None, "")


def test_an_objective_that_no_run_measures_is_told_apart_from_a_failure(sweep, slurm):
    (sweep.jobs[0].directory / "summary.json").write_text(json.dumps({"val/top1": 0.9, "val/loss": 1.5}))
    found, missing = find_objective(sweep.jobs[0].directory, "val/lss", 0.9)
    assert (found, missing) == (None, "the run measured no val/lss: choose hydra.launcher.objective=val/loss")
    report(sweep, 0, "COMPLETED", error=missing)
    (job,) = states(sweep)
    assert (job.is_good, job.metric, job.error) == (True, None, missing)


@pytest.mark.parametrize(
    ("objective", "direction", "fix"),
    [("val/loss", "maximize", "minimize"), ("val/top1", "minimize", "maximize"), ("val/ece", "minimize", None)],
)
def test_a_sweeper_does_not_search_for_the_worst_objective(objective, direction, fix):
    config = OmegaConf.create({"hydra": {"launcher": {"objective": objective}, "sweeper": {"direction": direction}}})
    if fix is None:
        check_direction(config)
        return
    with pytest.raises(ValueError, match=f"the worst {objective}: set hydra.sweeper.direction={fix}$"):
        check_direction(config)
