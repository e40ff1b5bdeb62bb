"""Loggers: every row kept once, columns as they come, and a resumed run in the same file."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepdraw.runtime.loggers import CSVLogger, WandbLogger


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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


def test_every_row_is_in_the_file_as_soon_as_it_is_logged(tmp_path):
    logger = CSVLogger(tmp_path, {})
    for step in range(1, 6):
        logger.log({"train/loss": float(step)}, epoch=1, step=step)
        assert [row["step"] for row in rows(tmp_path)] == [str(n) for n in range(1, step + 1)]


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


@pytest.fixture
def offline(monkeypatch):
    """W&B as on a machine without login, sent nowhere, saying nothing."""
    for variable in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_wandb_writes_the_rows_offline_and_a_resumed_run_keeps_its_id(tmp_path, offline):
    import wandb

    logger = WandbLogger(tmp_path, {"seed": 42}, project="deepdraw", group=None)
    assert not (tmp_path / "wandb").exists()  # a refused run leaves nothing
    logger.log({"train/loss": 1.2345}, epoch=1, step=5)
    state = logger.state_dict()
    logger.finish({"test/top1": 0.5})
    time.sleep(1.1)  # W&B names its folder by the second: one of the same second would be written over
    again = WandbLogger(tmp_path, {"seed": 42}, project="deepdraw", group=None)
    again.load_state_dict(state)
    again.log({"val/top1": 0.6789}, epoch=2, step=10)
    assert again.state_dict() == state
    again.finish({})
    wandb.teardown()  # whose service writes what it still holds
    assert children_named("wandb-core") == []
    written = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert [file.name for file in written] == [f"run-{state['id']}.wandb"] * 2
    content = b"".join(file.read_bytes() for file in written)
    for text in (b"train/loss", b"1.2345", b"val/top1", b"0.6789", b"test/top1", b"seed"):
        assert text in content


def children_named(name: str) -> list[str]:
    """Process ids of this process's children of that name, once they have had time to end."""
    for _ in range(50):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rpartition(") ")
                command = (process / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            state, parent = fields[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z" and name.encode() in command:
                found.append(process.name)
        if not found:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("environment", "netrc", "mode"),
    [
        ({}, "", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "", "online"),
        ({}, "machine api.wandb.ai login user password key", "online"),
        ({}, "machine elsewhere.org login user password key", "offline"),
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": "k" * 40}, "", "offline"),
        ({"WANDB_MODE": "disabled"}, "", "disabled"),
    ],
)
def test_wandb_is_online_only_after_a_login_and_as_its_own_variable_says(
    tmp_path, monkeypatch, offline, environment, netrc, mode
):
    import wandb

    (tmp_path / "netrc").write_text(netrc)
    monkeypatch.delenv("WANDB_MODE")
    for variable, value in {"NETRC": str(tmp_path / "netrc"), **environment}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(wandb, "init", lambda **options: SimpleNamespace(id=options["mode"]))
    assert WandbLogger(tmp_path, {}, project="deepdraw", group="probes").state_dict() == {"id": mode}
