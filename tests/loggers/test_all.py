"""All loggers of one run together, and the names that metrics have on dashboards."""

from __future__ import annotations

import json
import shutil
from typing import Any

from hydra.utils import instantiate

from deepdraw.loggers.base import WandbLogger, log_evaluation
from deepdraw.loggers.names import dashboard_names
from tests.loggers.conftest import events, kept, scalars


def test_dashboards_find_the_names_of_the_original_project_once_each():
    metrics = {
        "train/loss": 1,
        "train/top1": 2,
        "test/top1": 3,
        "test/top1_low": 4,
        "test/top5": 5,
        "zeroshot/1shot_top1": 6,
        "optim/lr": 7,
        "optim/backbone_lr": 8,
        "train/epoch_time": 9,
        "optim/strokes_lr": 10,
    }
    assert dashboard_names(metrics) == metrics | {
        "train/loss": 1,
        "train/accuracy": 2,
        "test/accuracy": 3,
        "test/accuracy_low": 4,
        "test/top5": 5,
        "zeroshot/1shot_top1": 6,
        "charts/lr_classifier": 7,
        "charts/lr_backbone": 8,
        "train/epoch_time": 9,
        "charts/lr_strokes": 10,
    }


def test_a_run_and_its_evaluation_reach_every_logger(train, monkeypatch, offline, picture):
    import yaml

    def draw(*arguments: Any) -> None:
        arguments[-1].parent.mkdir(exist_ok=True)
        shutil.copy(picture, arguments[-1])

    for plot in ("curves.plot_curves", "sheets.plot_sheet"):  # which would take longer than the training
        monkeypatch.setattr(f"deepdraw.report.{plot}", draw)
    run = train("logger=[csv,wandb,tensorboard]", "train.epochs=2", plots=True)
    config = yaml.safe_load((run / "config.yaml").read_text())
    table = (run / "metrics.csv").read_bytes()
    loggers = {name: instantiate(logger) for name, logger in config["logger"].items()}
    log_evaluation(run, loggers, config, {"zeroshot/top1": 0.125}, {"zeroshot/confusion": picture})
    assert (run / "metrics.csv").read_bytes() == table
    summary = json.loads((run / "summary.json").read_text())

    names = {"train/loss", "test/loss", "train/accuracy", "val/accuracy", "test/accuracy", "charts/lr_classifier"}
    names |= {"charts/lr_backbone", "train/epoch_time", "val/epoch_time", "test/epoch_time", "zeroshot/accuracy"}
    pictures = {"plots/curves", "plots/drawings", "zeroshot/confusion"}
    found = kept(run)
    assert len({part.run_id for part in found.runs}) == 1
    assert names | pictures <= {name for row in found.rows for name in row}
    assert (found.summary["test/accuracy"], found.summary["zeroshot/accuracy"]) == (summary["test/top1"], 0.125)
    seen = events(run)
    assert names <= set(seen.Tags()["scalars"])
    assert pictures == set(seen.Tags()["images"])
    assert scalars(run, "zeroshot/accuracy") == [(summary["steps"], 0.125)]
    for name in ("train/epoch_time", "val/epoch_time"):
        assert len(scalars(run, name)) == 2
        assert all(seconds > 0 for _, seconds in scalars(run, name))


def test_an_evaluation_leaves_the_loggers_of_a_run_that_still_trains_alone(tmp_path):
    log_evaluation(tmp_path, {"wandb": WandbLogger}, {}, {"test/top1": 0.5}, {})
    assert list(tmp_path.iterdir()) == []
