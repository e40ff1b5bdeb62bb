"""What a run prints: its directory, what it computes on, a line for each epoch."""

from __future__ import annotations

import re

import pytest

from deepdraw.training.epoch_lines import epoch_line
from deepdraw.training.loop import without_equal_rates


def test_an_epoch_is_one_line_of_losses_accuracy_and_time():
    metrics = {"train/loss": 1.0612, "val/loss": 0.384, "val/top1": 0.9523}
    assert (
        epoch_line(2, 5, metrics, is_best=True, seconds=21.3)
        == "epoch 2/5  train loss 1.06  val loss 0.384  val top1 95.2 %  (best)  21 s"
    )
    assert "(best)" not in epoch_line(2, 5, metrics, is_best=False, seconds=21.3)


def test_a_run_in_a_pipe_tells_its_directory_its_device_and_every_epoch(train, capsys):
    run = train()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"run directory: {run}"
    assert re.fullmatch(r"device: cpu, 1 thread, .*cores?.*", lines[1])
    told = [line for line in lines if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in told] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    pattern = r"epoch \d/3  train loss [\d.]+  val loss [\d.]+  val top1 [\d.]+ %(  \(best\))?  \d+ s"
    assert all(re.fullmatch(pattern, line) for line in told)
    assert "(best)" in told[0]


def test_the_loss_of_an_epoch_is_the_mean_over_its_drawings_also_of_a_resumed_one(train, interrupted, tmp_path, capsys):
    def losses() -> list[str]:
        return re.findall(r"epoch (\d/3  train loss \S+)", capsys.readouterr().out)

    train("train.checkpoint_every=4", run_dir=tmp_path / "alone")
    alone = losses()
    interrupted(7, "train.checkpoint_every=4", run_dir=tmp_path / "broken")
    train("train.checkpoint_every=4", run_dir=tmp_path / "broken")
    assert list(dict.fromkeys(losses())) == alone


@pytest.mark.parametrize(("backbone", "shown"), [(1e-3, False), (1e-5, True)])
def test_the_rate_of_the_backbone_is_shown_where_it_differs(backbone, shown):
    row = {"train/loss": 1.0, "optim/lr": 1e-3, "optim/backbone_lr": backbone}
    assert ("optim/backbone_lr" in without_equal_rates(row)) == shown
    assert "optim/lr" in without_equal_rates(row)
