"""What an evaluation with all its metrics and pictures costs beyond the bare forward pass over the same drawings."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import MISSING, OmegaConf
from rich.table import Column, Table

import benchmarks as bench
from deepdraw.data import Loader
from deepdraw.evaluation import Head, Task, open_split, redraw
from deepdraw.features import Encoder
from deepdraw.inference import rebuild
from deepdraw.report import write_evaluation
from deepdraw.runtime import keep_freed_memory


@dataclass
class Options(bench.Options):
    """What the benchmark accepts."""

    ckpt: str = field(default=MISSING, metadata={"help": "a best.pt of train.py"})
    split: str = field(default="test", metadata={"help": "a split of the classes it was trained on"})
    root: str | None = field(default=None, metadata={"help": "the data, if no longer where training read them"})
    batch_size: int = field(default=256, metadata={"help": "drawings in a batch"})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})


def run(options: Options) -> dict[str, Any]:
    """Seconds of the bare pass and of the evaluation, of which the second pass is a part."""
    keep_freed_memory()
    trained = rebuild(options.ckpt, device=options.device, root=options.root)
    split = open_split(options.split, trained.source(), trained.classes)
    device = trained.precision.device
    backbone: Any = OmegaConf.to_container(trained.config.backbone)
    encoder = Encoder(trained.model, backbone, trained.rasterizer, trained.precision)
    loader = Loader(split, trained.rasterizer, batch_size=options.batch_size, shuffle=False, device=device)
    with torch.inference_mode():
        encoder.features(next(loader.epoch()).inputs)  # compiles and warms up
        start = time.perf_counter()
        for batch in loader.epoch():
            features = encoder.features(batch.inputs)
            with trained.precision.autocast():
                logits = trained.model.head(features)
        logits.cpu()
        bare = time.perf_counter() - start

    start = time.perf_counter()
    task = Task(
        trained.model,
        encoder.features,
        loader,
        trained.precision,
        trained.classes,
        complexity=split.complexity(),
        temperature=trained.temperature,
    )
    found = Head()(task)
    scored = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as directory:
        write_evaluation(Path(directory), "split", found, redraw(split, trained.rasterizer))
    whole = time.perf_counter() - start
    return {
        "num_drawings": len(found.predictions),
        "num_classes": len(split.classes),
        "bare_seconds": bare,
        "scored_seconds": scored,
        "evaluation_seconds": whole,
        "allowed_seconds": 1.1 * bare + 20,
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """The three, and how they compare."""
    right = {"justify": "right"}
    shown = Table(
        "what",
        Column("seconds", **right),  # type: ignore[arg-type]
        Column("of the bare pass", **right),  # type: ignore[arg-type]
        title=f"{figures['num_drawings']:,} drawings of {figures['num_classes']:,} classes",
    )
    names = {
        "bare": "bare forward pass",
        "scored": "pass with all metrics",
        "evaluation": "and pictures and report.html",
    }
    for name, title in names.items():
        seconds = figures[f"{name}_seconds"]
        shown.add_row(title, f"{seconds:.1f}", f"{seconds / figures['bare_seconds']:.2f}")
    shown.add_row("1.1 times the bare pass and 20 s", f"{figures['allowed_seconds']:.1f}", "")
    return shown
