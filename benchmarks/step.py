"""What watching a run costs: a training step of the loop, with logging, checks and bar, against the bare step."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra.utils import instantiate
from rich.table import Column, Table
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

import benchmarks as bench
from benchmarks import in_fresh_process
from benchmarks.steps import build, train_config
from deepdraw.data import Batch
from deepdraw.loggers import CSVLogger
from deepdraw.runtime import Ranks, find_device
from deepdraw.training import Checkpoints, Loop, Recipe, State, Training

NUM_CLASSES = 30


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers below 1."""

    batch_size: int = field(default=16, metadata={"help": "drawings in a step; the default is about 8 ms on one core"})
    steps: int = field(default=200, metadata={"help": "steps of each run"})
    repeats: int = field(default=5, metadata={"help": "runs of either, taken in turn"})
    device: str = field(default="auto", metadata={"help": "cuda, cpu or auto"})

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")


@dataclass(frozen=True)
class OneBatch:
    """Batches without a loader: the same one again and again."""

    batch: Batch
    steps: int
    classes: list[str]

    @property
    def batch_size(self) -> int:
        return len(self.batch.labels)

    @property
    def num_drawings(self) -> int:
        return self.steps * self.batch_size

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches from number `first` on."""
        yield from (self.batch for _ in range(first, self.steps))


class Terminal(io.StringIO):
    """What rich takes for a terminal, so that it draws the bar."""

    def isatty(self) -> bool:
        return True


def measure(options: Options) -> dict[str, list[float]]:
    """Seconds of a step of either kind, for each run."""
    torch.set_num_threads(1)
    config = train_config([f"device={options.device}", "precision=fp32"])
    device = find_device(options.device)
    images = torch.randint(256, (options.batch_size, config.render.size, config.render.size), dtype=torch.uint8)
    labels = torch.randint(NUM_CLASSES, (options.batch_size,))
    batch = Batch(images.to(device), labels.to(device), labels.to(device))
    seconds: dict[str, list[float]] = {"bare": [], "loop": []}
    for _ in range(options.repeats):
        seconds["bare"].append(_bare(config, batch, options.steps))
        seconds["loop"].append(_loop(config, batch, options.steps))
    return seconds


def _bare(config: Any, batch: Batch, steps: int) -> float:
    """A step as anyone would write it, with the same optimizer, clipping and smoothing."""
    model = build(config, NUM_CLASSES).train()
    optimizer = instantiate(config.optimizer, model, _convert_="all", pretrained=False)
    inputs: Any = batch.inputs

    def step() -> Tensor:
        loss = cross_entropy(model(inputs), batch.labels, label_smoothing=config.train.label_smoothing)
        loss.backward()
        clip_grad_norm_(model.parameters(), config.train.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    step()
    start = time.perf_counter()
    for _ in range(steps):
        loss = step()
    loss.item()  # which waits for a GPU
    return (time.perf_counter() - start) / steps


def _loop(config: Any, batch: Batch, steps: int) -> float:
    """A step of train.py's loop: rows of metrics as often as by default, the bar of a terminal, the checks."""
    model = build(config, NUM_CLASSES)
    optimizer = instantiate(config.optimizer, model, _convert_="all", pretrained=False)
    precision = instantiate(config.precision, device=batch.labels.device)
    ends: list[float] = []

    def validate() -> dict[str, float]:
        ends.append(time.perf_counter())
        return {"val/top1": 0.5, "val/loss": 1.0}

    with TemporaryDirectory() as folder, redirect_stdout(Terminal()):
        state = State(
            model=model,
            averaged=None,
            optimizer=optimizer,
            schedule=instantiate(config.schedule, optimizer, 10**9),
            scaler=precision.scaler(),
            loggers={"csv": CSVLogger(Path(folder), {})},
            recent=torch.zeros(3, device=batch.labels.device),
        )
        classes = [str(number) for number in range(NUM_CLASSES)]
        training = Training(
            state=state,
            train=OneBatch(batch, steps, classes),
            val=OneBatch(batch, 1, classes),
            recipe=Recipe(**{**config.train, "epochs": 1}),
            precision=precision,
            validate=validate,
            checkpoints=Checkpoints(
                Path(folder), ranks=Ranks(number=1)
            ),  # which writes none: that is no part of a step
            directory=Path(folder),
        )
        start = time.perf_counter()
        Loop().fit(training)
    return (ends[0] - start) / steps


def run(options: Options) -> dict[str, Any]:
    """Measure both in turn in one fresh process; `overhead_ms` is the difference of the medians."""
    seconds = in_fresh_process(measure, options)
    medians = {way: 1000 * statistics.median(each) for way, each in seconds.items()}
    return {"seconds": seconds, "ms": medians, "overhead_ms": medians["loop"] - medians["bare"]}


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for either, and their difference."""
    title = f"a training step of backbone=tiny, batch of {options.batch_size}, median of {options.repeats} runs"
    rows = Table("step", Column("ms", justify="right"), title=title, title_justify="left")
    names = {"bare": "bare PyTorch", "loop": "train.py, with rows, bar and checks"}
    for way, milliseconds in figures["ms"].items():
        rows.add_row(names[way], f"{milliseconds:.2f}")
    rows.add_section()
    rows.add_row("difference", f"{figures['overhead_ms']:.2f}")
    return rows
