"""How early the right name comes first while a drawing is drawn, for one network or several."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Column, Table

import benchmarks as bench
from benchmarks.images import BATCH
from deepdraw.data import Shards, Split, Subset
from deepdraw.drawings import View
from deepdraw.inference import Trained, rebuild
from deepdraw.runtime import keep_freed_memory


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for what measures nothing."""

    ckpts: str = field(default="", metadata={"help": "runs, or their best.pt, separated by commas"})
    root: str = field(default="", metadata={"help": "shards; their split test is drawn"})
    num_drawings: int = field(default=1000, metadata={"help": "drawings of the split test, in stored order"})
    steps: int = field(default=20, metadata={"help": "how often the network guesses while a drawing is drawn"})

    def __post_init__(self) -> None:
        if not self.ckpts or not self.root:
            raise ValueError("networks and drawings are needed: give ckpts=RUN,RUN2 and root=SHARDS")
        if self.num_drawings < 1 or self.steps < 1:
            raise ValueError(f"num_drawings={self.num_drawings} and steps={self.steps} must be at least 1")


def run(options: Options) -> dict[str, Any]:
    """Of each network: `recognized`, the share of whole drawings whose name comes first, and of those the mean share of
    the line after which it comes first at last (`first`) and stays first from then on (`stays`), all in 0..1."""
    keep_freed_memory()
    test = Shards(options.root).split("test")
    drawings = Subset(test, np.arange(min(options.num_drawings, len(test.labels))))
    networks = {}
    with Progress() as progress:
        for ckpt in progress.track(options.ckpts.split(","), description="networks"):
            networks[ckpt] = measured(rebuild(ckpt), drawings, options.steps)
    return {"num_drawings": len(drawings.labels), "networks": networks}


def measured(trained: Trained, drawings: Split, steps: int) -> dict[str, float]:
    """The figures of one network; see `run`."""
    shares = np.arange(1, steps + 1) / steps
    right = np.stack([guesses(trained, drawings, float(share)) == drawings.labels for share in shares])
    right = right[:, right[-1]]
    wrong_last = steps - 1 - (~right)[::-1].argmax(axis=0)  # the last step at which the name is not first
    stays = np.where(right.all(axis=0), 0, wrong_last + 1)
    return {
        "recognized": right.shape[1] / len(drawings.labels),
        "first": float(shares[right.argmax(axis=0)].mean()),
        "stays": float(shares[stays].mean()),
    }


@torch.inference_mode()
def guesses(trained: Trained, drawings: Split, share: float) -> NDArray[np.int64]:
    """The likeliest class of each drawing, of whose line this share is drawn."""
    found = []
    with closing(trained.load(drawings, batch_size=BATCH, num_workers=0, views=[View(drawn=share)])) as loader:
        for batch in loader.epoch():
            with trained.precision.autocast():
                found.append(trained.model(batch.inputs).argmax(dim=1).cpu().numpy())
    return np.concatenate(found)


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each network."""
    title = (
        f"{figures['num_drawings']:,} drawings of the split test, {options.steps} guesses while each is drawn: how many"
        " are named rightly when whole, and after which share of the line that name comes first, and stays first"
    )
    headings = ("right, %", "first after, %", "stays after, %")
    columns = [Column("network"), *(Column(heading, justify="right") for heading in headings)]
    rows = Table(*columns, title=title, title_justify="left")
    for ckpt, found in figures["networks"].items():
        rows.add_row(ckpt, *(f"{100 * found[name]:.1f}" for name in ("recognized", "first", "stays")))
    return rows
