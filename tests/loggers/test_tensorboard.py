"""TensorBoard: rows, pictures, config and summary, and nothing that a resumed run did not keep."""

from __future__ import annotations

import sys

import pytest

from deepdraw.loggers.base import TensorBoardLogger
from tests.loggers.conftest import events, scalars


def test_tensorboard_has_the_rows_the_pictures_the_config_and_the_summary(tmp_path, picture):
    logger = TensorBoardLogger(tmp_path, {"seed": 42})
    assert not (tmp_path / "tensorboard").exists()  # a refused run leaves nothing
    logger.log({"train/top1": 0.25, "optim/backbone_lr": 0.5}, epoch=1, step=5)
    assert scalars(tmp_path, "train/accuracy") == [(5, 0.25)]  # as soon as it is logged
    logger.log({"train/top1": 0.75, "train/epoch_time": 2.5}, epoch=2, step=10)
    logger.log_pictures({"plots/curves": picture}, step=10)
    logger.finish({"steps": 10})
    found = events(tmp_path)
    tags = ["charts/lr_backbone", "epoch", "optim/backbone_lr", "train/accuracy", "train/epoch_time", "train/top1"]
    assert sorted(found.Tags()["scalars"]) == tags
    assert [(event.step, event.value) for event in found.Scalars("epoch")] == [(5, 1), (10, 2)]
    (image,) = found.Images("plots/curves")
    assert (image.step, image.width, image.height) == (10, 4, 4)
    texts = {tag: found.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0] for tag in ("config", "summary")}
    assert b'"seed": 42' in texts["config"]
    assert b'"steps": 10' in texts["summary"]


def test_without_tensorboard_one_line_names_the_extra_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        ValueError, match=r"^logger=tensorboard needs TensorBoard: pip install 'deepdraw\[tensorboard\]'$"
    ):
        TensorBoardLogger(tmp_path, {})


def test_tensorboard_hides_what_was_logged_after_the_checkpoint(tmp_path):
    logger = TensorBoardLogger(tmp_path, {})
    for step in (5, 10):
        logger.log({"train/loss": float(step)}, epoch=1, step=step)
    state = logger.state_dict()
    for step in (15, 20):
        logger.log({"train/loss": -1.0}, epoch=2, step=step)
    again = TensorBoardLogger(tmp_path, {})
    again.load_state_dict(state)
    again.log({"train/loss": 15.0}, epoch=2, step=15)
    again.finish({})
    assert scalars(tmp_path, "train/loss") == [(5, 5.0), (10, 10.0), (15, 15.0)]
    assert len(events(tmp_path).Tensors("config/text_summary")) == 1


def test_tensorboard_shows_a_run_begun_anew_alone(tmp_path):
    for value in (1.0, 2.0):
        logger = TensorBoardLogger(tmp_path, {})
        logger.log({"train/loss": value}, epoch=1, step=5)
        logger.finish({})
    assert scalars(tmp_path, "train/loss") == [(5, 2.0)]
