"""The average of the weights of a run's best epochs, which is often better than the best epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepdraw.training import Objective, epoch_files, load_checkpoint


def average_epochs(
    folder: Path, number: int, objective: Objective, read: Callable[[Path], Mapping[str, Tensor]]
) -> tuple[list[int], dict[str, Tensor]]:
    """The best `number` of the epochs kept in `folder`, and the mean of their weights and running statistics.

    read: the weights of a checkpoint, of which one at a time is held. Counts, as of batches, are those of the best
    epoch. Raises ValueError where fewer epochs were kept, or one of them is damaged or of another network.
    """
    files = epoch_files(folder)
    if len(files) < number:
        raise ValueError(
            f"average={number}: {folder} keeps {len(files)} epochs: choose fewer, or train with train.keep_checkpoints="
            f"{number}"
        )
    values = {epoch: _value(load_checkpoint(file), objective, file) for epoch, file in files.items()}
    chosen = objective.best_first(values)[:number]
    mean: dict[str, Tensor] = {}
    for count, epoch in enumerate(chosen, 1):
        _add(mean, read(files[epoch]), count, files[epoch])
    return chosen, mean


def _value(checkpoint: Mapping[str, Any], objective: Objective, file: Path) -> float:
    value = checkpoint.get("best", {}).get(objective.key)
    if not isinstance(value, float):
        raise ValueError(f"{file} does not say its {objective.key}: it is no epoch of this run, so remove it")
    return value


def _add(mean: dict[str, Tensor], weights: Mapping[str, Tensor], count: int, file: Path) -> None:
    """Move the mean of `count` - 1 weights to that of `count`."""
    if mean and {name: value.shape for name, value in weights.items()} != {n: value.shape for n, value in mean.items()}:
        raise ValueError(f"{file} holds another network than the other epochs: remove it")
    for name, value in weights.items():
        if count == 1:
            mean[name] = value.clone()
        elif mean[name].is_floating_point():
            mean[name] = torch.lerp(mean[name].float(), value.float(), 1 / count).to(value.dtype)
