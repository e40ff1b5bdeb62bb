"""Images per second of a model, forward and in training, as a share of what the device can do; and cores to feed it."""

from __future__ import annotations

import math
import os
import shlex
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import cv2
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.progress import track
from rich.table import Column, Table

import benchmarks as bench
from benchmarks import in_fresh_process, peak_memory, steps
from benchmarks.flops import data_sheet, matmul_flops
from benchmarks.freezing import NUM_CLASSES
from deepdraw.data import Loader
from deepdraw.data.doodles import open_doodles
from deepdraw.drawings import Rasterizer
from deepdraw.runtime import DTYPES, find_device, keep_freed_memory

PER_CLASS = 32  # doodles that the loader draws


@dataclass
class Options(bench.Options):
    """What the benchmark accepts, in the words of train.py; ValueError for numbers that measure nothing."""

    backbone: str = field(default="tiny", metadata={"help": "an option of conf/backbone, with random weights"})
    freeze: str = field(default="none", metadata={"help": "an option of conf/freeze"})
    precision: str = field(default="auto", metadata={"help": "auto, bf16, fp16 or fp32"})
    compile: bool = field(default=False, metadata={"help": "whether torch.compile goes first"})
    overrides: str = field(default="", metadata={"help": "more words of train.py's: overrides='freeze.n=8 head=mlp'"})
    image_size: int | None = field(default=None, metadata={"help": "pixels; None: the backbone's own"})
    batch_size: int | None = field(default=None, metadata={"help": "drawings; None: 256 on a GPU, 16 on a CPU"})
    seconds: float = field(default=2.0, metadata={"help": "of every measurement, after its first calls"})
    repeats: int = field(default=2, metadata={"help": "processes for every figure, in turn, of which the best counts"})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})

    def __post_init__(self) -> None:
        for name in ("image_size", "batch_size", "repeats"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name}={number} measures nothing: give at least 1")
        if not self.seconds > 0:
            raise ValueError(f"seconds={self.seconds} measures nothing: give more than 0")

    def config(self) -> DictConfig:
        """What train.py would read."""
        words = [f"{name}={getattr(self, name)}" for name in ("backbone", "freeze", "precision", "device")]
        size = [] if self.image_size is None else [f"backbone.image_size={self.image_size}"]
        return steps.train_config([*words, f"train.compile={self.compile}", *size, *shlex.split(self.overrides)])


def timed(call: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds that so many calls take, the device's work included."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def speed(call: Callable[[], object], num_images: int, options: Options, device: torch.device) -> dict[str, float]:
    """images_per_second of calls for so many images, and warmup_seconds of the first two, which may compile."""
    warmup = timed(call, 2, device)
    times = max(1, round(options.seconds / timed(call, 1, device)))
    return {"images_per_second": num_images * times / timed(call, times, device), "warmup_seconds": warmup}


@steps.one_line_errors()
def measure(options: Options, way: str) -> dict[str, Any]:
    """Speed, peak memory and FLOPs of the `forward` pass or of `training`, in this process."""
    keep_freed_memory()  # as train.py does
    cfg = options.config()
    model = steps.build(cfg, NUM_CLASSES)
    device, image_size = model.scale.device, model.backbone.image_size
    batch_size = options.batch_size or (256 if device.type == "cuda" else 16)
    generator = torch.Generator().manual_seed(cfg.seed)
    size = (batch_size, image_size, image_size)
    images = torch.randint(256, size, generator=generator, dtype=torch.uint8).to(device)
    labels = torch.randint(NUM_CLASSES, size[:1], generator=generator).to(device)
    if way == "forward":
        figures = speed(steps.forward_pass(cfg, model, images), batch_size, options, device)
        figures |= {"peak_bytes": peak_memory(device), "flops_per_image": steps.forward_flops(model, images)}
    else:
        step = steps.training_step(cfg, model, images, labels)
        figures = speed(step, batch_size * cfg.train.grad_accum, options, device)
        figures |= {"peak_bytes": peak_memory(device), "flops_per_image": steps.training_flops(model, images, labels)}
    return {"batch_size": batch_size, "image_size": image_size, **figures}


@steps.one_line_errors()
def peak(options: Options) -> dict[str, Any]:
    """The most FLOP/s of the device in this precision: by its data sheet, or of a matmul where we know of none."""
    cfg = options.config()
    device = find_device(cfg.device)
    precision = instantiate(cfg.precision, device=device)
    dtype = DTYPES[precision.name]
    printed = data_sheet(torch.cuda.get_device_name(device), dtype) if device.type == "cuda" else None
    return {
        "device": device.type,
        "precision": precision.name,
        "of": "a matmul" if printed is None else "the data sheet",
        "flops_per_second": matmul_flops(dtype, device) if printed is None else printed,
    }


@steps.one_line_errors()
def loader(options: Options) -> dict[str, Any]:
    """Speed of the loader on doodles as the model wants them, in this process, which is pinned to one core."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()
    cfg, cpu = options.config(), torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        drawn = Loader(
            open_doodles(f"{folder}/doodles", PER_CLASS, seed=0).split("train"),
            Rasterizer(**cfg.render),
            batch_size=cfg.data.batch_size,
            shuffle=True,
            device=cpu,
            augment=instantiate(cfg.augment),
            num_workers=0,
        )
        epochs = count()
        return speed(lambda: deque(drawn.epoch(next(epochs)), maxlen=0), len(drawn) * drawn.batch_size, options, cpu)


MEASURES: dict[str, Callable[[Options], dict[str, Any]]] = {
    "forward": partial(measure, way="forward"),
    "training": partial(measure, way="training"),
    "loader": loader,
    "peak": peak,
}


def run(options: Options) -> dict[str, Any]:
    """Measure all in turn, each time in a fresh process.

    Returns `runs`, all that was measured, and the best of each: of `forward` and `training` with its `flops_per_second`
    and `share_of_peak` and with the `loader_cores` that it needs.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in MEASURES}
    for name in track([*MEASURES] * options.repeats, "measuring"):
        runs[name].append(in_fresh_process(MEASURES[name], options))
    highest = max(runs["peak"], key=lambda run: run["flops_per_second"])
    best = {name: max(runs[name], key=lambda run: run["images_per_second"]) for name in MEASURES if name != "peak"}
    for name in ("forward", "training"):
        images_per_second = best[name]["images_per_second"]
        flops_per_second = images_per_second * best[name]["flops_per_image"]
        best[name] = best[name] | {
            "flops_per_second": flops_per_second,
            "share_of_peak": flops_per_second / highest["flops_per_second"],
            "loader_cores": math.ceil(images_per_second / best["loader"]["images_per_second"]),
        }
    return {"runs": runs, "peak": highest, **best}


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each way, and below what the shares are of and how many cores keep the device busy."""
    forward, training, best, loader = (figures[name] for name in ("forward", "training", "peak", "loader"))
    compiled = ", compiled" if options.compile else ""
    title = (
        f"backbone={options.backbone} freeze={options.freeze} {options.overrides}\n{forward['image_size']} px, "
        f"batch of {forward['batch_size']}, {best['precision']} on {best['device']}{compiled}"
    )
    headings = ("images/s", "GFLOP/image", "achieved", "of peak", "memory", "first two calls")
    rows = Table("", *(Column(heading, justify="right") for heading in headings), title=title, title_justify="left")
    for name, way in (("forward", forward), ("training", training)):
        rows.add_row(
            name,
            f"{way['images_per_second']:,.0f}",
            f"{way['flops_per_image'] / 1e9:,.3g}",
            flops_text(way["flops_per_second"]),
            f"{100 * way['share_of_peak']:.1f} %",
            f"{way['peak_bytes'] / 1e9:.2f} GB",
            f"{way['warmup_seconds']:.1f} s",
        )
    rows.caption = (
        f"of peak: of {best['of']}'s {flops_text(best['flops_per_second'])}\n"
        f"forward needs {forward['loader_cores']} loader cores, training {training['loader_cores']}: "
        f"one draws {loader['images_per_second']:,.0f} images/s"
    )
    rows.caption_justify = "left"
    return rows


def flops_text(flops: float) -> str:
    """FLOP/s to read."""
    return f"{flops / 1e12:,.1f} TFLOP/s" if flops >= 1e12 else f"{flops / 1e9:,.1f} GFLOP/s"
