"""What trains and what does not.

Each option of conf/freeze names a function that takes the layer groups of a backbone, in the order of
`Backbone.layer_groups`, and returns those to freeze: whole ones, as the functions here, or parts, as those of
`efficient`. `freeze` then makes them so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table

from deepdraw.models.backbones import LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.lora import AdaptedGroup


def nothing(groups: Sequence[LayerGroup]) -> list[LayerGroup]:
    """The whole backbone trains."""
    return []


def everything(groups: Sequence[LayerGroup]) -> list[LayerGroup]:
    """Only the head trains (a linear probe, if it is linear)."""
    return list(groups)


def first(groups: Sequence[LayerGroup], n: int) -> list[LayerGroup]:
    """The first `n` blocks and the embeddings below them.

    Raises:
        ValueError: the backbone has fewer than `n` blocks.
    """
    num_blocks = len(groups) - 2
    if not 0 <= n <= num_blocks:
        raise ValueError(
            f"the first {n} blocks cannot be frozen, this backbone has {num_blocks}: "
            f"use freeze=all, or freeze=first freeze.n=K with K <= {num_blocks}"
        )
    return list(groups[: n + 1])


def last(groups: Sequence[LayerGroup], n: int) -> list[LayerGroup]:
    """All but the last `n` blocks and what lies above them: only those train.

    Raises:
        ValueError: the backbone has fewer than `n` blocks.
    """
    num_blocks = len(groups) - 2
    if not 0 <= n <= num_blocks:
        raise ValueError(
            f"the last {n} blocks cannot train, this backbone has {num_blocks}: "
            f"use freeze=none, or freeze=last freeze.n=K with K <= {num_blocks}"
        )
    return list(groups[: num_blocks + 1 - n])


def blocks(groups: Sequence[LayerGroup], blocks: Sequence[int]) -> list[LayerGroup]:
    """The blocks of these numbers, counted from 0; with block 0 also the embeddings below it.

    Raises:
        ValueError: the backbone has no block of such a number.
    """
    num_blocks = len(groups) - 2
    absent = sorted(set(blocks) - set(range(num_blocks)))
    if absent:
        raise ValueError(f"freeze.blocks={absent} do not exist: this backbone has blocks 0 to {num_blocks - 1}")
    frozen = [groups[block + 1] for block in sorted(set(blocks))]
    return [groups[0], *frozen] if 0 in blocks else frozen


def freeze(model: Classifier, groups: Sequence[LayerGroup]) -> None:
    """Freeze these layer groups of the model's backbone, or parts of them, for good.

    Their parameters require no gradient, and their modules stay in eval mode whenever the model is put in
    training mode: BatchNorm keeps its statistics, dropout and drop path are off. Where all below a layer is
    frozen autograd builds no graph: the frozen prefix costs a forward pass and keeps no activations.
    Adapted groups get their adapters, which renames weights in the state dict: load pretrained ones before.
    """
    for group in groups:
        for parameter in group.parameters:
            parameter.requires_grad_(False)
            parameter.grad = None
        if isinstance(group, AdaptedGroup):
            group.adapt()
    model.backbone.frozen = list(groups)
    model.train(model.training)


@dataclass(frozen=True)
class LayerRow:
    """A line of the table of what trains: a run of blocks that all train or all do not, or another part."""

    name: str
    num_parameters: int
    num_trainable: int


def layer_rows(model: Classifier) -> list[LayerRow]:
    """What trains, from the pixels to the logits; parts without parameters are left out."""
    groups = [*model.backbone.layer_groups(), LayerGroup("head", [model.head], list(model.head.parameters()))]
    rows = [LayerRow(group.name, group.num_parameters, group.num_trainable) for group in groups if group.parameters]
    runs = groupby(rows, key=lambda row: ("block" if row.name.startswith("block") else row.name, row.num_trainable > 0))
    return [_join(list(run)) for _, run in runs]


def _join(rows: Sequence[LayerRow]) -> LayerRow:
    name = (
        rows[0].name if len(rows) == 1 else f"{rows[0].name.replace('block', 'blocks')} to {rows[-1].name.split()[-1]}"
    )
    return LayerRow(name, sum(row.num_parameters for row in rows), sum(row.num_trainable for row in rows))


def print_layers(model: Classifier, console: Console | None = None) -> None:
    """Print the table of what trains."""
    rows = layer_rows(model)
    total = LayerRow("total", sum(row.num_parameters for row in rows), sum(row.num_trainable for row in rows))
    table = Table(
        title=f"{model.backbone.name} at {model.backbone.image_size} px",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("layers")
    table.add_column("parameters", justify="right")
    table.add_column("of them train", justify="right")
    for row in (*rows, total):
        table.add_row(row.name, f"{row.num_parameters:,}", f"{row.num_trainable:,}" if row.num_trainable else "frozen")
    (console or Console()).print(table)
