"""Images per second on one core: strokes, drawn as they are read, against the original project's image shards."""

from __future__ import annotations

import io
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import webdataset as wds
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.progress import track
from rich.table import Column, Table
from torchvision import transforms

import benchmarks as bench
from benchmarks import in_fresh_process
from deepdraw.data import Loader, Shards, write_shards
from deepdraw.drawings import Rasterizer
from deepdraw.runtime import cell, keep_freed_memory

CANVAS, PIXELS, QUALITY = 256, 224, 90  # of the original's JPEGs
IMAGES_IN_TAR = 10_000  # likewise
BUFFER = 1000  # images among which webdataset shuffles
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers below 1."""

    root: str = field(default="data/quickdraw", metadata={"help": "shards, by python -m deepdraw.data.quickdraw"})
    num_drawings: int = field(default=4096, metadata={"help": "of the train split; 20000 takes five times as long"})
    image_size: int = field(default=224, metadata={"help": "pixels"})
    batch_size: int = field(default=128, metadata={"help": "drawings in a batch"})
    repeats: int = field(default=3, metadata={"help": "epochs of each path, in turn, of which the fastest counts"})

    def __post_init__(self) -> None:
        for name in ("num_drawings", "image_size", "batch_size", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} measures nothing: give at least 1")


def write_inputs(options: Options, folder: Path) -> None:
    """Write the same drawings as strokes and as the original's image shards: `strokes/` and `images/` in the folder.

    Raises:
        ValueError: there are no shards, or they hold fewer drawings in train.
    """
    split = Shards(options.root).split("train")
    held = int(split.block_sizes.sum())
    if held < options.num_drawings:
        raise ValueError(
            f"num_drawings={options.num_drawings}: {options.root} has {held} to train on, give at most those"
        )
    blocks = np.arange(np.searchsorted(np.cumsum(split.block_sizes), options.num_drawings) + 1)
    drawings = split.drawings(blocks.tolist()).take(np.arange(options.num_drawings))
    write_shards(folder / "strokes", {"train": (split.classes, drawings)}, metadata={})
    (folder / "images").mkdir()
    with wds.ShardWriter(str(folder / "images/data-%05d.tar"), maxcount=IMAGES_IN_TAR, verbose=0) as tars:
        for i in track(range(len(drawings)), "writing images"):
            name, image = split.classes[drawings.labels[i]], jpeg(drawings.strokes(i))
            tars.write({"__key__": str(drawings.key_ids[i]), "jpg": image, "cls": name})


def jpeg(strokes: Sequence[NDArray[np.uint8 | np.float32]]) -> bytes:
    """A drawing as the original project stores it: black lines on a white square that it is stretched to fill."""
    points = np.concatenate(strokes).astype(float)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (CANVAS - 1) / np.maximum(high - low, 1)
    canvas = Image.new("RGB", (CANVAS, CANVAS), "white")
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        pen.line([(x, y) for x, y in (stroke - low) * scale], fill="black", width=3)
    file = io.BytesIO()
    canvas.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def strokes(options: Options, folder: Path) -> Callable[[int], Iterator[torch.Tensor]]:
    """data=quickdraw: uint8 [B, size, size]."""
    loader = Loader(
        Shards(str(folder / "strokes")).split("train"),
        Rasterizer(options.image_size),
        batch_size=options.batch_size,
        shuffle=True,
        device=torch.device("cpu"),
        num_workers=0,
    )
    return lambda epoch: (batch.inputs for batch in loader.epoch(epoch))


def original(options: Options, folder: Path) -> Callable[[int], Iterator[torch.Tensor]]:
    """The original project's path: float32 [B, 3, size, size], normalized."""
    size = options.image_size
    prepare = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(**IMAGENET)]
    )
    return _webdataset(options, folder, lambda file: prepare(Image.open(io.BytesIO(file)).convert("RGB")))


def opencv(options: Options, folder: Path) -> Callable[[int], Iterator[torch.Tensor]]:
    """The fastest way through webdataset that we know: OpenCV, gray uint8 [B, size, size]."""
    shape = options.image_size, options.image_size

    def decode(file: bytes) -> torch.Tensor:
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        return torch.from_numpy(image if image.shape == shape else cv2.resize(image, shape))

    return _webdataset(options, folder, decode)


PATHS = {"strokes": strokes, "original": original, "opencv": opencv}


def _webdataset(
    options: Options, folder: Path, decode: Callable[[bytes], torch.Tensor]
) -> Callable[[int], Iterator[torch.Tensor]]:
    """Epochs of the image shards, shuffled, with labels by name."""
    classes = Shards(str(folder / "strokes")).split("train").classes
    numbers = {name.encode(): number for number, name in enumerate(classes)}
    tars = sorted(str(path) for path in (folder / "images").iterdir())

    def epoch(number: int) -> Iterator[torch.Tensor]:
        samples = wds.WebDataset(tars, shardshuffle=False).shuffle(BUFFER, rng=random.Random(number))
        pairs = samples.to_tuple("jpg", "cls").map_tuple(decode, numbers.__getitem__)
        return (images for images, labels in pairs.batched(options.batch_size))

    return epoch


def measure(options: Options, folder: Path) -> dict[str, list[float]]:
    """Images per second of every epoch of each path, in turn, in this process, which is pinned to one core."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as train.py does
    paths = {name: path(options, folder) for name, path in PATHS.items()}
    for epochs in paths.values():
        next(epochs(0))  # the first batch compiles, imports and maps files
    speeds: dict[str, list[float]] = {name: [] for name in paths}
    turns = chain.from_iterable([(number, name) for name in paths] for number in range(1, options.repeats + 1))
    for number, name in track(list(turns), "reading epochs"):
        start = time.perf_counter()
        num_images = sum(len(images) for images in paths[name](number))
        speeds[name].append(num_images / (time.perf_counter() - start))
    return speeds


def run(options: Options) -> dict[str, Any]:
    """Measure all paths over the same drawings.

    Returns `runs`, images per second of each epoch; `paths`, the best of each; and `ratio`, how many times as fast as
    the others the strokes are.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(options, Path(folder))
        runs = in_fresh_process(measure, options, Path(folder))
    paths = {name: max(speeds) for name, speeds in runs.items()}
    return {
        "runs": runs,
        "paths": paths,
        "ratio": {name: paths["strokes"] / speed for name, speed in paths.items() if name != "strokes"},
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each path, and the ratios to the first."""
    title = (
        f"reading {options.num_drawings:,} drawings on one core\n"
        f"{options.image_size} px, batches of {options.batch_size}, shuffled, no workers, best of {options.repeats}"
    )
    headings = ("images/s", "us an image")
    rows = Table("path", *(Column(heading, justify="right") for heading in headings), title=title, title_justify="left")
    names = {
        "strokes": "data=quickdraw: strokes, uint8",
        "original": "original project: JPEG tars, PIL, normalized float32",
        "opencv": "JPEG tars, OpenCV, gray uint8",
    }
    for path, speed in figures["paths"].items():
        rows.add_row(names[path], f"{speed:,.0f}", f"{1e6 / speed:,.1f}")
    rows.add_section()
    for path, ratio in figures["ratio"].items():
        rows.add_row(cell(f"data=quickdraw / {names[path].partition(':')[0]}"), f"{ratio:.1f}x", "")
    return rows
