"""Shared by grid search and logistic regression: checks, the table of all heads, and saving the best one."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor, nn

from deepdraw.data import Inputs
from deepdraw.models import Classifier, are_features
from deepdraw.models.freezing import will_train
from deepdraw.runtime import Ranks, cell, csv_cell, csv_heading, write_text
from deepdraw.training.fitter import Training
from deepdraw.training.recipe import Recipe

Row = dict[str, Any]  # the settings of a head and its validation metrics


def check_linear_head(model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
    """Raise ValueError if more than a linear head would train, or the recipe would change batches or weights."""
    if ranks.size > 1:
        raise ValueError(f"head=grid and head=logistic are the work of one process, not of {ranks.size}: start one")
    if will_train(model) & set(model.backbone.parameters()):
        raise ValueError("heads are tried side by side on a backbone that does not train: set freeze=all")
    if not isinstance(model.head, nn.Linear):
        raise ValueError("only linear heads are tried side by side: set head=linear beside fit=grid or fit=logistic")
    if recipe.mixup or recipe.cutmix or recipe.ema or recipe.grad_accum > 1 or recipe.class_weights:
        raise ValueError(
            "heads that are tried side by side take batches as they are: "
            "set train.mixup=0 train.cutmix=0 train.ema=null train.grad_accum=1 train.class_weights=null"
        )
    if recipe.early_stopping or recipe.keep_checkpoints or recipe.keep_every:
        raise ValueError(
            "heads that are tried side by side keep the best epoch of each: "
            "set train.early_stopping=null train.keep_checkpoints=null train.keep_every=null"
        )


def linear_head(model: Classifier) -> nn.Linear:
    """The head to be fitted. `check_linear_head` must have passed."""
    assert isinstance(model.head, nn.Linear), type(model.head)
    return model.head


@torch.no_grad()
def features_of(model: Classifier, inputs: Inputs) -> Tensor:
    """Features [B, D] of what the backbone sees of B drawings. Features are returned unchanged."""
    return inputs if are_features(inputs) else model.features(inputs)


def finish_with_best(training: Training, head: Mapping[str, Tensor], row: Row) -> None:
    """End the last epoch with the best head, and write `best.pt` and `last.pt` as the loop would.

    Its settings are added to `state.best`, and so to the summary, as `head/lr` and the like.
    """
    state = training.state
    state.model.head.load_state_dict(head)
    chosen = {f"head/{name}": value for name, value in row.items() if not name.startswith(("val/", "train/"))}
    state.log(metrics := training.validate())
    state.epoch += 1
    state.best = {**metrics, **chosen, "val/epoch": row.get("val/epoch", state.epoch)}
    training.save_best()
    training.save_last()


def write_table(rows: Sequence[Row], best: int, file: Path) -> None:
    """Write all heads as CSV, and print them with the best marked."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(csv_heading, rows[0]))
    writer.writerows(map(csv_cell, row.values()) for row in rows)
    write_text(file, text.getvalue())
    table = Table(*(Column(name.rpartition("/")[2].replace("_", " "), justify="right") for name in rows[0]))
    for k, row in enumerate(rows):
        table.add_row(*(cell(_shown(name, value)) for name, value in row.items()), style="bold" if k == best else None)
    console = Console()
    console.print(cell(f"{len(rows)} heads, on validation; also in {file}"), style="bold", soft_wrap=True)
    console.print(table)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{100 * value:.2f} %" if name.endswith("top1") else f"{value:.4g}"
