"""One objective says which epoch is best, when to stop early and which epochs are kept; all of it resumes."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from deepdraw.training import Objective
from tests.training.test_loop import assert_same_run, summary

FAST = ("optimizer.lr=2e-2",)  # so that validation does not get better in every epoch


def validated(run: Path, key: str) -> dict[int, float]:
    """The metric of each epoch."""
    with (run / "metrics.csv").open() as file:
        return {int(row["epoch"]): float(row[key]) for row in csv.DictReader(file) if row.get(key)}


def read(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def kept(run: Path) -> list[int]:
    return sorted(int(file.stem.removeprefix("epoch_")) for file in (run / "checkpoints").glob("epoch_*.pt"))


def test_better_is_higher_or_lower_and_never_what_is_not_finite():
    loss = Objective("val/loss", is_lower_better=True)
    assert loss.improves({"val/loss": 1.0}, {}) and loss.improves({"val/loss": 1.0}, {"val/loss": 2.0})
    assert not loss.improves({"val/loss": 2.0}, {"val/loss": 2.0})
    assert not loss.improves({"val/loss": math.nan}, {}) and not loss.improves({"val/loss": -math.inf}, {})
    assert Objective().improves({"val/top1": 0.5}, {"val/top1": 0.4})
    values = {1: 0.5, 2: 0.7, 3: 0.5, 4: 0.1}
    assert Objective().best_first(values) == [2, 1, 3, 4]
    assert loss.best_first(values) == [4, 1, 3, 2]


@pytest.mark.parametrize(("key", "choose"), [("val/loss", min), ("val/ece", min), ("val/macro_f1", max)])
def test_the_best_weights_are_those_of_the_objective(train, key, choose):
    run = train(*FAST, f"objective={key}", "train.epochs=4")
    values = validated(run, key)
    best = choose(values, key=values.__getitem__)
    assert summary(run)["val/epoch"] == best
    assert summary(run)[key] == pytest.approx(values[best], rel=1e-6)
    assert read(run / "checkpoints/best.pt")["best"]["val/epoch"] == best


def test_an_objective_that_is_not_measured_is_refused_with_the_nearest(train):
    with pytest.raises(
        SystemExit, match=r"objective=val/top2 is not measured on validation here: choose objective=val/top"
    ):
        train("objective=val/top2")
    with pytest.raises(SystemExit, match="objective=test/top1 is not measured on validation"):
        train("objective=test/top1")
    with pytest.raises(SystemExit, match="objective=val/kappa"):
        train("objective=val/kappa")


def test_a_metric_of_ones_own_is_an_objective(train):
    run = train("metric=[kappa]", "objective=val/kappa", "train.epochs=2")
    assert summary(run)["val/kappa"] == pytest.approx(max(validated(run, "val/kappa").values()), rel=1e-6)


def test_training_stops_after_epochs_without_a_better_objective(train, capsys):
    run = train(*FAST, "objective=val/loss", "train.epochs=12", "train.early_stopping=1")
    losses = validated(run, "val/loss")
    best = min(losses, key=losses.__getitem__)
    assert len(losses) < 12 and max(losses) == best + 1
    assert "stopped early: val/loss was best 1 epochs before" in capsys.readouterr().out
    assert summary(run)["val/epoch"] == best


def test_a_run_that_stops_early_and_keeps_epochs_resumes_to_the_same_bits(train, interrupted, tmp_path):
    overrides = [*FAST, "objective=val/loss", "train.epochs=8", "train.early_stopping=2", "train.keep_checkpoints=2"]
    overrides += ["train.checkpoint_every=4"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    for step in (7, 13, 26):
        interrupted(step, *overrides, run_dir=tmp_path / "broken")
    again = train(*overrides, run_dir=tmp_path / "broken")
    assert_same_run(again, alone)
    assert kept(again) == kept(alone)
    for epoch in kept(alone):
        one, two = (read(run / f"checkpoints/epoch_{epoch:04}.pt")["model"] for run in (alone, again))
        assert all(torch.equal(one[name], two[name]) for name in one)
    train(*overrides, run_dir=tmp_path / "broken")  # a finished run, started again
    assert_same_run(again, alone)


def test_the_best_epochs_are_kept_and_every_nth(train):
    run = train(*FAST, "objective=val/loss", "train.epochs=6", "train.keep_checkpoints=2", "train.keep_every=3")
    losses = validated(run, "val/loss")
    best = sorted(losses, key=lambda epoch: (losses[epoch], epoch))[:2]
    assert kept(run) == sorted({*best, 3, 6})
    assert read(run / f"checkpoints/epoch_{best[0]:04}.pt")["best"]["val/loss"] == pytest.approx(losses[best[0]])


def test_an_evaluation_averages_the_best_epochs(train, evaluate, capsys):
    run = train("train.epochs=4", "train.keep_checkpoints=3", "objective=val/loss")
    evaluate(run / "checkpoints/best.pt", "average=3")
    assert "the average of epochs " in capsys.readouterr().out
    found = json.loads((run / "evaluations/test.json").read_text())
    assert 0 <= found["test/average_3_top1"] <= 1 and "test/top1" not in found
    # an independent mean of the weights, put in the place of best.pt, gives the same numbers
    models = [read(run / f"checkpoints/epoch_{epoch:04}.pt")["model"] for epoch in kept(run)]
    best = read(run / "checkpoints/best.pt")
    for name, value in best["model"].items():
        if value.is_floating_point():
            best["model"][name] = torch.stack([model[name].double() for model in models]).mean(dim=0).float()
    torch.save(best, run / "checkpoints/mean.pt")
    evaluate(run / "checkpoints/mean.pt")
    mean = json.loads((run / "evaluations/test.mean.json").read_text())
    assert found["test/average_3_loss"] == pytest.approx(mean["test.mean/loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["average=2"], "keeps 0 epochs: choose fewer, or train with train.keep_checkpoints=2"),
        (["average=1"], "average=1 must lie between 2"),
        (["average=2", "interpolate=[0,1]"], "average and interpolate both replace the weights"),
    ],
)
def test_an_average_that_cannot_be_is_refused_in_one_line(trained, evaluate, overrides, message):
    with pytest.raises(SystemExit, match=message):
        evaluate(trained / "checkpoints/best.pt", *overrides)


@pytest.mark.parametrize("option", ["early_stopping", "keep_checkpoints", "keep_every"])
def test_options_of_epochs_are_refused_below_one_and_where_heads_are_tried_side_by_side(train, option):
    with pytest.raises(SystemExit, match=f"train.{option}=0 must be a whole number of at least 1"):
        train(f"train.{option}=0")
    with pytest.raises(SystemExit, match="heads that are tried side by side keep the best epoch"):
        train("head=grid", "freeze=all", f"train.{option}=2")


def test_heads_side_by_side_are_compared_by_the_objective(train, tmp_path):
    for head in ("grid", "logistic"):
        run = train(f"head={head}", "freeze=all", "objective=val/loss", run_dir=tmp_path / head)
        with (run / "heads.csv").open() as file:
            losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
        assert summary(run)["val/loss"] == pytest.approx(min(losses), rel=1e-3)
    with pytest.raises(SystemExit, match="objective=val/ece is not measured on validation here: choose objective=val/"):
        train("head=grid", "freeze=all", "objective=val/ece", run_dir=tmp_path / "ece")


def test_a_sweep_compares_by_the_objective_of_its_runs():
    from deepdraw.config import compose_config
    from deepdraw.sweep.submission import better_direction

    for key, direction in {"val/loss": "minimize", "val/top1": "maximize"}.items():
        for launcher in ("local", "slurm"):
            config = compose_config("train", [f"hydra/launcher={launcher}", f"objective={key}"])
            assert config.hydra.launcher.objective == key
            assert better_direction(config) == direction
    assert compose_config("train", ["hydra/launcher=local", "hydra.launcher.objective=val/ece"]).objective == "val/top1"


def test_a_run_from_before_there_was_an_objective_resumes(train, interrupted, tmp_path):
    overrides = ["train.checkpoint_every=4"]
    interrupted(7, *overrides, run_dir=tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.pt"
    saved = read(last)
    del saved["config"]["objective"], saved["kept"], saved["epoch_sums"]
    for name in ("early_stopping", "keep_checkpoints", "keep_every"):
        del saved["config"]["train"][name]
    torch.save(saved, last)
    alone = train(*overrides, run_dir=tmp_path / "alone")
    assert_same_run(train(*overrides, run_dir=tmp_path / "run"), alone)
