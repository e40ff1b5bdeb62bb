"""The training data before the first step: a table of the drawings of each class, and a sheet of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepdraw.data import in_brackets
from deepdraw.report.sheets import Tile, sheet
from deepdraw.report.style import INK, may_fail
from deepdraw.runtime import cell

if TYPE_CHECKING:
    from rich.console import Console

    from deepdraw.data import Recognition, Split

Draw = Callable[[str, NDArray[np.int64]], NDArray[np.uint8]]  # a split and positions [n] in it to images
_NUM_LINES = 20  # of classes in the table
_UNEVEN = 10  # times as many drawings of one class as of another
_SHOWN = {"train": 40, "val": 20}  # drawings on the sheet
_COLUMNS = 10


def print_classes(
    splits: Mapping[str, Split], console: Console | None = None, recognition: Recognition = "unknown"
) -> None:
    """Print how many drawings of each class there are in each split: at most 20 classes, then how many more.

    The title says whether the drawings are those that the game recognized. One more line warns of very uneven classes
    of the split train.
    """
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    counts_of = {
        name: dict(zip(split.classes, np.bincount(split.labels, minlength=len(split.classes)).tolist(), strict=True))
        for name, split in splits.items()
    }
    classes = list(dict.fromkeys(name for counts in counts_of.values() for name in counts))
    table = Table("class", show_footer=True)
    table.columns[0].footer = f"{len(classes):,} classes"
    for name, counts in counts_of.items():
        table.add_column(name, f"{sum(counts.values()):,}", justify="right")
    for name in classes[:_NUM_LINES]:
        table.add_row(cell(name), *(f"{counts.get(name, 0):,}" for counts in counts_of.values()))
    console.print(cell(f"drawings of each class {in_brackets(recognition)}"), style="bold", soft_wrap=True)
    console.print(table)
    if len(classes) > _NUM_LINES:
        console.print(f"and {len(classes) - _NUM_LINES:,} more classes")
    if uneven := _unevenness(counts_of["train"]):
        console.print(cell(uneven), soft_wrap=True)


def _unevenness(counts: Mapping[str, int]) -> str | None:
    """A warning, if classes have very different numbers of drawings to train on."""
    least, most = (choose(counts, key=lambda name: counts[name]) for choose in (min, max))
    if counts[most] < _UNEVEN * max(1, counts[least]):
        return None
    return (
        f"warning: classes are very uneven, {counts[most]:,} drawings of {most} to train on and {counts[least]:,} of "
        f"{least}: train.class_weights=balanced or data.sampler=balanced makes them count alike"
    )


def plot_data(splits: Mapping[str, Split], draw: Draw, augmented: bool, out: Path) -> None:
    """Draw a sheet of what the network will see into the PNG `out`: drawings of train, augmented if so, and of val."""
    how = "augmented anew in every epoch" if augmented else "the same in every epoch"
    headings = {"train": f"What the network will see: drawings to train on, {how}", "val": "Drawings to validate on"}
    tiles_of = {}
    for name, number in _SHOWN.items():
        chosen = _of_all_classes(splits[name].labels, number)
        names = [splits[name].classes[label] for label in splits[name].labels[chosen]]
        tiles_of[headings[name]] = [Tile(image, INK, of) for image, of in zip(draw(name, chosen), names, strict=True)]
    about = "Drawings of all classes as the network gets them in its first epoch, then some that it is validated on."
    with may_fail(out):
        sheet(tiles_of, _COLUMNS, about).save(out)


def _of_all_classes(labels: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """The positions of up to `number` drawings, as many of each class as possible, spread over all classes."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    nth = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)  # in its class
    turns = order[np.lexsort((labels[order], nth))]
    if (counts > 0).sum() > number:  # not the first classes alone
        turns = turns[np.linspace(0, (counts > 0).sum() - 1, number).astype(np.int64)]
    chosen = turns[:number]
    return chosen[np.argsort(labels[chosen], kind="stable")]
