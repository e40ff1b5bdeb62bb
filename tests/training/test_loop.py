"""Training: it learns, selects on validation, resumes to the same bits, and refuses what cannot be meant."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from deepdraw.evaluation.predictions import Predictions

TIMES = ("train/images_per_second", "test/images_per_second", "val/images_per_second")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{key: cell for key, cell in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.pt", weights_only=True)["model"]


def summary(run: Path) -> dict:
    found = json.loads((run / "summary.json").read_text())
    for name in ("git_commit", "date", "duration", "command"):  # which are not the same in two runs of one config
        found.pop(name)
    return found


def assert_same_run(one: Path, two: Path) -> None:
    assert rows(one) == rows(two)
    first, second = weights(one), weights(two)
    assert all(torch.equal(first[key], second[key]) for key in first | second)
    results = [{k: v for k, v in summary(run).items() if k not in TIMES} for run in (one, two)]
    assert results[0] == results[1]


def test_a_run_leaves_what_the_design_promises_and_learns(train):
    run = train("train.epochs=6", "optimizer.lr=5e-3", plots=True)
    for file in (
        "config.yaml",
        "metrics.csv",
        "summary.json",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
        "plots/curves.png",
        "plots/drawings.png",
        "evaluations/test.predictions.npz",
        ".hydra/config.yaml",
    ):
        assert (run / file).stat().st_size > 0, file
    found = summary(run)
    answers = Predictions.load(run / "evaluations/test.predictions.npz")
    assert answers.right.mean() == pytest.approx(found["test/top1"])
    assert found["test/top1"] > 0.6
    assert rows(run)[-1]["test/top1"] and rows(run)[-1]["epoch"] == str(found["val/epoch"])
    assert max(int(row["epoch"]) for row in rows(run)) == 6
    assert found["seed"] == 42
    assert found["trainable_parameters"] == found["parameters"]
    assert torch.__version__.startswith(found["versions"]["torch"])


def test_the_same_command_gives_the_same_numbers(train, tmp_path):
    assert_same_run(train(run_dir=tmp_path / "one"), train(run_dir=tmp_path / "two"))


@pytest.mark.parametrize("step", [7, 13, 20, 26])
def test_a_run_broken_off_anywhere_ends_with_the_bits_of_one_left_alone(train, interrupted, tmp_path, step):
    overrides = ["train.checkpoint_every=4", "head=mlp", "head.dropout=0.3", "train.grad_accum=1"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    interrupted(step, *overrides, run_dir=tmp_path / "broken")
    assert_same_run(train(*overrides, run_dir=tmp_path / "broken"), alone)


def test_a_run_with_an_average_mixing_and_thawing_resumes_to_the_same_bits_too(train, interrupted, tmp_path):
    overrides = ["train.checkpoint_every=4", "train.ema=0.9", "train.mixup=0.4", "train.cutmix=1", "freeze=gradual"]
    overrides += ["freeze.blocks_per_epoch=2", "optimizer.layer_decay=0.8"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    for step in (7, 20, 30):
        interrupted(step, *overrides, run_dir=tmp_path / "broken")
    again = train(*overrides, run_dir=tmp_path / "broken")
    assert_same_run(again, alone)
    averages = [torch.load(run / "checkpoints/last.pt", weights_only=True)["averaged"] for run in (again, alone)]
    assert all(torch.equal(averages[0][key], averages[1][key]) for key in averages[1])


def test_the_average_is_what_is_validated_tested_and_kept(train, evaluate):
    run = train("train.ema=0.8", "train.epochs=1")
    last = torch.load(run / "checkpoints/last.pt", weights_only=True)
    best = torch.load(run / "checkpoints/best.pt", weights_only=True)
    averaged = {key.removeprefix("module."): value for key, value in last["averaged"].items()}
    assert all(torch.equal(value, averaged[key]) for key, value in best["model"].items())
    assert not torch.equal(best["model"]["head.weight"], last["model"]["head.weight"])
    evaluate(run / "checkpoints/best.pt")
    found = json.loads((run / "evaluations/test.json").read_text())
    assert found["test/top1"] == summary(run)["test/top1"]


def test_gradual_unfreezing_holds_optimizer_state_only_of_what_trains(train, tmp_path):
    overrides = ["freeze=gradual", "freeze.blocks_per_epoch=null", "freeze.probe_epochs=1"]
    probe = train(*overrides, "train.limit_steps=3", run_dir=tmp_path / "probe")
    states = torch.load(probe / "checkpoints/last.pt", weights_only=True)["optimizer"]["state"]
    assert len(states) == 2  # the weight and the bias of the head
    whole = train(*overrides, "train.epochs=2", run_dir=tmp_path / "whole")
    last = torch.load(whole / "checkpoints/last.pt", weights_only=True)["optimizer"]
    assert len(last["state"]) == sum(len(group["params"]) for group in last["param_groups"]) > 20


def test_a_compiled_model_trains_to_a_checkpoint_of_the_same_names_and_nearly_the_same_weights(train, tmp_path):
    plain = train("train.limit_steps=2", run_dir=tmp_path / "plain")
    compiled = train("train.limit_steps=2", "train.compile=true", run_dir=tmp_path / "compiled")
    first, second = weights(plain), weights(compiled)
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=2e-3, rtol=1e-2)


def test_activation_checkpointing_changes_nothing_but_memory(train, tmp_path):
    vit = ["backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"]
    vit += ["train.limit_steps=3"]
    plain = train(*vit, run_dir=tmp_path / "plain")
    saved = train(*vit, "train.activation_checkpointing=true", run_dir=tmp_path / "saved")
    first, second = weights(plain), weights(saved)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("override", "message"),
    [("train.ema=1", "train.ema=1 must lie between 0 and 1"), ("train.mixup=-1", "train.mixup=-1 must be a number")],
)
def test_a_recipe_that_cannot_be_meant_is_refused_in_one_line(train, override, message):
    with pytest.raises(SystemExit, match=message):
        train(override)


def test_workers_do_not_change_a_resumed_run(train, interrupted, tmp_path):
    alone = train("train.checkpoint_every=4", run_dir=tmp_path / "alone")
    interrupted(7, "train.checkpoint_every=4", "data.num_workers=2", run_dir=tmp_path / "broken")
    again = train("train.checkpoint_every=4", "data.num_workers=1", run_dir=tmp_path / "broken")
    assert_same_run(again, alone)


def test_a_finished_run_started_again_changes_nothing(train):
    run = train()
    before, logged = summary(run), rows(run)
    train()
    assert {k: v for k, v in summary(run).items() if k not in TIMES} == {
        k: v for k, v in before.items() if k not in TIMES
    }
    assert rows(run) == logged


def test_the_directory_of_another_config_is_refused_by_key_and_kept(train, capsys):
    run = train("train.epochs=1")
    before = (run / "checkpoints/last.pt").read_bytes(), (run / "config.yaml").read_bytes()
    with pytest.raises(SystemExit) as refused:
        train("train.epochs=1", "optimizer.lr=7e-3")
    assert "optimizer.lr: 0.002 there, 0.007 here" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert before == ((run / "checkpoints/last.pt").read_bytes(), (run / "config.yaml").read_bytes())


def test_best_is_the_best_validation_epoch(train):
    run = train("train.epochs=4")
    validated = [float(row["val/top1"]) for row in rows(run) if row["val/top1"]]
    best = torch.load(run / "checkpoints/best.pt", weights_only=True)
    assert best["best"]["val/top1"] == pytest.approx(max(validated))
    assert best["best"]["val/epoch"] == validated.index(max(validated)) + 1


def test_accumulating_two_half_batches_equals_one_whole(train, tmp_path):
    # frozen BatchNorm; in training mode it would see half the drawings at a time
    still = ["freeze=all", "optimizer=sgd", "train.epochs=1"]
    whole = train(*still, run_dir=tmp_path / "whole")
    halves = train(*still, "data.batch_size=16", "train.grad_accum=2", run_dir=tmp_path / "halves")
    first, second = weights(whole), weights(halves)
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=1e-5, rtol=1e-3)


def test_limit_steps_stops_early_and_limits_evaluation(train):
    run = train("train.limit_steps=2")
    assert summary(run)["steps"] == 2


def test_a_loss_that_is_not_finite_ends_the_run(train):
    with pytest.raises(SystemExit, match="lower optimizer.lr"):
        train("optimizer=sgd", "optimizer.lr=1e30", "train.clip_grad=null")


def test_freeze_all_changes_the_head_alone(train, tmp_path):
    run = train("freeze=all", "train.epochs=1")
    assert summary(run)["trainable_parameters"] < summary(run)["parameters"] / 10


def test_a_frozen_backbone_is_trained_on_from_cached_features_as_from_drawings(train, evaluate, tmp_path, capsys):
    cached = train("freeze=all", "features.dtype=fp32", run_dir=tmp_path / "cached")
    assert "it encodes the drawings once" in capsys.readouterr().out
    drawn = train("freeze=all", "features.dir=null", run_dir=tmp_path / "drawn")
    assert len(list((tmp_path / "features").iterdir())) == 3  # train, val and test
    first, second = weights(cached), weights(drawn)
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=1e-5, rtol=1e-3)
    for one, two in zip(rows(cached), rows(drawn), strict=True):
        assert one.keys() == two.keys()
        assert all(float(one[key] or 0) == pytest.approx(float(two[key] or 0), abs=0.02) for key in one)
    evaluate(cached / "checkpoints/best.pt")
    found = json.loads((cached / "evaluations/test.json").read_text())
    assert found["test/loss"] == pytest.approx(summary(cached)["test/loss"], abs=1e-4)


def test_a_run_in_bf16_learns_and_goes_on_to_the_same_bits(train, interrupted, tmp_path):
    overrides = ["precision=bf16", "train.checkpoint_every=4", "train.epochs=6", "optimizer.lr=5e-3"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    assert summary(alone)["test/top1"] > 0.6
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    assert_same_run(train(*overrides, run_dir=tmp_path / "broken"), alone)


def test_a_run_on_cached_features_resumes_to_the_same_bits_even_where_they_are_lost(train, interrupted, tmp_path):
    overrides = ["freeze=all", "train.checkpoint_every=4", "head=mlp", "head.dropout=0.3", "train.ema=0.9"]
    overrides += ["augment=sketch", "features.views=2"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    for step in (7, 20):
        interrupted(step, *overrides, run_dir=tmp_path / "broken")
    shutil.rmtree(tmp_path / "features")
    assert_same_run(train(*overrides, run_dir=tmp_path / "broken"), alone)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_job_that_was_killed_with_its_workers_goes_on_to_the_same_bits(train, killed, tmp_path, number):
    overrides = ["train.checkpoint_every=3", "train.epochs=15", "data.num_workers=1"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    run = killed(number, tmp_path / "killed")
    assert_same_run(train(*overrides, run_dir=run), alone)
