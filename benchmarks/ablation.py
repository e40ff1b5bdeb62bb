"""What each part of networks that see strokes is worth: accuracy after equal time, on one core."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hydra.utils import instantiate
from rich.table import Table
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

import benchmarks as bench
from benchmarks import in_fresh_process
from benchmarks.steps import one_line_errors
from deepdraw.config import compose_config
from deepdraw.data import Epochs, Inputs
from deepdraw.drawings import POINT_NUMBERS
from deepdraw.models import Classifier, ModelPlan
from deepdraw.runtime import Ranks
from deepdraw.training import Recipe, State, train_step
from deepdraw.training_data import TrainingData

WARMUP = 0.05  # share of the time in which the learning rate rises
STROKES, BOTH, PIXELS = "experiment=strokes", "experiment=fused_small", "experiment=scratch"
# Each trained network: its part of the table, its name, overrides of train.py, numbers of points that it does not see.
NETWORKS: list[tuple[str, str, list[str], list[str]]] = [
    ("points", "96", [STROKES], []),
    ("points", "48", [STROKES, "input.points=48"], []),
    ("points", "192", [STROKES, "input.points=192"], []),
    ("numbers", "without the position", [STROKES], ["x", "y"]),
    ("numbers", "without the first point of a stroke", [STROKES], ["is_start"]),
    ("numbers", "without the direction", [STROKES], ["dx", "dy"]),
    ("numbers", "without what is a point and what padding", [STROKES], ["is_point"]),
    ("numbers", "without the share of the line", [STROKES], ["order"]),
    ("numbers", "without the number of the stroke", [STROKES], ["stroke"]),
    ("attention", "none", [STROKES, "backbone.attention=0"], []),
    ("fused", "features", [BOTH, "head=linear"], []),
    ("fused", "weighed logits", [BOTH, "head=weighed", "head.apart=false"], []),
    ("fused", "weighed logits, apart", [BOTH, "head=weighed", "head.apart=true"], []),
    ("channels", "ink", [PIXELS, "render.channels=ink"], []),
    ("channels", "shaded", [PIXELS], []),
    ("channels", "thirds", [PIXELS, "render.channels=thirds"], []),
]
PARTS = tuple(dict.fromkeys(part for part, *_ in NETWORKS))


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for a time that trains nothing, or a part that there is not."""

    root: str = field(default="data/quickdraw414k", metadata={"help": "shards: trained on train, measured on val"})
    minutes: float = field(default=2.0, metadata={"help": "CPU time of each training"})
    seed: int = field(default=42, metadata={"help": "of weights, order and augmentation"})
    parts: str = field(default=",".join(PARTS), metadata={"help": "parts of the table"})
    train: str = field(default="", metadata={"help": "more overrides of train.py, for all networks"})

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes} must be above 0")
        if unknown := set(self.parts.split(",")) - set(PARTS):
            raise ValueError(f"parts={','.join(sorted(unknown))} are unknown: choose {', '.join(PARTS)}")


def run(options: Options) -> dict[str, Any]:
    """Train every network of the chosen parts for the same CPU time, each in a process of its own."""
    rows = []
    for part, name, words, hidden in NETWORKS:
        if part in options.parts.split(","):
            with one_line_errors():
                found = in_fresh_process(measure, options, words, hidden)
            rows.append({"part": part, "name": name, **found})
            print(f"{part}: {name}: {100 * found['val_top1']:.1f} %", flush=True)
    return {"networks": rows}


def measure(options: Options, words: Sequence[str], hidden: Sequence[str]) -> dict[str, float]:
    """Validation top-1 after the time is over, and how often each drawing was seen in it."""
    torch.set_num_threads(1)
    own = [f"data.root={options.root}", "data.num_workers=0", "device=cpu", "precision=fp32", f"seed={options.seed}"]
    config = compose_config("train", [*words, *own, *options.train.split()])
    torch.manual_seed(config.seed)
    plan = ModelPlan.of(config)
    data = TrainingData.of(config, plan.backbone.sees, torch.device("cpu"), Ranks())
    model = plan.build(len(data.classes)).train()
    if hidden:
        keep = torch.tensor([float(name not in hidden) for name in POINT_NUMBERS])
        model.backbone.register_forward_pre_hook(lambda _, inputs: (inputs[0] * keep,))
    optimizer = instantiate(config.optimizer, model, _convert_="all", pretrained=False)
    first = next(data.loaders["train"].epoch())
    model(first.inputs)  # so that nothing is compiled and no memory taken in the measured time
    start, budget = time.process_time(), 60 * options.minutes

    def share() -> float:
        return min(1.0, (time.process_time() - start) / budget)

    state = State(
        model=model,
        averaged=None,
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda _: rate(share())),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        loggers={},
        recent=torch.zeros(3),
    )
    precision = instantiate(config.precision, device=torch.device("cpu"))
    batches, recipe = endless(data.loaders["train"]), Recipe(**config.train)
    while share() < 1:
        train_step(state, batches, recipe, precision)
    seen = state.step * config.data.batch_size / data.loaders["train"].num_drawings
    return {"val_top1": top1(model, data.loaders["val"]), "drawings": data.loaders["val"].num_drawings, "epochs": seen}


def rate(share: float) -> float:
    """The learning rate after a share of the time, as a factor: a short rise, then a cosine."""
    return min(1.0, share / WARMUP + 0.01) * (1 + math.cos(math.pi * share)) / 2


def endless(loader: Epochs) -> Iterator[tuple[Inputs, Tensor]]:
    """Inputs and labels of epoch after epoch."""
    epoch = 0
    while True:
        yield from ((batch.inputs, batch.labels) for batch in loader.epoch(epoch))
        epoch += 1


@torch.inference_mode()
def top1(model: Classifier, loader: Epochs) -> float:
    """The share of the drawings that the model names."""
    model.eval()
    hits = sum(int((model(batch.inputs).argmax(dim=1) == batch.labels).sum()) for batch in loader.epoch())
    return hits / loader.num_drawings


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each network: accuracy, its standard error, and epochs."""
    title = f"validation top-1 after {options.minutes:g} minutes of one core, {options.root}, seed {options.seed}"
    rows = Table("part", "network", title=title, title_justify="left")
    for name in ("top-1, %", "standard error", "epochs"):
        rows.add_column(name, justify="right")
    last = None
    for row in figures["networks"]:
        share = row["val_top1"]
        error = 100 * math.sqrt(share * (1 - share) / row["drawings"])
        if last not in (None, row["part"]):
            rows.add_section()
        last = row["part"]
        rows.add_row(row["part"], row["name"], f"{100 * share:.1f}", f"{error:.1f}", f"{row['epochs']:.2f}")
    return rows
