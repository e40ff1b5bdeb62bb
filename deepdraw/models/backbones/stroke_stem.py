"""A convolutional network that reads strokes: a map of encoded points stands for the output of its stem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from deepdraw.drawings import POINT_NUMBERS
from deepdraw.models.backbones.point_layers import IS_POINT, NO_SEGMENT, PointEncoder, check_encoder
from deepdraw.models.backbones.timm_on_strokes import TimmOnStrokes

STEMS = {  # of the classes of timm whose stems are modules that are called one after the other
    "ResNet": ("conv1", "bn1", "act1", "maxpool"),
    "ResNetV2": ("stem",),
    "RegNet": ("stem",),
    "ConvNeXt": ("stem",),
    "EfficientNet": ("conv_stem", "bn1"),
    "MobileNetV3": ("conv_stem", "bn1"),
}


class StrokeStemBackbone(TimmOnStrokes):
    """A convolutional network of timm above its stem, over a map of points: points [B, K, 8] to features [B, D].

    Dilated convolutions along the drawing encode its points; each cell of the map has the mean of the points that lie
    in it, or 0. So a network that was pretrained on pictures sees the order of drawing. In Kaggle's Quick, Draw!
    competition of 2018 such a stem on a pretrained ResNet reached 86.5 top-1 over 340 categories.

    Args:
        name: a model of `timm.list_models()` of the classes in `STEMS`, with or without the tag of its weights.
        pretrained: as of `TimmBackbone`; the stem is left out.
        map_size: cells on a side of the map. A ResNet's stem makes 56 of 224 px, an EfficientNet's 112.
        width, dilations: of the encoder, see `PointEncoder`.
        options: further arguments of the architecture, such as `drop_path_rate` or `channels`.

    Raises:
        ValueError: as `TimmBackbone`; a network of another class; or numbers out of range.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool | str = True,
        map_size: int = 32,
        width: int = 64,
        dilations: Sequence[int] = (1, 2, 4, 8),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, pretrained, options)
        stem = STEMS.get(type(self.network).__name__)
        if stem is None:
            raise ValueError(
                f"backbone=stroke_stem replaces the stem of a {', '.join(STEMS)}, and {name} is none of them: "
                f"use one such as resnet18, resnet50 or tf_efficientnet_lite0"
            )
        if map_size < 1:
            raise ValueError(f"backbone.map_size={map_size} must be at least 1: 32 cells on a side are usual")
        check_encoder(width, dilations)
        channels = stem_channels(self.network, stem)
        self.replace(stem, StrokeMap(channels, map_size, width, dilations))

    def forward(self, points: Tensor) -> Tensor:
        """Features [B, D] of points [B, K, 8]."""
        return self.network(points)


class StrokeMap(nn.Module):
    """A map [B, C, size, size] of points [B, K, 8]: in each cell the mean of its points' features, or 0."""

    def __init__(self, channels: int, size: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.encoder = PointEncoder(len(POINT_NUMBERS), width, dilations)
        self.channels = nn.Linear(width, channels)

    def forward(self, points: Tensor) -> Tensor:
        present = points[..., IS_POINT] > 0
        segments = torch.where(present, 0, NO_SEGMENT)
        features = self.channels(self.encoder(points, segments))
        return mean_by_cell(features, cells_of(points[..., :2], self.size), present, self.size)


def cells_of(places: Tensor, size: int) -> Tensor:
    """The cell, int64 [B, K], of places [B, K, 2] in -1..1, row by row from 0; those outside are on the edge."""
    columns, rows = ((places + 1) * (size / 2)).long().clamp(0, size - 1).unbind(dim=2)
    return rows * size + columns


def mean_by_cell(features: Tensor, cells: Tensor, present: Tensor, size: int) -> Tensor:
    """The map [B, C, size, size] whose cells have the mean of the features [B, K, C] of those points in them, else 0.

    Points of the same cell are averaged by a product of matrices, and the first of them writes the mean. Atomic sums
    would depend on the order of threads; here each cell is written once, so that the same command gives the same bits
    on CPUs, and on GPUs too.
    """
    together = (cells[:, :, None] == cells[:, None]) & present[:, None]  # [B, K, K]
    means = (together / together.sum(dim=2, keepdim=True).clamp(min=1)).to(features.dtype) @ features
    is_first = present & ~together.tril(-1).any(dim=2)
    nowhere = len(cells) * size**2  # beyond the last cell
    index = cells + size**2 * torch.arange(len(cells), device=cells.device)[:, None]
    index = index.masked_fill(~is_first, nowhere).flatten()
    flat = means.new_zeros(nowhere + 1, means.shape[2]).index_copy(0, index, means.flatten(0, 1))
    return flat[:nowhere].view(len(cells), size, size, -1).permute(0, 3, 1, 2)


def stem_channels(network: Any, stem: Sequence[str]) -> int:
    """The channels of what these modules of a network make of images. It takes neither time nor memory."""
    layers = nn.Sequential(*(deepcopy(network.get_submodule(name)) for name in stem)).to("meta").eval()
    num_inputs = next(layers.parameters()).shape[1]
    return layers(torch.empty(1, num_inputs, 64, 64, device="meta")).shape[1]
