"""Freeze policies: which layers of a backbone train and which do not.

Each option of conf/freeze names a function that takes the layer groups of a backbone, in the order of
`Backbone.layer_groups`, and returns the groups to freeze: whole groups here, parts of groups in `efficient`. `freeze`
then freezes them, and `thaw` unfreezes those that are only frozen for some epochs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table
from torch import nn

from deepdraw.models.backbones import Backbone, JoinedGroup, LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.adapters import AdaptedGroup
from deepdraw.runtime import cell

Policy = Callable[[Sequence[LayerGroup]], Sequence[LayerGroup]]


@dataclass(frozen=True, eq=False, kw_only=True)
class ThawingGroup(LayerGroup):
    """Layers that are frozen until the start of `epoch` (counted from 0) and train from then on."""

    epoch: int


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
    _check_number("first", n, groups, instead="all")
    return list(groups[: n + 1])


def last(groups: Sequence[LayerGroup], n: int) -> list[LayerGroup]:
    """Everything except the last `n` blocks and the layers above them, so that only these train.

    Raises:
        ValueError: the backbone has fewer than `n` blocks.
    """
    _check_number("last", n, groups, instead="none")
    return list(groups[: len(groups) - 1 - n])


def _check_number(option: str, n: int, groups: Sequence[LayerGroup], instead: str) -> None:
    num_blocks = len(groups) - 2
    if not 0 <= n <= num_blocks:
        raise ValueError(
            f"freeze={option} freeze.n={n} is not for this backbone of {num_blocks} blocks: "
            f"use freeze={instead}, or freeze={option} freeze.n=K with K <= {num_blocks}"
        )


def blocks(groups: Sequence[LayerGroup], blocks: Sequence[int]) -> list[LayerGroup]:
    """The blocks with these numbers, counted from 0. Block 0 includes the embeddings below it.

    Raises:
        ValueError: the backbone has no block of such a number.
    """
    num_blocks = len(groups) - 2
    absent = sorted(set(blocks) - set(range(num_blocks)))
    if absent:
        raise ValueError(f"freeze.blocks={absent} do not exist: this backbone has blocks 0 to {num_blocks - 1}")
    frozen = [groups[block + 1] for block in sorted(set(blocks))]
    return [groups[0], *frozen] if 0 in blocks else frozen


def gradual(
    groups: Sequence[LayerGroup], probe_epochs: int, blocks_per_epoch: int | None, epochs: int
) -> list[ThawingGroup]:
    """First only the head trains, then also the backbone, block by block from the top.

    This is gradual unfreezing (ULMFiT, arXiv 1801.06146). If all blocks thaw at once it is LP-FT, which keeps an
    untrained head from spoiling the features (arXiv 2202.10054).

    Args:
        probe_epochs: epochs in which only the head trains.
        blocks_per_epoch: how many blocks start to train at each following epoch; None for all at once. The layers above
            the last block thaw with it, the embeddings with block 0.
        epochs: epochs of the whole run.

    Raises:
        ValueError: fewer than 0 epochs or 1 block; or the backbone would train from the start, or never.
    """
    if probe_epochs < 0:
        raise ValueError(
            f"freeze.probe_epochs={probe_epochs} must be at least 0: use 1 for one epoch of the head alone"
        )
    if blocks_per_epoch is not None and blocks_per_epoch < 1:
        raise ValueError(f"freeze.blocks_per_epoch={blocks_per_epoch} never thaws: use 1 or more, or null for all")
    if probe_epochs >= epochs:
        raise ValueError(
            f"freeze.probe_epochs={probe_epochs} of train.epochs={epochs} never thaw the backbone: "
            "give train.epochs more, or use freeze=all"
        )
    top = len(groups) - 3
    thawing = []
    for index, group in enumerate(groups):
        blocks_above = top - min(max(index - 1, 0), top)
        epoch = probe_epochs + (blocks_above // blocks_per_epoch if blocks_per_epoch else 0)
        thawing.append(ThawingGroup(group.name, group.modules, group.parameters, epoch=epoch))
    if thawing[0].epoch == 0:
        raise ValueError("freeze=gradual would freeze nothing: use freeze.probe_epochs=1 or more, or freeze=none")
    return thawing


def halves(groups: Sequence[LayerGroup], pixels: Policy, strokes: Policy) -> list[LayerGroup]:
    """Each half of a fused backbone by a policy of its own, which is given the layer groups of this half alone.

    Raises:
        ValueError: the backbone has no halves, or a policy does not fit its half.
    """
    *below, joined = groups
    if not isinstance(joined, JoinedGroup):
        raise ValueError("freeze=halves is for backbone=fused, and this backbone has no halves: use another freeze=")
    return [*pixels([*below, joined.top]), *strokes(joined.strokes)]


def freeze(model: Classifier, groups: Sequence[LayerGroup]) -> None:
    """Freeze these layer groups of the model's backbone, or parts of them, for the whole run or until `thaw`.

    Their parameters require no gradient, and their modules stay in eval mode even when the model is in training mode:
    BatchNorm keeps its statistics, dropout and drop path are off. If everything below a layer is frozen, autograd
    builds no graph there: the frozen part costs a forward pass and keeps no activations. Adapted groups get their
    adapters, which renames weights in the state dict, so load pretrained weights before.
    """
    for group in groups:
        for parameter in group.parameters:
            parameter.requires_grad_(False)
            parameter.grad = None
        if isinstance(group, AdaptedGroup):
            group.adapt()
    model.backbone.frozen = list(groups)
    model.train(model.training)


def thaw(model: Classifier, epoch: int) -> None:
    """Unfreeze all layers that are to train from the start of `epoch` (counted from 0) or earlier.

    A resumed run freezes its model again and may call this with any epoch. Permanently frozen layers stay frozen.
    """
    frozen: list[LayerGroup] = []
    for group in model.backbone.frozen:
        if isinstance(group, ThawingGroup) and group.epoch <= epoch:
            for parameter in group.parameters:
                parameter.requires_grad_(True)
        else:
            frozen.append(group)
    model.backbone.frozen = frozen
    model.train(model.training)


def will_train(model: Classifier) -> set[nn.Parameter]:
    """The parameters that train now or will train after thawing. The optimizer needs exactly these."""
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    return trained.union(*(group.parameters for group in _thawing(model)))


def keeps_all(backbone: Backbone, groups: Sequence[LayerGroup]) -> bool:
    """Whether no parameter of the backbone ever trains with these groups frozen: none thaws, none has an adapter."""
    kept = {parameter for group in groups if not isinstance(group, ThawingGroup) for parameter in group.parameters}
    adapted = any(isinstance(group, AdaptedGroup) and group.weights for group in groups)
    return kept.issuperset(backbone.parameters()) and not adapted


def _thawing(model: Classifier) -> list[ThawingGroup]:
    return [group for group in model.backbone.frozen if isinstance(group, ThawingGroup)]


@dataclass(frozen=True)
class LayerRow:
    """A row of the table of layers: consecutive blocks that are treated alike, or another part of the model.

    epoch: if the layers are frozen until a later epoch, that epoch, counted from 0.
    """

    name: str
    num_parameters: int
    num_trainable: int
    epoch: int | None = None

    @property
    def trains(self) -> str:
        """The last column: how many parameters train, "frozen", or the epoch (counted from 1) at which they thaw."""
        if self.num_trainable:
            return f"{self.num_trainable:,}"
        return "frozen" if self.epoch is None else f"from epoch {self.epoch + 1}"


def layer_rows(model: Classifier) -> list[LayerRow]:
    """The rows of the table of layers, from the pixels to the logits. Parts without parameters are left out."""
    groups = [part for group in model.backbone.layer_groups() for part in _parts(group)]
    groups.append(LayerGroup("head", [model.head], list(model.head.parameters())))
    epochs = {parameter: group.epoch for group in _thawing(model) for parameter in group.parameters}
    rows = []
    for group in groups:
        found = [epochs[parameter] for parameter in group.parameters if parameter in epochs]
        if group.parameters:
            rows.append(LayerRow(group.name, group.num_parameters, group.num_trainable, min(found, default=None)))
    return [_join(list(run)) for _, run in groupby(rows, key=_kind)]


def _parts(group: LayerGroup) -> list[LayerGroup]:
    """What of a layer group has a row of its own: the strokes do."""
    if not isinstance(group, JoinedGroup):
        return [group]
    parameters = [parameter for below in group.strokes for parameter in below.parameters]
    return [group.top, LayerGroup("strokes", [], parameters)]


def _kind(row: LayerRow) -> tuple[str, bool, int | None]:
    return "block" if row.name.startswith("block") else row.name, row.num_trainable > 0, row.epoch


def _join(rows: Sequence[LayerRow]) -> LayerRow:
    name = (
        rows[0].name if len(rows) == 1 else f"{rows[0].name.replace('block', 'blocks')} to {rows[-1].name.split()[-1]}"
    )
    num_parameters, num_trainable = sum(row.num_parameters for row in rows), sum(row.num_trainable for row in rows)
    return LayerRow(name, num_parameters, num_trainable, rows[0].epoch)


def print_layers(model: Classifier, console: Console | None = None) -> None:
    """Print which layers train."""
    rows = layer_rows(model)
    total = LayerRow("total", sum(row.num_parameters for row in rows), sum(row.num_trainable for row in rows))
    size = model.backbone.image_size
    table = Table(
        title=cell(model.backbone.name + (f" at {size} px" if size else "")),
        title_justify="left",
        title_style="bold",
    )
    table.add_column("layers")
    table.add_column("parameters", justify="right")
    table.add_column("of them train", justify="right")
    for row in (*rows, total):
        table.add_row(cell(row.name), f"{row.num_parameters:,}", row.trains)
    (console or Console()).print(table)
