"""Linear probes of a frozen encoder: one pass and many heads at once, against a pass for each epoch of each head."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.table import Column, Table
from torch import Tensor, nn

import benchmarks as bench
from deepdraw.data import Batch, Epochs, Loader, Shards, ShardSplit, Subset
from deepdraw.drawings import Rasterizer
from deepdraw.evaluation import score
from deepdraw.features import Encoder, FeatureLoader, FeatureOptions, Features, cached_features
from deepdraw.models import Classifier, Linear
from deepdraw.models.backbones import TimmBackbone
from deepdraw.models.freezing import everything, freeze
from deepdraw.runtime import Precision, cell, find_device, keep_freed_memory
from deepdraw.training import Recipe, State, cosine, train_step
from deepdraw.training.heads import Grid, Standardized, features_of, linear_head, regress, train_grid, zero_start

ADAMW = partial(torch.optim.AdamW, fused=True)
SCHEDULE = partial(cosine, warmup=0.05)


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers that measure nothing.

    The defaults send 3,584 drawings through the network: 2,048 for deepdraw's way, a test split with it, and 1,536 for
    the other's one epoch.
    """

    root: str = field(default="data/quickdraw", metadata={"help": "shards, by python -m deepdraw.data.quickdraw"})
    backbone: str = field(default="tf_efficientnet_lite0", metadata={"help": "a model of timm"})
    pretrained: str = field(default="true", metadata={"help": "true for the hub's weights, a file, or false"})
    image_size: int = field(default=128, metadata={"help": "pixels"})
    train: int = field(default=1024, metadata={"help": "drawings, in whole blocks of the shards"})
    val: int = field(default=512, metadata={"help": "drawings that choose the best head, in whole blocks"})
    test: int = field(default=512, metadata={"help": "drawings that all are compared on, in whole blocks"})
    epochs: int = field(default=15, metadata={"help": "that each head trains for"})
    lrs: str = field(
        default="[1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2]",
        metadata={"help": "a head for each learning rate of AdamW"},
    )
    measured_epochs: int = field(default=1, metadata={"help": "of a single head trained the other way, then scaled"})
    cs: str = field(default="[1e-4,1e-3,1e-2,1e-1]", metadata={"help": "inverse L2 strengths of logistic regression"})
    batch_size: int = field(default=128, metadata={"help": "drawings in a step, and in a call of the backbone"})
    num_workers: int = field(default=0, metadata={"help": "processes that draw, on both sides"})
    seed: int = field(default=0, metadata={"help": "of the head's first weights and of the order of drawings"})
    device: str = field(default="auto", metadata={"help": "auto, cpu (fp32) or cuda (bf16)"})

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "epochs", "measured_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} measures nothing: give at least 1")
        for name in ("lrs", "cs"):
            numbers(self, name)


def numbers(options: Options, name: str) -> list[float]:
    """The list that the option `name` is, all above 0; ValueError where it is none."""
    text = getattr(options, name)
    try:
        listed = sorted(float(entry) for entry in text.strip("[]").split(","))
    except ValueError:
        listed = []
    if not listed or listed[0] <= 0:
        raise ValueError(f"{name}={text} is no list of numbers above 0: write it as {name}=[1e-3,1e-2]")
    return listed


class First(Subset):
    """The first blocks of a split, as many as hold `number` drawings or, where there are fewer, all."""

    def __init__(self, split: ShardSplit, number: int) -> None:
        enough = int(np.searchsorted(np.cumsum(split.block_sizes), number)) + 1
        super().__init__(split, np.arange(split.block_sizes[:enough].sum()))


class Recomputed(Loader):
    """A loader of features that the backbone, called in the same way, computes again in every epoch."""

    def __init__(self, encoder: Encoder, split: First, **options: Any) -> None:
        super().__init__(split, encoder.rasterizer, num_workers=encoder.num_workers, **options)
        self._encoder = encoder

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, features in the place of images."""
        for batch in super().epoch(epoch, first):
            with torch.no_grad():
                features = self._encoder.features(batch.inputs).float()
            yield batch._replace(inputs=features)


def recipe(epochs: int) -> Recipe:
    """No label smoothing and no mixing, as linear probes are measured."""
    return Recipe(
        epochs=epochs,
        limit_steps=None,
        grad_accum=1,
        clip_grad=1.0,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        ema=None,
        compile=False,
        activation_checkpointing=False,
        log_every=50,
        checkpoint_every=10**9,
    )


def build(options: Options, num_classes: int) -> Classifier:
    """The frozen encoder with a linear head that `options.seed` starts; ValueError where timm has no such encoder."""
    pretrained = {"true": True, "false": False}.get(options.pretrained, options.pretrained)
    torch.manual_seed(options.seed)
    backbone = TimmBackbone(options.backbone, pretrained, options.image_size)
    backbone.load_pretrained()
    model = Classifier(backbone, Linear(backbone.num_features, num_classes))
    freeze(model, everything(backbone.layer_groups()))
    return model.eval().to(find_device(options.device))


def train_alone(model: Classifier, loaders: Sequence[Epochs], precision: Precision, epochs: int, lr: float) -> float:
    """Train a copy of the model's head as the loop does, validate it after each epoch, and return its last top-1.

    loaders: of features, to train and to validate on.
    """
    train, val = loaders
    alone = Classifier(model.backbone, deepcopy(model.head)).to(precision.device)
    optimizer = ADAMW(alone.head.parameters(), lr=lr, weight_decay=0.0)
    schedule = SCHEDULE(optimizer, epochs * len(train))
    recent = torch.zeros(3, device=precision.device)
    state = State(alone, None, optimizer, schedule, precision.scaler(), {}, recent)
    top1 = 0.0
    for epoch in range(epochs):
        batches = ((batch.inputs, batch.labels) for batch in train.epoch(epoch))
        for _ in range(len(train)):
            train_step(state, batches, recipe(epochs), precision)
        top1 = score(alone, val, precision, title="val")[0]["top1"]
    return top1


@contextmanager
def stopwatch(seconds: dict[str, float], name: str, device: torch.device) -> Iterator[None]:
    """Note what the block took, the device's work included."""
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[name] = time.perf_counter() - start


def train_heads(options: Options, model: Classifier, train: Epochs, val: Epochs) -> Grid:
    """All heads at once, from the first weights of the model's."""
    whole = recipe(options.epochs)
    head = linear_head(model)
    grid = Grid(head, numbers(options, "lrs"), [0.0], None, ADAMW, SCHEDULE, whole.total_steps(train))
    train_grid(grid, train, val, whole, partial(features_of, model))
    return grid


def run(options: Options) -> dict[str, Any]:
    """Train all heads deepdraw's way, one of them the other way, and find the optimum that both could reach at best.

    Returns `drawings` in each split; `seconds` of the pass (`encode`), of the `heads` and of all that each way takes,
    `kept` and, scaled, `recomputed`; their `ratio`; `heads`, the table of the grid; `same_head`, what one head reaches
    on validation on kept and on recomputed features; and `compared`, the `test_top1` of the best of the grid, of the
    optimum and of scikit-learn's.
    """
    keep_freed_memory()
    shards = Shards(options.root)
    splits = {name: First(shards.split(name), getattr(options, name)) for name in ("train", "val", "test")}
    model = build(options, len(splits["train"].classes))
    device = model.scale.device
    precision = Precision("auto", device)
    rasterizer = Rasterizer(options.image_size)
    loading: dict[str, Any] = {"batch_size": options.batch_size, "device": device, "seed": options.seed}
    encoder = Encoder(model, {"name": options.backbone}, rasterizer, precision, options.num_workers)
    recomputed = [Recomputed(encoder, splits[name], shuffle=name == "train", **loading) for name in ("train", "val")]
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        encode = partial(cached_features, encoder=encoder, options=FeatureOptions(folder, None, "fp16"))
        with stopwatch(seconds, "encode", device):
            kept = {name: encode(name, splits[name]) for name in ("train", "val")}
        features = [FeatureLoader(kept[name], splits[name], shuffle=name == "train", **loading) for name in kept]
        with stopwatch(seconds, "heads", device):
            grid = train_heads(options, model, *features)
        best = grid.rows[grid.best]
        same = {"lr": best["lr"], "epochs": options.measured_epochs}
        same["kept"] = train_alone(model, features, precision, options.measured_epochs, best["lr"])
        with stopwatch(seconds, "measured", device):
            same["recomputed"] = train_alone(model, recomputed, precision, options.measured_epochs, best["lr"])
        kept["test"] = encode("test", splits["test"])
        compared = {"best of the grid": {"lr": best["lr"], "test_top1": top1(grid.head(grid.best), kept["test"])}}
        compared |= optima(numbers(options, "cs"), kept, len(splits["train"].classes), device)
    seconds["kept"] = seconds["encode"] + seconds["heads"]
    seconds["recomputed"] = seconds["measured"] / options.measured_epochs * options.epochs * len(grid.rows)
    return {
        "drawings": {name: int(split.block_sizes.sum()) for name, split in splits.items()},
        "seconds": seconds,
        "ratio": seconds["recomputed"] / seconds["kept"],
        "heads": grid.rows,
        "same_head": same,
        "compared": compared,
    }


def optima(
    cs: list[float], kept: Mapping[str, Features], num_classes: int, device: torch.device
) -> dict[str, dict[str, float]]:
    """Logistic regression at the strength that is best on validation: deepdraw's, and scikit-learn's at the same."""
    features = Standardized(kept["train"], device)
    optimum, found = zero_start(features, num_classes), []
    for c in cs:
        optimum = regress(features, optimum, c, max_steps=1000)
        found.append((c, features.fold(optimum.weight, optimum.bias)))
    c, head = max(found, key=lambda one: top1(one[1], kept["val"]))
    return {
        "head=logistic": {"c": c, "test_top1": top1(head, kept["test"])},
        "scikit-learn": {"c": c, "test_top1": scikit_learn(kept["train"], kept["test"], c)},
    }


def top1(head: dict[str, Tensor], kept: Features) -> float:
    """Top-1, 0..1, of a linear head on features [N, D]."""
    logits = nn.functional.linear(kept.features.float(), head["weight"].cpu(), head["bias"].cpu())
    return (logits.argmax(dim=1) == kept.labels).double().mean().item()


def scikit_learn(train: Features, test: Features, c: float) -> float:
    """Top-1 of scikit-learn's LogisticRegression on standardized features; ValueError where it is not installed."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ValueError("the comparison needs scikit-learn: pip install 'deepdraw[test]'") from error
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    regression.fit(train.features.float().numpy(), train.labels.numpy())
    return float(regression.score(test.features.float().numpy(), test.labels.numpy()))


def table(options: Options, figures: dict[str, Any]) -> Table:
    """What both ways take, and how good their heads are."""
    number, seconds, same = figures["drawings"], figures["seconds"], figures["same_head"]
    title = (
        f"{options.epochs} epochs of {len(figures['heads'])} linear heads on frozen {options.backbone}\n"
        f"{number['train']:,} drawings at {options.image_size} px, {number['val']:,} to validate, "
        f"{number['test']:,} to test"
    )
    rows = Table("", Column("seconds", justify="right"), Column("top-1", justify="right"), title=title)
    rows.title_justify = "left"
    rows.add_row("one pass", f"{seconds['encode']:.1f}", "")
    rows.add_row("all heads at once", f"{seconds['heads']:.1f}", "")
    rows.add_row("a pass for each epoch of each head *", f"{seconds['recomputed']:.1f}", "")
    rows.add_row("ratio", f"{figures['ratio']:.1f}x", "", style="bold", end_section=True)
    after = f"validation, lr {same['lr']:g} alone, epochs: {same['epochs']}"
    rows.add_row(cell(f"{after}, features kept"), "", f"{100 * same['kept']:.2f} %")
    rows.add_row(cell(f"{after}, recomputed"), "", f"{100 * same['recomputed']:.2f} %", end_section=True)
    for name, reached in figures["compared"].items():
        setting = ", ".join(f"{key} {value:g}" for key, value in reached.items() if key != "test_top1")
        rows.add_row(cell(f"test, {name}, {setting}"), "", f"{100 * reached['test_top1']:.2f} %")
    rows.caption = f"* measured on one head, epochs: {same['epochs']}, and scaled"
    rows.caption_justify = "left"
    return rows
