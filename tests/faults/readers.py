"""Every reader of files that may be damaged or a stranger's, each with files that it reads."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from deepdraw.compare.runs import read_run
from deepdraw.data.folders import open_folder
from deepdraw.data.shard_index import index_bytes
from deepdraw.data.shards import Shards, write_shards
from deepdraw.data.tars.source import ImageTars
from deepdraw.drawings.files import whole_sketches
from deepdraw.drawings.images import draw_image
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.predictions import Predictions
from deepdraw.features.store import ARRAYS, BLOCK, FeatureStore, FeatureWriter
from deepdraw.loggers.base import CSVLogger
from deepdraw.models.backbones.weights import read_weights
from deepdraw.report.curves import read_curves
from deepdraw.report.page import write_report
from deepdraw.runtime.lock import Lock
from deepdraw.sweep.job import load_config
from deepdraw.sweep.record import Job, read_sweep, write_sweep
from deepdraw.sweep.reports import read_report
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from tests.faults.mutations import Mutation, change_json, change_member, change_value

RASTERIZER = Rasterizer(16, 1.0)
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><style>.a{fill:none;stroke:red}</style>
<g transform="translate(3 4) rotate(20)"><path class="a" d="M1 2L30 4C1 2 3 4 5 6A9 9 0 0 1 20 20z"/>
<polyline points="1,2 3,4 5.5 6e1" style="stroke:blue"/><rect x="1" y="2" width="9" height="5" rx="2"/></g></svg>"""
CSV = """word,key_id,recognized,drawing
cat,5,True,"[[[0, 255], [3, 4]]]"
cat,6,False,"[[[0.5, 300], [3, 4.5], [0, 9]]]"
"""
CONFIG = "seed: 0\nbackbone:\n  _target_: deepdraw.models.backbones.base.TimmBackbone\n  name: tiny\ndata:\n  root: x\n"


@dataclass(frozen=True)
class Reader:
    """make: writes what is read into a folder, and gives the files to be changed; read: reads them.

    is_sealed: any change by `damage` is noticed; changes: what somebody does who knows the form, checksums and all, to
    a file of this suffix.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    changes: dict[str, Mutation] | None = None
    is_sealed: bool = False
    share: float = 1.0  # of the tries


def written(name: str, content: bytes | str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return [folder / name]

    return make


def ndjson(folder: Path) -> list[Path]:
    simple = {"word": "cat", "key_id": "5", "recognized": True, "drawing": [[[0, 255], [3, 4]], [[1, 2, 3], [4, 5, 6]]]}
    raw = simple | {"key_id": "6", "drawing": [[[0.5, 300, 20], [3, 4.5, 9], [0, 10, 20]]]}
    (folder / "cat.ndjson").write_text("".join(json.dumps(line) + "\n" for line in (simple, raw)))
    return [folder / "cat.ndjson"]


def one_line_of_json(chosen: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    place = chosen.randrange(len(lines))
    lines[place] = change_json(chosen, lines[place]) + b"\n"
    return b"".join(lines)


def drawings(number: int = 30) -> Drawings:
    chosen = np.random.default_rng(0)
    strokes = [[chosen.integers(0, 256, (5, 2)) for _ in range(2)] for _ in range(number)]
    return Drawings.pack(strokes, np.arange(number) % 3, np.arange(number))


def binary(folder: Path) -> list[Path]:
    record = struct.pack("<Q2sbIH", 7, b"DE", 1, 0, 2) + 2 * (struct.pack("<H", 3) + bytes(range(6)))
    return written("cat.bin", 3 * record)(folder)


def bitmaps(folder: Path) -> list[Path]:
    np.save(folder / "cat.npy", np.random.default_rng(0).integers(0, 256, (3, 784), np.uint8))
    return [folder / "cat.npy"]


def sketch_rnn(folder: Path) -> list[Path]:
    steps = np.empty(3, object)
    steps[:] = [np.random.default_rng(i).integers(0, 2, (5 + i, 3), np.int16) for i in range(3)]
    np.savez(folder / "cat.npz", train=steps, valid=steps[:1], test=steps[:1])
    return [folder / "cat.npz"]


def shards(folder: Path) -> list[Path]:
    write_shards(folder, {"train": (["a", "b", "c"], drawings())}, metadata={"protocol": "original"})
    return [folder / "index.json", folder / "train-00000.tar"]


def read_shards(folder: Path) -> object:
    split = Shards(str(folder)).split("train")
    return split.classes, split.labels.tolist(), [block.points.tolist() for block in split]


def sealed_index(chosen: random.Random, content: bytes) -> bytes:
    index = json.loads(content)
    del index["sha256"]
    return (
        index_bytes(changed)
        if isinstance(changed := change_value(chosen, index), dict)
        else json.dumps(changed).encode()
    )


def vouched_shard(folder: Path) -> list[Path]:
    """A shard whose index vouches for whatever it holds: see `read_vouched_shard`."""
    shards(folder)
    return [folder / "train-00000.tar"]


def read_vouched_shard(folder: Path) -> object:
    content, index = (folder / "train-00000.tar").read_bytes(), json.loads((folder / "index.json").read_bytes())
    del index["sha256"]
    index["splits"]["train"]["shards"][0] |= {"num_bytes": len(content), "sha256": sha256(content).hexdigest()}
    (folder / "index.json").write_bytes(index_bytes(index))
    return read_shards(folder)


def picture(form: str, mode: str = "L", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


def pictures(*forms: tuple[str, str]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        for form, mode in forms:
            (folder / f"{form}.{mode}.png").write_bytes(picture(form, mode))
        return sorted(folder.iterdir())

    return make


def draw_all(folder: Path) -> object:
    return [draw_image(path, RASTERIZER).tolist() for path in sorted(folder.iterdir())]


def tars(folder: Path) -> list[Path]:
    (folder / "train").mkdir()
    with tarfile.open(folder / "train/data-00000.tar", "w") as tar:
        for number in range(6):
            contents = {"png": picture("PNG"), "cls": ("apple", "fish")[number % 2].encode()}
            for suffix, content in contents.items():
                member = tarfile.TarInfo(f"k{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    read_tars(folder)
    return [folder / "train/data-00000.tar", folder / "train/index.npz"]


def read_tars(folder: Path) -> object:
    split = ImageTars(str(folder)).split("train")
    number = int(split.block_sizes.sum())
    images = np.empty((number, 16, 16), np.uint8)
    labels, keys = split.read(np.arange(len(split.block_sizes)), np.arange(number), RASTERIZER, images)
    return split.classes, labels.tolist(), keys.tolist(), images.tolist()


def classes_of_tars(folder: Path) -> list[Path]:
    tars(folder)
    return written("classes.txt", "apple\nfish\ncat\n")(folder)


def class_folder(folder: Path) -> list[Path]:
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        (folder / name / "1.png").write_bytes(picture("PNG", "RGBA"))
        (folder / name / "2.jpg").write_bytes(picture("JPEG"))
        (folder / name / "3.svg").write_text(SVG)
    return sorted(folder.glob("*/*"))


def read_folder(folder: Path) -> object:
    split = open_folder(folder)
    images = np.empty((6, 16, 16), np.uint8)
    return split.read(np.arange(len(split.block_sizes)), np.arange(6), RASTERIZER, images)


def predictions(folder: Path) -> list[Path]:
    rows, labels = np.arange(50), (np.arange(50) % 2).astype(np.uint16)
    ranks, confidences = np.zeros(50, np.uint16), np.full(50, 0.75, np.float32)
    path = folder / "test.predictions.npz"
    Predictions(["cat", "dog"], rows.astype(np.uint64), labels, labels, confidences, ranks, labels + 1, ranks).save(
        path
    )
    return [path]


def read_predictions(folder: Path) -> object:
    found = Predictions.load(folder / "test.predictions.npz")
    return found.classes, found.labels.tolist(), found.risk_coverage(), found.by_complexity()


def checkpoint(folder: Path) -> list[Path]:
    content = {"config": {"seed": 1}, "classes": ["a"], "model": torch.nn.Linear(3, 2).state_dict()}
    save_checkpoint(folder / "best.pt", content)
    return [folder / "best.pt"]


def weights(folder: Path) -> list[Path]:
    state = {"weight": torch.ones(4, 3), "bias": torch.ones(4)}
    torch.save(state, folder / "w.pth")
    save_file(state, folder / "w.safetensors")
    return [folder / "w.pth", folder / "w.safetensors"]


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "train", BLOCK + 5, 3, None, torch.float16, metadata='{"weights": "0aa0"}')


def features(folder: Path) -> list[Path]:
    with FeatureWriter(store(folder)) as writer:
        for size in (BLOCK, 5):
            writer.append(torch.rand(size, 3).half(), torch.arange(size), torch.arange(size))
        writer.finish()
    return [folder / "train" / name for name in (*ARRAYS, "checksums", "about.json")]


def read_features(folder: Path) -> object:
    if (found := store(folder).open()) is None:
        raise ValueError(f"{folder} is damaged, so that its features are computed anew")
    return found.labels.tolist()


def run(folder: Path) -> list[Path]:
    (folder / "evaluations").mkdir()
    summary = {"parameters": 5, "seed": 0, "versions": {"torch": "2"}, "git_commit": None, "val/epoch": 3}
    (folder / "summary.json").write_text(json.dumps(summary | {"test/top1": 0.5, "test/loss": 1}))
    (folder / "evaluations/test.json").write_text(json.dumps({"test/top1": 0.5, "test/prototype_5shot_top1": 0.25}))
    (folder / "config.yaml").write_text(CONFIG)
    return [folder / "summary.json", folder / "evaluations/test.json", folder / "config.yaml"]


def read_run_and_report(folder: Path) -> object:
    write_report(folder)
    return read_run(folder, "test").metrics


def csv_of_run(folder: Path) -> list[Path]:
    logger = CSVLogger(folder, {})
    for step in range(1, 6):
        logger.log({"train/loss": 1 / step, "val/top1": 0.1 * step}, epoch=step, step=step)
    return [folder / "metrics.csv"]


def read_csv(folder: Path) -> object:
    CSVLogger(folder, {}).load_state_dict({"rows": 3})
    return read_curves(folder / "metrics.csv")


def sweep(folder: Path) -> list[Path]:
    jobs = [Job(k, [f"optimizer.lr={k}"], folder / str(k)) for k in range(2)]
    write_sweep(folder, "local", "val/top1", jobs)
    return [folder / "sweep.json"]


def lock(folder: Path) -> list[Path]:
    taken = Lock(folder / "run.lock")
    assert taken.acquire()
    content = (folder / "run.lock").read_bytes()
    taken.release()
    (folder / "run.lock").write_bytes(content)
    return [folder / "run.lock"]


def read_lock(folder: Path) -> object:
    seen = Lock(folder / "run.lock")
    return seen.is_taken, seen.owner_runs_here, seen.owner


REPORT = {"state": "RUNNING", "id": "7", "pid": 12345, "host": "here", "started": "2026-01-01T00:00:00"}
JSON: dict[str, Mutation] = {".json": change_json}
READERS = {
    "ndjson": Reader(
        ndjson, lambda folder: list(whole_sketches(folder / "cat.ndjson")), {".ndjson": one_line_of_json}, share=4
    ),
    "bin": Reader(binary, lambda folder: list(whole_sketches(folder / "cat.bin")), share=4),
    "csv": Reader(written("cat.csv", CSV), lambda folder: list(whole_sketches(folder / "cat.csv"))),
    "npy": Reader(bitmaps, lambda folder: list(whole_sketches(folder / "cat.npy"))),
    "sketch-rnn": Reader(sketch_rnn, lambda folder: list(whole_sketches(folder / "cat.npz")), {".npz": change_member}),
    "svg": Reader(written("x.svg", SVG), lambda folder: draw_image(folder / "x.svg", RASTERIZER), share=0.5),
    "png": Reader(pictures(("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P")), draw_all, share=2),
    "jpeg": Reader(pictures(("JPEG", "L"), ("JPEG", "RGB")), draw_all, share=2),
    "other images": Reader(pictures(*((form, "RGB") for form in ("BMP", "GIF", "TIFF", "WEBP", "PPM"))), draw_all),
    "tars": Reader(tars, read_tars, {".npz": change_member}, share=0.5),
    "classes.txt": Reader(classes_of_tars, read_tars, share=0.3),
    "folder": Reader(class_folder, read_folder, share=0.5),
    "shards": Reader(shards, read_shards, {".json": sealed_index}, is_sealed=True, share=0.7),
    "vouched shard": Reader(vouched_shard, read_vouched_shard, share=0.5),
    "predictions": Reader(predictions, read_predictions, {".npz": change_member}, is_sealed=True),
    "checkpoint": Reader(checkpoint, lambda folder: load_checkpoint(folder / "best.pt"), {".pt": change_member}, True),
    "weights": Reader(
        weights, lambda folder: [read_weights(str(p)) for p in folder.iterdir()], {".pth": change_member}
    ),
    "features": Reader(features, read_features, is_sealed=True),
    "run": Reader(run, read_run_and_report, JSON, share=0.4),
    "metrics.csv": Reader(csv_of_run, read_csv),
    "job config": Reader(written("0.yaml", CONFIG), lambda folder: load_config(folder / "0.yaml")),
    "sweep.json": Reader(sweep, read_sweep, JSON),
    "job.json": Reader(written("job.json", json.dumps(REPORT)), read_report, JSON),
    "lock": Reader(lock, read_lock, {".lock": change_json}),
}
