"""What tests of several loggers use: a picture, rows of metrics.csv, and W&B offline, read back from its files."""

from __future__ import annotations

import csv
import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepdraw.loggers.base import CSVLogger, WandbLogger


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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


def events(run: Path) -> Any:
    """All event files of the run, read as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(run).Scalars(name)]


def csv_after(folder: Path, *losses: float) -> CSVLogger:
    logger = CSVLogger(folder, {})
    for step, loss in enumerate(losses, 1):
        logger.log({"train/loss": loss}, epoch=1, step=step)
    return logger
