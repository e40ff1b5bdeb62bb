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
CLOCKS = ("wall", "cpu")
WARM_UP = 10  # steps before those that are measured: they allocate, and import what is imported late


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers below 1."""

    batch_size: int = field(default=16, metadata={"help": "drawings in a step; the default is about 8 ms on one core"})
    steps: int = field(default=200, metadata={"help": "steps of each run"})
    repeats: int = field(default=9, metadata={"help": "runs of either, taken in turn"})
    device: str = field(default="auto", metadata={"help": "cuda, cpu or auto"})

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")


@dataclass
class OneBatch:
    """Batches without a loader: the same one again and again, while the clocks are read.

    steps: that are measured, after the warm-up and before one more. What comes before and after all steps, such as
    validation and checkpoints, is no part of a step.
    """

    batch: Batch
    steps: int
    classes: list[str]
    read: list[tuple[float, float]] = field(default_factory=list)  # wall and CPU clock, when a batch is asked for

    @property
    def batch_size(self) -> int:
        return len(self.batch.labels)

    @property
    def num_drawings(self) -> int:
        return len(self) * self.batch_size

    def __len__(self) -> int:
        return WARM_UP + self.steps + 1

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches from number `first` on."""
        for number in range(first, len(self)):
            if number in (WARM_UP, WARM_UP + self.steps):
                if self.batch.labels.is_cuda:
                    torch.cuda.synchronize()
                self.read.append((time.perf_counter(), time.process_time()))
            yield self.batch

    def seconds(self) -> dict[str, float]:
        """Of a step: by the wall, and of all threads of this process on any core, which other work adds little to."""
        (wall, cpu), (wall_end, cpu_end) = self.read
        return {"wall": (wall_end - wall) / self.steps, "cpu": (cpu_end - cpu) / self.steps}


class Terminal(io.StringIO):
    """What rich takes for a terminal, so that it draws the bar."""

    def isatty(self) -> bool:
        return True


def measure(options: Options) -> dict[str, dict[str, list[float]]]:
    """Seconds of a step by clock, `wall` or `cpu`, and way, `bare` or `loop`: one for each run, taken in turn."""
    torch.set_num_threads(1)
    config = train_config([f"device={options.device}", "precision=fp32"])
    device = find_device(options.device)
    images = torch.randint(256, (options.batch_size, config.render.size, config.render.size), dtype=torch.uint8)
    labels = torch.randint(NUM_CLASSES, (options.batch_size,))
    batch = Batch(images.to(device), labels.to(device), labels.to(device))
    classes = [str(number) for number in range(NUM_CLASSES)]
    seconds: dict[str, dict[str, list[float]]] = {clock: {"bare": [], "loop": []} for clock in CLOCKS}
    for _ in range(options.repeats):
        for way, train in (("bare", _bare), ("loop", _loop)):
            batches = OneBatch(batch, options.steps, classes)
            train(config, batches)
            for clock, each in batches.seconds().items():
                seconds[clock][way].append(each)
    return seconds


def _bare(config: Any, batches: OneBatch) -> None:
    """A training as anyone would write it, with the same optimizer, clipping and smoothing."""
    model = build(config, NUM_CLASSES).train()
    optimizer = instantiate(config.optimizer, model, _convert_="all", pretrained=False)
    for batch in batches.epoch():
        inputs: Any = batch.inputs
        loss = cross_entropy(model(inputs), batch.labels, label_smoothing=config.train.label_smoothing)
        loss.backward()
        clip_grad_norm_(model.parameters(), config.train.clip_grad)
        optimizer.step()
        optimizer.zero_grad()


def _loop(config: Any, batches: OneBatch) -> None:
    """train.py's loop: rows of metrics as often as by default, the bar of a terminal, the checks."""
    model = build(config, NUM_CLASSES)
    optimizer = instantiate(config.optimizer, model, _convert_="all", pretrained=False)
    device = batches.batch.labels.device
    precision = instantiate(config.precision, device=device)
    with TemporaryDirectory() as folder, redirect_stdout(Terminal()):
        state = State(
            model=model,
            averaged=None,
            optimizer=optimizer,
            schedule=instantiate(config.schedule, optimizer, 10**9),
            scaler=precision.scaler(),
            loggers={"csv": CSVLogger(Path(folder), {})},
            recent=torch.zeros(3, device=device),
        )
        training = Training(
            state=state,
            train=batches,
            val=batches,
            recipe=Recipe(**{**config.train, "epochs": 1}),
            precision=precision,
            validate=lambda: {"val/top1": 0.5, "val/loss": 1.0},
            checkpoints=Checkpoints(Path(folder), ranks=Ranks(number=1)),  # which writes none
            directory=Path(folder),
        )
        Loop().fit(training)


def run(options: Options) -> dict[str, Any]:
    """Measure both in turn in one fresh process; `overhead_ms` is the difference of the medians, by each clock."""
    seconds = in_fresh_process(measure, options)
    medians = {
        clock: {way: 1000 * statistics.median(each) for way, each in ways.items()} for clock, ways in seconds.items()
    }
    overhead = {clock: ways["loop"] - ways["bare"] for clock, ways in medians.items()}
    return {"seconds": seconds, "ms": medians, "overhead_ms": overhead}


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for either, and their difference."""
    title = f"a training step of backbone=tiny, batch of {options.batch_size}, median of {options.repeats} runs"
    columns = [Column(heading, justify="right") for heading in ("ms", "ms of CPU")]
    rows = Table("step", *columns, title=title, title_justify="left")
    for way, name in (("bare", "bare PyTorch"), ("loop", "train.py, with rows, bar and checks")):
        rows.add_row(name, *(f"{figures['ms'][clock][way]:.2f}" for clock in CLOCKS))
    rows.add_section()
    rows.add_row("difference", *(f"{figures['overhead_ms'][clock]:.2f}" for clock in CLOCKS))
    return rows
