"""What a run tells beside its results: probes, losses that are not finite, trials, warnings, failed starts."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from deepdraw.evaluation.probes import effective_rank
from tests.training.test_loop import assert_same_run, rows, summary, weights


def probed(run: Path) -> list[dict[str, float]]:
    """The metrics of the probes, before training and after each epoch."""
    with (run / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    return [{key: float(row[key]) for key in row if key.startswith("probe/")} for row in found if row["probe/knn_top1"]]


def test_probes_are_measured_before_training_and_after_each_epoch_and_change_no_bit(train, tmp_path, capsys):
    plain = train("train.epochs=2", run_dir=tmp_path / "plain")
    capsys.readouterr()
    watched = train("train.epochs=2", "train.probes=8", run_dir=tmp_path / "watched")
    printed = capsys.readouterr().out
    assert len(probed(watched)) == 3
    for found in probed(watched):
        assert found.keys() == {"probe/knn_top1", "probe/effective_rank", "probe/unseen_5shot_top1"}
        assert 0 <= found["probe/knn_top1"] <= 1 and found["probe/effective_rank"] >= 1
    assert "before training  probe knn top1" in printed
    assert re.search(r"epoch 2/2 .* probe unseen 5shot top1 [\d.]+ %", printed)
    assert all(torch.equal(weights(plain)[key], value) for key, value in weights(watched).items())
    assert summary(plain)["test/loss"] == summary(watched)["test/loss"]


def test_a_probed_run_resumes_to_the_same_rows(train, interrupted, tmp_path):
    overrides = ["train.epochs=2", "train.probes=8", "train.checkpoint_every=4"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    assert_same_run(train(*overrides, run_dir=tmp_path / "broken"), alone)


def test_probes_of_a_frozen_backbone_are_left_out_with_a_line(train, capsys):
    run = train("freeze=all", "train.epochs=1", "train.probes=8")
    assert "train.probes is left out: the backbone is frozen" in capsys.readouterr().out
    assert not any(key.startswith("probe/") for row in rows(run) for key in row)


def test_the_effective_rank_counts_the_dimensions_over_which_features_spread():
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(64, 1, generator=generator) @ torch.randn(1, 16, generator=generator)
    assert effective_rank(line + 3) == pytest.approx(1, abs=1e-3)
    equal = torch.cat([torch.eye(8), -torch.eye(8)])
    assert effective_rank(equal) == pytest.approx(8, rel=1e-6)
    features = torch.randn(50, 12, generator=generator)
    values = np.linalg.svd(features.numpy() - features.numpy().mean(0), compute_uv=False).astype(np.float64)
    shares = values / values.sum()
    assert effective_rank(features) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


@pytest.mark.parametrize("accum", [1, 2])
def test_a_loss_that_is_not_finite_names_its_step_its_drawings_and_the_command_that_repeats_it(
    train, monkeypatch, tmp_path, accum
):
    from deepdraw.training import loop

    count, losses = iter(range(1, 1000)), loop.losses

    def spoiled(*arguments):
        logits, loss, shown = losses(*arguments)
        return (logits, loss, shown * float("nan")) if next(count) == 4 else (logits, loss, shown)

    monkeypatch.setattr(loop, "losses", spoiled)
    run = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        train("train.log_every=5", "train.checkpoint_every=2", f"train.grad_accum={accum}", "data.batch_size=8")
    message = str(stopped.value)
    found = json.loads((run / "not_finite.json").read_text())
    assert found["step"] == (4 if accum == 1 else 2) and found["epoch"] == 1 and found["batch"] == 4
    assert len(found["key_ids"]) == 8 and all(0 <= key_id < 2**64 for key_id in found["key_ids"])
    assert f"not finite at step {found['step']}, of 8 drawings with the key ids {found['key_ids'][0]}, " in message
    assert "\n" not in message and "lower optimizer.lr" in message
    command = re.search("`(.*)` repeats it", message)[1]
    assert command.startswith("python train.py ") and command.endswith(f"hydra.run.dir={run} train.log_every=1")
    assert "data.batch_size=8" in command


def test_results_on_a_part_of_the_test_drawings_are_marked_as_a_trial_and_lie_elsewhere(train, capsys):
    run = train("train.limit_steps=1", "data.batch_size=8")
    found = summary(run)
    assert found["test.limited/drawings"] == 8 and "test/top1" not in found and "8 of " in found["trial"]
    assert {path.name for path in (run / "evaluations").glob("*.npz")} == {"test.limited.predictions.npz"}
    assert "a trial on 8 of " in capsys.readouterr().out
    assert "a trial, no result" in (run / "report.html").read_text()


def test_a_whole_test_split_is_counted_in_every_result(train, evaluate):
    run = train("train.epochs=1")
    number = summary(run)["test/drawings"]
    evaluate(run / "checkpoints/best.pt")
    assert json.loads((run / "evaluations/test.json").read_text())["test/drawings"] == number > 0
    assert "trial" not in summary(run)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["freeze=all"], "layers of the backbone are frozen at random weights"),
        (["optimizer.lr=1"], "optimizer.lr=1 is far from what AdamW usually takes"),
        (["optimizer=sgd", "optimizer.lr=1e-6"], "optimizer.lr=1e-06 is far from what SGD usually takes"),
        (["backbone.name=resnet10t"], "resnet10t starts from random weights: set backbone.pretrained=true"),
        ([], None),
    ],
)
def test_what_is_rarely_meant_is_a_warning_of_one_line(train, capsys, overrides, line):
    train("train.limit_steps=1", *overrides)
    told = [text for text in capsys.readouterr().out.splitlines() if text.startswith("warning: ")]
    told = [text for text in told if "val holds" not in text]
    assert len(told) == (line is not None)
    assert line is None or told[0].startswith(f"warning: {line}")


@pytest.mark.parametrize("bad", ["optimizer.lr=-1", "data.root=/nowhere", "objective=val/nothing"])
def test_a_start_that_fails_leaves_no_directory_behind(train, tmp_path, bad):
    with pytest.raises(SystemExit):
        train(bad, run_dir=tmp_path / "outputs/day/run")
    assert not (tmp_path / "outputs").exists()


def test_a_start_that_fails_keeps_a_directory_that_was_there_and_all_that_is_in_it(train, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(SystemExit):
        train("optimizer.lr=-1", run_dir=tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()
    run = train("train.epochs=1", run_dir=tmp_path / "mine")
    with pytest.raises(SystemExit):
        train("train.epochs=2", run_dir=run)
    assert (run / "checkpoints/best.pt").is_file()
