"""metrics.csv: every row kept once, columns as they come, and a resumed run in the same file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepdraw.loggers.base import CSVLogger
from tests.loggers.conftest import csv_after, rows


def test_a_row_has_epoch_step_and_its_metrics(tmp_path):
    CSVLogger(tmp_path, {}).log({"train/loss": 1.25, "optim/lr": 1e-4}, epoch=1, step=50)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["epoch,step,train/loss,optim/lr", "1,50,1.25,0.0001"]


def test_new_metrics_open_new_columns_and_leave_the_others_empty(tmp_path):
    logger = CSVLogger(tmp_path, {})
    logger.log({"train/loss": 1.0}, epoch=1, step=5)
    logger.log({"val/top1": 0.5}, epoch=1, step=5)
    logger.log({"train/loss": 0.5}, epoch=2, step=10)
    assert rows(tmp_path) == [
        {"epoch": "1", "step": "5", "train/loss": "1", "val/top1": ""},
        {"epoch": "1", "step": "5", "train/loss": "", "val/top1": "0.5"},
        {"epoch": "2", "step": "10", "train/loss": "0.5", "val/top1": ""},
    ]


def test_how_long_an_epoch_took_is_for_dashboards_so_that_resumed_runs_have_equal_files(tmp_path):
    CSVLogger(tmp_path, {}).log({"val/top1": 0.5, "val/epoch_time": 3.0}, epoch=1, step=5)
    assert list(rows(tmp_path)[0]) == ["epoch", "step", "val/top1"]


def test_every_row_is_in_the_file_as_soon_as_it_is_logged(tmp_path):
    logger = CSVLogger(tmp_path, {})
    for step in range(1, 6):
        logger.log({"train/loss": float(step)}, epoch=1, step=step)
        assert [row["step"] for row in rows(tmp_path)] == [str(n) for n in range(1, step + 1)]


def test_rows_are_on_the_disk_before_a_checkpoint_counts_them_and_no_step_waits_for_that(tmp_path, monkeypatch):
    logger, flushed = csv_after(tmp_path, 0.5), []
    monkeypatch.setattr(os, "fsync", flushed.append)
    for step in (2, 3, 4):
        logger.log({"train/loss": 0.25}, epoch=1, step=step)
    assert not flushed
    logger.state_dict()
    assert len(flushed) == 1
    logger.log({"train/loss": 0.125}, epoch=1, step=5)
    logger.finish({})
    assert len(flushed) == 2
    logger.state_dict()
    assert len(flushed) == 2  # nothing has come since


def test_a_resumed_run_forgets_the_rows_after_its_checkpoint(tmp_path):
    logger = CSVLogger(tmp_path, {})
    logger.log({"train/loss": 1.0}, epoch=1, step=5)
    logger.log({"val/top1": 0.5}, epoch=1, step=5)
    state, kept = logger.state_dict(), rows(tmp_path)
    logger.log({"train/loss": 0.5, "test/top1": 0.1}, epoch=2, step=10)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2,15,0.")  # killed as it wrote
    again = CSVLogger(tmp_path, {})
    again.load_state_dict(state)
    assert rows(tmp_path) == kept
    again.log({"train/loss": 0.25}, epoch=2, step=10)
    assert rows(tmp_path) == [*kept, {"epoch": "2", "step": "10", "train/loss": "0.25", "val/top1": ""}]


def test_a_run_begun_anew_begins_its_file_anew(tmp_path):
    CSVLogger(tmp_path, {}).log({"train/loss": 1.0}, epoch=1, step=5)
    CSVLogger(tmp_path, {}).log({"train/loss": 2.0}, epoch=1, step=5)
    assert [row["train/loss"] for row in rows(tmp_path)] == ["2"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("epoch,step,train/loss\n")])
def test_a_file_that_lost_rows_is_refused(tmp_path, harm):
    logger = CSVLogger(tmp_path, {})
    logger.log({"train/loss": 1.0}, epoch=1, step=5)
    harm(tmp_path / "metrics.csv")
    with pytest.raises(ValueError, match=r"metrics\.csv has 0 of the run's 1 rows: put it back, or train again in"):
        CSVLogger(tmp_path, {}).load_state_dict(logger.state_dict())


@pytest.mark.parametrize("torn", ["1,3", "1,3,0.2", '1,3,"0.', "1,x,0.2\r\n", "1\r\n", "\0\0\0"])
def test_a_torn_line_after_the_rows_that_a_checkpoint_counts_is_dropped(tmp_path, torn):
    state = csv_after(tmp_path, 0.5, 0.25).state_dict()
    whole = (tmp_path / "metrics.csv").read_bytes()
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        file.write(torn)
    CSVLogger(tmp_path, {}).load_state_dict(state)
    assert (tmp_path / "metrics.csv").read_bytes() == whole


def test_a_torn_row_that_a_checkpoint_counts_is_reported(tmp_path):
    state = csv_after(tmp_path, 0.5, 0.25).state_dict()
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-4])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"metrics.csv has 1 of the run's 2 rows: put it back, or train again"):
        CSVLogger(tmp_path, {}).load_state_dict(state)
    assert path.read_bytes() == before


def test_a_kill_while_rows_are_rewritten_loses_none(tmp_path, monkeypatch):
    state = csv_after(tmp_path, 0.5, 0.25, 0.125).state_dict()
    before = (tmp_path / "metrics.csv").read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepdraw.runtime.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        CSVLogger(tmp_path, {}).load_state_dict({**state, "num_rows": 2})
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
