"""Loggers: every row kept once, columns as they come, and a resumed run in the same file and the same W&B run."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from PIL import Image

from deepdraw.loggers.base import CSVLogger, TensorBoardLogger, WandbLogger, log_evaluation
from deepdraw.loggers.names import dashboard_names


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


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "curves.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    return path


@pytest.fixture
def offline(monkeypatch):
    """W&B as on a machine without login, sent nowhere, saying nothing."""
    for variable in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_RUN_GROUP", "WANDB_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    import wandb

    wandb.teardown()  # which forgets the variables and settings that it read for an earlier test
    yield
    wandb.teardown()


def wandb_logger(run: Path, **options: Any) -> WandbLogger:
    return WandbLogger(run, {"seed": 42, "optimizer": {"lr": 0.5}}, project="deepdraw", **options)


def records(file: Path) -> Iterator[Any]:
    """What a .wandb file holds, which is a LevelDB log: chunks of CRC, length, kind and data in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, data = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        data += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last chunk
            yield Record.FromString(data)
            data = b""


def values(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        *outer, key = item.nested_key or [item.key]
        inside = found
        for name in outer:
            inside = inside.setdefault(name, {})
        inside[key] = json.loads(item.value_json)
    return found


def kept(run: Path) -> SimpleNamespace:
    """All that W&B has of the run directory: the parts in the order in which they were begun."""
    import wandb

    wandb.teardown()  # whose service writes what it still holds
    found = SimpleNamespace(runs=[], rows=[], config={}, summary={}, axes={}, shown_values={})
    for file in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                found.runs.append(record.run)
                found.config |= values(record.run.config.update)
            elif kind == "history":
                found.rows.append(values(record.history.item))
            elif kind == "summary":
                found.summary |= values(record.summary.update)
            elif kind == "metric":
                name = record.metric.name or record.metric.glob_name
                found.axes[name] = record.metric.step_metric
                found.shown_values |= {name: record.metric.summary} if record.metric.HasField("summary") else {}
    return found


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


def events(run: Path) -> Any:
    """All event files of the run, read as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(run).Scalars(name)]


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


def csv_after(folder: Path, *losses: float) -> CSVLogger:
    logger = CSVLogger(folder, {})
    for step, loss in enumerate(losses, 1):
        logger.log({"train/loss": loss}, epoch=1, step=step)
    return logger


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
