"""Training on a folder of one's own drawings: test accuracy, against the same drawings as strokes in shards."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.table import Column, Table

import benchmarks as bench
from deepdraw.data import write_shards
from deepdraw.data.quickdraw import SPLITS, assign_original
from deepdraw.drawings import Drawings, Sketch, read_sketches

FORMS = ("png", "jpg", "svg", "ndjson")  # in turns
SIDE = 300  # pixels of an image
LEAST_WIDTH, MOST_WIDTH = 2, 6  # pixels of its lines


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers that measure nothing."""

    source: str = field(default="data/official", metadata={"help": "directory of official files, <category>.ndjson"})
    classes: int = field(default=20, metadata={"help": "how many, evenly spaced among the files"})
    per_class: int = field(default=200, metadata={"help": "drawings of each, over all splits"})
    seeds: int = field(default=3, metadata={"help": "trainings of each kind, with the seeds 0, 1 ..."})
    train: str = field(
        default="experiment=scratch render.channels=ink backbone.image_size=48 backbone.options.channels=[8,16,32,64] "
        "data.batch_size=32 train.epochs=15",
        metadata={"help": "overrides of train.py"},
    )
    folder: str | None = field(default=None, metadata={"help": "where to write drawings and runs; default: temporary"})

    def __post_init__(self) -> None:
        if self.classes < 2 or self.per_class < 100 or self.seeds < 1:
            raise ValueError("give at least classes=2 per_class=100 seeds=1: less measures nothing")


def read_drawings(options: Options) -> dict[str, list[Sketch]]:
    """The first drawings of some files, evenly spaced in the order of their names."""
    files = sorted(Path(options.source).expanduser().glob("*.ndjson"))
    if len(files) < options.classes:
        raise ValueError(f"source={options.source} holds {len(files)} .ndjson files: give at least {options.classes}")
    drawings: dict[str, list[Sketch]] = {}
    for place in np.arange(options.classes) * len(files) // options.classes:
        found = (sketch for sketch in read_sketches(files[place]) if isinstance(sketch, Sketch) and sketch.strokes)
        drawings[files[place].stem] = [sketch for sketch, _ in zip(found, range(options.per_class), strict=False)]
    return drawings


def write_folder(root: Path, drawings: dict[str, list[Sketch]]) -> None:
    """Write drawings into `root`/<split>/<class>/ as PNG, JPEG, SVG and ndjson in turns.

    Images have 300 x 300 pixels, lines of 2 to 6 pixels, and the drawing off the center, as other programs leave it.
    """
    random = np.random.default_rng(0)
    for name, sketches in drawings.items():
        splits = assign_original(np.array([sketch.key_id for sketch in sketches], np.uint64))
        for number, (sketch, split) in enumerate(zip(sketches, splits, strict=True)):
            place = root / SPLITS[split] / name / f"{number}.{FORMS[number % len(FORMS)]}"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_drawing(place, sketch, random)


def write_drawing(path: Path, sketch: Sketch, random: np.random.Generator) -> None:
    """Write a drawing in the form that the suffix names."""
    if path.suffix == ".ndjson":
        path.write_text(json.dumps({"drawing": [stroke.T.tolist() for stroke in sketch.strokes]}) + "\n")
    elif path.suffix == ".svg":
        lines = (" ".join(f"{x},{y}" for x, y in stroke) for stroke in sketch.strokes)
        shapes = "\n".join(f'<polyline points="{line}"/>' for line in lines)
        head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256" fill="none" stroke="black">'
        path.write_text(f"{head}\n{shapes}\n</svg>\n")
    else:
        width = int(random.integers(LEAST_WIDTH, MOST_WIDTH + 1))
        scale = random.uniform(0.6, 1.0) * (SIDE - 2 * MOST_WIDTH) / 255
        corner = MOST_WIDTH + random.uniform(0, 1, 2) * (SIDE - 2 * MOST_WIDTH - 255 * scale)
        image = Image.new("L", (SIDE, SIDE), 255)
        pen = ImageDraw.Draw(image)
        for stroke in sketch.strokes:
            points = [tuple(point) for point in (stroke * scale + corner).tolist()]
            pen.line(points if len(points) > 1 else points * 2, fill=0, width=width, joint="curve")
        image.save(path)


def write_same_shards(root: Path, drawings: dict[str, list[Sketch]]) -> None:
    """Write the same drawings as shards, in the same splits."""
    sketches = [sketch for part in drawings.values() for sketch in part]
    labels = np.repeat(np.arange(len(drawings)), [len(part) for part in drawings.values()])
    packed = Drawings.pack([sketch.strokes for sketch in sketches], labels, [sketch.key_id for sketch in sketches])
    splits = assign_original(packed.key_ids)
    parts = {name: (list(drawings), packed.take(np.flatnonzero(splits == k))) for k, name in enumerate(SPLITS)}
    write_shards(root, parts, metadata={"source": "benchmark"})


def run(options: Options) -> dict[str, Any]:
    """Write folder and shards, and train on each with every seed."""
    drawings = read_drawings(options)
    with tempfile.TemporaryDirectory() as aside:
        place = Path(options.folder or aside)
        write_folder(place / "folder", drawings)
        write_same_shards(place / "shards", drawings)
        top1 = {
            kind: [train(options, place, kind, data, seed) for seed in range(options.seeds)]
            for kind, data in (("shards", "quickdraw"), ("folder", "folder"))
        }
    means = {kind: float(np.mean(found)) for kind, found in top1.items()}
    number = {kind: sum(len(part) for part in drawings.values()) for kind in top1}
    return {"drawings": number, "test_top1": top1, "mean": means, "difference": means["folder"] - means["shards"]}


def train(options: Options, place: Path, kind: str, data: str, seed: int) -> float:
    """The test top-1 of one training."""
    directory = place / f"run-{kind}-{seed}"
    chosen = [*options.train.split(), f"data={data}", f"data.root={place / kind}", f"seed={seed}"]
    command = [sys.executable, "train.py", *chosen, f"hydra.run.dir={directory}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"a training failed: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
    return float(json.loads((directory / "summary.json").read_text())["test/top1"])


def table(options: Options, figures: dict[str, Any]) -> Table:
    """Test top-1 of each kind: the mean over seeds, and each of them."""
    title = f"{options.classes} classes x {options.per_class} drawings, {options.train}"
    shown = Table("drawings", Column("test top-1, %", justify="right"), "of each seed", title=title)
    names = {"shards": "strokes in shards", "folder": f"files in folders: {', '.join(FORMS)} in turns"}
    for kind, name in names.items():
        each = ", ".join(f"{100 * top1:.1f}" for top1 in figures["test_top1"][kind])
        shown.add_row(name, f"{100 * figures['mean'][kind]:.1f}", each)
    shown.caption = f"difference {100 * figures['difference']:+.1f} points"
    return shown
