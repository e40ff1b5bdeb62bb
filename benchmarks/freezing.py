"""A training step whose first blocks are frozen, against the original project's way of freezing them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.progress import track
from rich.table import Column, Table
from torch.nn import functional as F

import benchmarks as bench
from benchmarks import in_fresh_process, peak_memory
from deepdraw.models import Classifier, Linear
from deepdraw.models.backbones import LayerGroup, TimmBackbone
from deepdraw.models.freezing import policies as freezing
from deepdraw.runtime import Precision, find_device

NUM_CLASSES = 275  # the seen categories of Quick, Draw!


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers below 1."""

    backbone: str = field(
        default="vit_large_patch14_reg4_dinov2", metadata={"help": "a model of timm, with random weights"}
    )
    blocks: int = field(default=12, metadata={"help": "how many of its first blocks are frozen"})
    image_size: int = field(default=224, metadata={"help": "pixels"})
    batch_size: int = field(default=2, metadata={"help": "drawings in a step"})
    steps: int = field(default=2, metadata={"help": "steps of a process, of which the fastest counts"})
    repeats: int = field(default=2, metadata={"help": "processes of each way, in turn, of which the best counts"})
    device: str = field(default="auto", metadata={"help": "auto, cpu (fp32) or cuda (bf16)"})

    def __post_init__(self) -> None:
        for name in ("blocks", "image_size", "batch_size", "steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} measures nothing: give at least 1")


def freeze_first(model: Classifier, groups: Sequence[LayerGroup]) -> None:
    """deepdraw's way: nothing below the last frozen block trains or needs a graph, and all of it is in eval mode."""
    freezing.freeze(model, groups)
    model.train()


def freeze_as_the_original(model: Classifier, groups: Sequence[LayerGroup]) -> None:
    """The original project's way: the blocks need no gradient, the embeddings below do, and all is in train mode."""
    _, *blocks = groups
    for block in blocks:
        for parameter in block.parameters:
            parameter.requires_grad_(False)
    model.train()


def freeze_nothing(model: Classifier, groups: Sequence[LayerGroup]) -> None:
    """What either way saves something of."""
    model.train()


WAYS: dict[str, Callable[[Classifier, Sequence[LayerGroup]], None]] = {
    "first": freeze_first,
    "original": freeze_as_the_original,
    "none": freeze_nothing,
}


def build(options: Options, way: str) -> Classifier:
    """The backbone with random weights and a linear head, ready to train, its first blocks frozen in this way.

    Raises:
        ValueError: timm has no such backbone, or it has fewer blocks, or takes no images of this size.
    """
    backbone = TimmBackbone(options.backbone, pretrained=False, image_size=options.image_size)
    if options.blocks > backbone.num_blocks:
        raise ValueError(f"blocks={options.blocks}: {backbone.name} has {backbone.num_blocks}, give at most so many")
    model = Classifier(backbone, Linear(backbone.num_features, NUM_CLASSES))
    WAYS[way](model, freezing.first(backbone.layer_groups(), options.blocks))
    return model


def measure(options: Options, way: str) -> dict[str, Any]:
    """What training steps of this way take, in this process: seconds of each, bytes, parameters that train."""
    device = find_device(options.device)
    precision = Precision("bf16" if device.type == "cuda" else "fp32", device)
    model = build(options, way).to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    generator = torch.Generator().manual_seed(0)
    size = (options.batch_size, options.image_size, options.image_size)
    images = torch.randint(256, size, generator=generator, dtype=torch.uint8).to(device)
    labels = torch.randint(NUM_CLASSES, size[:1], generator=generator).to(device)
    held = peak_memory(device)
    seconds = []
    for _ in range(options.steps):
        start = time.perf_counter()
        with precision.autocast():
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    peak = peak_memory(device)
    return {
        "device": device.type,
        "precision": precision.name,
        "seconds": seconds,
        "step_bytes": peak - held,
        "total_bytes": peak,
        "trainable_parameters": sum(parameter.numel() for parameter in trained),
    }


def run(options: Options) -> dict[str, Any]:
    """Measure all ways in turn, each time in a fresh process.

    Returns `runs`, all that was measured; `ways`, the best of each; and `ratio`, how many times as much time and memory
    the original project's way takes as deepdraw's.
    """
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for way in track([*WAYS] * options.repeats, "training steps"):
        runs[way].append(in_fresh_process(measure, options, way))
    ways = {
        way: {
            "seconds": min(min(run["seconds"]) for run in measured),
            "step_bytes": min(run["step_bytes"] for run in measured),
            "total_bytes": min(run["total_bytes"] for run in measured),
            "trainable_parameters": measured[0]["trainable_parameters"],
        }
        for way, measured in runs.items()
    }
    compared = ("seconds", "step_bytes", "total_bytes")
    return {
        "runs": runs,
        "ways": ways,
        "ratio": {key: ways["original"][key] / ways["first"][key] for key in compared},
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each way, and the ratio of the first two."""
    measured = figures["runs"]["first"][0]
    title = (
        f"a training step of {options.backbone}\n"
        f"{options.blocks} blocks frozen, {options.image_size} px, batch of {options.batch_size}, "
        f"{measured['precision']} on {measured['device']}"
    )
    headings = ("seconds", "step memory", "process memory", "parameters")
    rows = Table("way", *(Column(heading, justify="right") for heading in headings), title=title, title_justify="left")
    names = {"first": "freeze=first", "original": "original project", "none": "freeze=none"}
    for way, figure in figures["ways"].items():
        memory = (f"{figure[key] / 1e9:.2f} GB" for key in ("step_bytes", "total_bytes"))
        rows.add_row(names[way], f"{figure['seconds']:.2f}", *memory, f"{figure['trainable_parameters']:,}")
    rows.add_section()
    rows.add_row("original / first", *(f"{ratio:.2f}x" for ratio in figures["ratio"].values()))
    return rows
