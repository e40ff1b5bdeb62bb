"""Weights & Biases: the same run after a resume, where options and variables say, and failures that cost nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepdraw.loggers.base import WandbLogger
from tests.loggers.conftest import children_named, kept, wandb_logger


def test_wandb_is_read_back_whole_and_a_resumed_run_is_the_same_run(tmp_path, offline, picture):
    logger = wandb_logger(tmp_path, group="probes", name="first", tags=["linear", "doodles"])
    assert not (tmp_path / "wandb").exists()  # a refused run leaves nothing
    logger.log({"train/top1": 0.25, "optim/lr": 0.5}, epoch=1, step=5)
    logger.log({"val/top1": 0.5, "val/epoch_time": 2.5}, epoch=1, step=5)
    state = logger.state_dict()
    logger.log({"train/top1": 0.3}, epoch=2, step=10)
    logger.finish({})

    again = wandb_logger(tmp_path, group="probes", name="first")
    again.load_state_dict(state)
    again.log({"train/top1": 0.3}, epoch=2, step=10)
    again.log({"train/top1": 0.4}, epoch=2, step=15)
    again.log_pictures({"plots/curves": picture}, step=15)
    assert again.state_dict() == state
    again.finish({"test/top1": 0.75, "versions": {"torch": "2"}})

    found = kept(tmp_path)
    assert children_named("wandb-core") == []
    assert {run.run_id for run in found.runs} == {state["id"]}
    first = found.runs[0]
    assert (first.project, first.run_group, first.display_name) == ("deepdraw", "probes", "first")
    assert list(first.tags) == ["linear", "doodles"]
    assert (found.config["seed"], found.config["optimizer"]) == (42, {"lr": 0.5})
    assert [(row["step"], row.get("train/accuracy"), row.get("val/accuracy")) for row in found.rows] == [
        (5, 0.25, None),
        (5, None, 0.5),
        (10, 0.3, None),
        (10, 0.3, None),  # done again after the checkpoint
        (15, 0.4, None),
        (15, None, None),
    ]
    assert (found.rows[0]["charts/lr_classifier"], found.rows[0]["epoch"]) == (0.5, 1)
    assert found.rows[1]["val/epoch_time"] == 2.5
    assert [row["_step"] for row in found.rows] == [5, 6, 10, 11, 15, 16]  # ever rising, else W&B drops rows
    assert found.axes["*"] == "step"
    shown = found.rows[-1]["plots/curves"]
    assert (shown["_type"], shown["width"], shown["height"]) == ("image-file", 4, 4)
    (copy,) = (tmp_path / "wandb").glob(f"offline-run-*/files/{shown['path']}")
    assert copy.read_bytes() == picture.read_bytes()
    assert (found.summary["test/accuracy"], found.summary["versions"]) == (0.75, {"torch": "2"})
    assert found.summary["test/top1"] == 0.75


def test_while_a_run_trains_wandb_shows_the_best_value_of_a_metric_of_ones_own(tmp_path, offline):
    doubt, trust = ({"title": name, "unit": "", "better": better} for name, better in (("a", "lower"), ("b", "higher")))
    (tmp_path / "metrics.json").write_text(json.dumps({"doubt": doubt, "trust": trust}))
    logger = wandb_logger(tmp_path)
    for step, value in enumerate([0.3, 0.1, 0.2]):
        logger.log({"val/doubt": value, "val/trust": value, "val/loss": value}, epoch=step + 1, step=step)
    logger.finish({"val/doubt": 0.2})
    found = kept(tmp_path)
    assert found.shown_values["val/doubt"].min and not found.shown_values["val/doubt"].max
    assert found.shown_values["val/trust"].max and not found.shown_values["val/trust"].min
    assert "val/loss" not in found.shown_values
    assert found.axes["val/doubt"] == "step"
    assert found.summary["val/doubt"] == 0.2  # of the best weights, as the summary says


def test_a_run_killed_before_its_first_checkpoint_goes_on_in_the_same_wandb_run(tmp_path, offline):
    program = (
        "import os, sys, time; from pathlib import Path; from deepdraw.loggers.base import WandbLogger; "
        "config = {'seed': 42, 'optimizer': {'lr': 0.5}}; "
        "logger = WandbLogger(Path(sys.argv[1]), config, project='deepdraw'); "
        "logger.log({'train/loss': 1.5}, epoch=1, step=5); time.sleep(1); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    first = json.loads((tmp_path / "wandb.json").read_text())
    again = wandb_logger(tmp_path)
    again.log({"train/loss": 1.5}, epoch=1, step=5)
    again.finish({})
    found = kept(tmp_path)
    assert {(run.run_id, run.display_name) for run in found.runs} == {(first["id"], first["name"])}
    assert (found.rows[-1]["_step"], found.rows[-1]["train/loss"]) == (first["step"] + 1, 1.5)


def test_a_directory_begun_anew_with_another_config_is_another_wandb_run(tmp_path, monkeypatch):
    (tmp_path / "wandb.json").write_text('{"id": "former", "step": 10, "config": "another"}')
    assert wandb_logger(tmp_path).state_dict() != {"id": "former"}
    resumed = wandb_logger(tmp_path)
    resumed.load_state_dict({"id": "former"})  # by a command that differs in train.log_every, say
    assert resumed.state_dict() == {"id": "former"}


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({}, {}, {"project": "deepdraw", "entity": None}),
        ({}, {"WANDB_PROJECT": "theirs"}, {"project": "theirs"}),
        ({"project": "mine", "entity": "us", "job_type": "probe"}, {"WANDB_PROJECT": "theirs"}, {}),
    ],
)
def test_the_place_of_a_run_on_wandb_is_an_option_else_its_variable(
    tmp_path, monkeypatch, offline, options, environment, expected
):
    import wandb

    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    opened = []
    monkeypatch.setattr(wandb, "init", lambda **options: opened.append(options) or FakeRun())
    logger = WandbLogger(tmp_path, {"seed": 42}, **options)
    logger.log({"train/loss": 1.0}, epoch=1, step=1)
    assert opened[0].items() >= {**options, **expected}.items()
    assert opened[0]["tags"] is None  # W&B reads WANDB_TAGS


def test_wandb_disabled_in_a_folder_holds_for_runs_that_start_there(tmp_path, monkeypatch, offline):
    import wandb

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/settings").write_text("[default]\nmode = disabled\n")
    opened = []
    monkeypatch.setattr(wandb, "init", lambda **options: opened.append(options) or FakeRun())
    wandb_logger(tmp_path / "run").log({"train/loss": 1.0}, epoch=1, step=1)
    assert opened[0]["mode"] == "disabled"


def test_the_id_that_an_agent_gives_a_run_is_the_one_that_is_kept(tmp_path, monkeypatch, offline):
    import wandb

    monkeypatch.setattr(wandb, "init", lambda **options: FakeRun(id="agents"))
    logger = wandb_logger(tmp_path)
    logger.log({"train/loss": 1.0}, epoch=1, step=1)
    assert logger.state_dict() == {"id": "agents"}
    assert json.loads((tmp_path / "wandb.json").read_text())["id"] == "agents"


class FakeRun(SimpleNamespace):
    """A W&B run that takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


@pytest.mark.parametrize(
    ("environment", "netrc", "mode"),
    [
        ({}, "", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "", "online"),
        ({}, "machine api.wandb.ai login user password key", "online"),
        ({}, "default login user password key", "online"),
        ({}, "machine api.wandb.ai nonsense", "offline"),
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
    opened = []
    monkeypatch.setattr(wandb, "init", lambda **options: opened.append(options) or FakeRun())
    logger = wandb_logger(tmp_path)
    logger.log({"train/loss": 1.0}, epoch=1, step=1)
    assert [options["mode"] for options in opened] == [mode]
    assert opened[0]["name"] == f"{tmp_path.parent.name}/{tmp_path.name}"
    assert opened[0]["group"] is None


def test_where_wandb_cannot_be_reached_the_run_is_kept_offline(tmp_path, monkeypatch, offline, capsys):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    logger = wandb_logger(tmp_path)
    logger.log({"train/loss": 1.5}, epoch=1, step=5)
    logger.finish({})
    assert "W&B refused the run" in capsys.readouterr().out
    assert [row["train/loss"] for row in kept(tmp_path).rows] == [1.5]


def test_training_goes_on_when_wandb_fails_in_its_middle(tmp_path, monkeypatch, offline, picture, capsys):
    import wandb

    def fail(*arguments: Any, **options: Any) -> None:
        raise ConnectionResetError("Connection lost")

    monkeypatch.setattr(wandb, "init", lambda **options: FakeRun(log=fail, finish=fail))
    logger = wandb_logger(tmp_path)
    for step in (5, 10):
        logger.log({"train/loss": 1.5}, epoch=1, step=step)
    logger.log_pictures({"plots/curves": picture}, step=10)
    logger.finish({})
    said = capsys.readouterr().out.splitlines()
    assert said == ["W&B failed and gets no more rows of this run (Connection lost); training goes on"]


def test_each_job_of_a_sweep_is_a_wandb_run_of_the_sweeps_group(train, tmp_path, offline):
    sweep = tmp_path / "sweeps" / "rates"
    where = [f"hydra.sweep.dir={sweep}", "train.limit_steps=1", "logger=[wandb]"]
    train("optimizer.lr=1e-3,2e-3", *where, "-m")
    (first,) = kept(sweep / "0").runs[:1]
    (second,) = kept(sweep / "1").runs[:1]
    assert first.run_group == second.run_group == "sweeps/rates"
    assert first.run_id != second.run_id
    assert (first.display_name, second.display_name) == ("0 optimizer.lr=0.001", "1 optimizer.lr=0.002")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"id": 7}', '{"step": "1"}', '{"group": []}', "[" * 9000])
def test_a_damaged_wandb_json_is_refused_with_one_line(tmp_path, content):
    (tmp_path / "wandb.json").write_text(content)
    with pytest.raises(ValueError, match=r"wandb\.json .*: remove it, which begins a W&B run of its own$"):
        WandbLogger(tmp_path, {}, project="deepdraw")
