"""The results of a sweep: the table, best first by its objective, and the picture."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from matplotlib.axes import Axes
from omegaconf import OmegaConf
from rich.console import Console

from deepdraw.sweep.backends import states
from deepdraw.sweep.job import find_objective
from deepdraw.sweep.plot import plot_comparison
from deepdraw.sweep.record import write_sweep
from deepdraw.sweep.submission import check_direction, find_better
from deepdraw.sweep.table import job_line, print_failures, print_table, ranked, write_results
from tests.runtime.sweeps.conftest import report


def test_the_table_is_best_first_and_says_what_failed(mixed):
    console = Console(width=160, file=io.StringIO())
    print_table(mixed, states(mixed), console)
    printed = console.file.getvalue()
    lines = [line for line in printed.splitlines() if "e-" in line]
    assert ["1e-3" in lines[0], "1e-4" in lines[1], "3e-4" in lines[2]] == [True] * 3
    assert "optimizer.lr" in printed
    assert "job 1: RuntimeError: it broke" in printed


def test_the_table_has_images_per_second_where_jobs_measured_them(mixed):
    def printed() -> str:
        console = Console(width=160, file=io.StringIO())
        print_table(mixed, states(mixed), console)
        return console.file.getvalue()

    assert "images/s" not in printed()  # as in a sweep of frozen encoders, whose features are cached
    (mixed.jobs[2].directory / "metrics.csv").write_text("epoch,val/top1,train/images_per_second\n1,0.9,1234.5\n")
    assert "images/s" in printed()
    assert "1,23" in printed()


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
