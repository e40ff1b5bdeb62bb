"""Preparation: official files to shards, by `python -m deepdraw.data.quickdraw`; rate a core, and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

import benchmarks as bench
from deepdraw.data.quickdraw import CATEGORIES

PATTERNS = 2048  # different drawings in a file; each is written many times, under a new key id each time
POINTS, STROKES = 44, 5  # of a drawing, on average, as in the official simplified files
EVERY = 0.1  # seconds between two looks at the memory
LINE = (
    '{{"word":"{word}","countrycode":"DE","timestamp":"2017-03-02 21:10:11.78231 UTC","recognized":{recognized},'
    '"key_id":"{key_id}","drawing":{drawing}}}\n'
)


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers below 1."""

    num_drawings: int = field(default=100_000, metadata={"help": "about 650 bytes of disk each, twice as many at peak"})
    num_categories: int = field(default=345, metadata={"help": "files to write them in, at most 345"})
    folder: str | None = field(default=None, metadata={"help": "where to write files and shards; default: temporary"})
    seed: int = field(default=0, metadata={"help": "of the drawings"})

    def __post_init__(self) -> None:
        if self.num_drawings < 1 or not 1 <= self.num_categories <= len(CATEGORIES):
            raise ValueError(
                f"num_drawings={self.num_drawings} num_categories={self.num_categories} measures nothing: give at "
                f"least 1 of each, and at most {len(CATEGORIES)} categories"
            )


def write_files(options: Options, folder: Path) -> None:
    """Write drawings in the official simplified form, one file for each category; one in eleven is not recognized."""
    rng = np.random.default_rng(options.seed)
    drawings = [_drawing(rng) for _ in range(PATTERNS)]
    shares = np.diff(np.linspace(0, options.num_drawings, options.num_categories + 1).astype(int))
    first = 4_503_599_627_370_496  # official key ids have 16 digits
    for word, number in zip(CATEGORIES, shares.tolist(), strict=False):
        chosen, recognized = rng.integers(PATTERNS, size=number), rng.random(number) < 10 / 11
        with (folder / f"{word}.ndjson").open("w") as file:
            for k in range(number):
                said, key_id = "true" if recognized[k] else "false", first + 7919 * k
                file.write(LINE.format(word=word, recognized=said, key_id=key_id, drawing=drawings[chosen[k]]))
        first += 7919 * number


def _drawing(rng: np.random.Generator) -> str:
    """The strokes of one drawing as JSON: random walks within 0..255."""
    strokes = []
    for _ in range(rng.geometric(1 / STROKES)):
        steps = rng.integers(-40, 41, (2, 1 + rng.geometric(STROKES / (POINTS - STROKES))))
        walk = np.clip(rng.integers(0, 256, (2, 1)) + steps.cumsum(axis=1), 0, 255)
        strokes.append(walk.tolist())
    return json.dumps(strokes, separators=(",", ":"))


def prepare(source: Path, root: Path) -> dict[str, float]:
    """Run the command; seconds by the clock, seconds of all cores, and the most bytes held by all its processes."""
    command = [sys.executable, "-m", "deepdraw.data.quickdraw", f"root={root}", f"source={source}"]
    before, start = os.times(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        assert process.stdout is not None
        if process.returncode:
            raise ValueError(f"the command failed: {process.stdout.read()[-500:]}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "core_seconds": used, "peak_bytes": peak}


def memory(pid: int) -> int:
    """The bytes that a process and its children hold, shared ones divided among them; 0 where it is not Linux."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    held = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return 1024 * held + sum(memory(int(child)) for child in children)


def run(options: Options) -> dict[str, Any]:
    """Write the files, prepare them twice, and return the faster run: the first one may compile."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        (source := Path(folder) / "source").mkdir()
        write_files(options, source)
        num_bytes = sum(path.stat().st_size for path in source.iterdir())
        runs = [prepare(source, Path(folder) / f"shards{number}") for number in range(2)]
    best = min(runs, key=lambda run: run["core_seconds"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "runs": runs,
        "source_bytes": num_bytes,
        "cores": cores,
        "drawings_per_second": options.num_drawings / best["seconds"],
        "drawings_per_core_second": options.num_drawings / best["core_seconds"],
        "peak_bytes": best["peak_bytes"],
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """Rate and memory."""
    title = f"preparing {options.num_drawings:,} drawings, {figures['source_bytes'] / 1e6:,.0f} MB of ndjson"
    rows = Table("what", Column("figure", justify="right"), title=title, title_justify="left")
    rows.add_row(f"drawings/s, {figures['cores']} cores", f"{figures['drawings_per_second']:,.0f}")
    rows.add_row("drawings per second of one core (user + sys)", f"{figures['drawings_per_core_second']:,.0f}")
    rows.add_row("most memory of all processes, MB", f"{figures['peak_bytes'] / 1e6:,.0f}")
    return rows
