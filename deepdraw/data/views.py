"""Batches of several views of the same drawings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from deepdraw.data.interfaces import Batch, Inputs


class ViewBatches(Dataset[Batch]):
    """The inputs of each of `views` one behind the other, [K B, ...], with the labels and key ids of one, [B]."""

    def __init__(self, views: Sequence[Dataset[Batch]]) -> None:
        self._views = views

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        batches = [view[key] for view in self._views]
        return batches[0]._replace(inputs=_joined([batch.inputs for batch in batches]))


def split_views(inputs: Inputs, views: int) -> list[Inputs]:
    """The inputs of each view, of a batch of so many."""
    if isinstance(inputs, torch.Tensor):
        return list(inputs.chunk(views))
    return list(zip(*(half.chunk(views) for half in inputs), strict=True))


def _joined(inputs: Sequence[Inputs]) -> Inputs:
    if isinstance(inputs[0], torch.Tensor):
        return torch.cat([part for part in inputs if isinstance(part, torch.Tensor)])
    images, points = (torch.cat(half) for half in zip(*inputs, strict=True))
    return images, points
