"""Points of drawings against their pixels: how many a second, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Column, Table

import benchmarks as bench
from deepdraw.data import Shards
from deepdraw.drawings import Drawings, PointSampler, Rasterizer

REPEATS = 5  # the fastest counts


@dataclass
class Options(bench.Options):
    """What the benchmark accepts."""

    root: str = field(default="data/quickdraw", metadata={"help": "shards, whose validation drawings are taken"})
    points: int = field(default=96, metadata={"help": "points of a drawing, at most"})
    size: int = field(default=56, metadata={"help": "pixels of the images"})


def run(options: Options) -> dict[str, Any]:
    """Drawings per second of one core for the points and for images, of each kind of channels."""
    split = Shards(options.root).split("val")
    drawings = Drawings.concatenate(list(split))
    makers: dict[str, Callable[[Drawings], Any]] = {
        f"{options.points} points": PointSampler(options.points),
        f"{options.size} px": Rasterizer(options.size),
        f"{options.size} px, shaded": Rasterizer(options.size, images="drawing", channels="shaded"),
        f"{options.size} px, thirds": Rasterizer(options.size, images="drawing", channels="thirds"),
    }
    return {"drawings": len(drawings), "per_second": {name: rate(make, drawings) for name, make in makers.items()}}


def rate(make: Callable[[Drawings], Any], drawings: Drawings) -> float:
    """Drawings per second of CPU time, in one call."""
    make(drawings)  # compiles
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        make(drawings)
        seconds.append(time.process_time() - start)
    return len(drawings) / min(seconds)


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for the points and one for each kind of images."""
    title = f"{figures['drawings']:,} drawings of {options.root}"
    rows = Table("what", Column("drawings/s, one core", justify="right"), title=title, title_justify="left")
    for name, per_second in figures["per_second"].items():
        rows.add_row(name, f"{per_second:,.0f}")
    return rows
