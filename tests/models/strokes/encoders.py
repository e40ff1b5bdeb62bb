"""Small encoders of strokes in the place of the first layers of a network, and random points for them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from deepdraw.models.backbones import (
    StrokesBackbone,
    StrokeStemBackbone,
    StrokeTransformerBackbone,
)

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)


def transformer(name: str = "test_vit", pretrained: bool | str = False, **options) -> StrokeTransformerBackbone:
    size = {"strokes": 6, "width": 16, "dilations": [1, 2]} | options
    return StrokeTransformerBackbone(name, pretrained, **size)


def stem(name: str = "resnet10t", pretrained: bool | str = False, **options) -> StrokeStemBackbone:
    size = {"map_size": 16, "width": 16, "dilations": [1, 2]} | options
    return StrokeStemBackbone(name, pretrained, **size)


BOTH = pytest.mark.parametrize("build", [transformer, stem])


ALL = pytest.mark.parametrize("build", [transformer, stem, partial(StrokesBackbone, [8, 16], [1, 1])])


def points(stroke_lengths: list[list[int]], length: int = 40, seed: int = 0) -> Tensor:
    """Random points [B, length, 8] of drawings whose strokes have these numbers of points."""
    generator = torch.Generator().manual_seed(seed)
    sampled = torch.zeros(len(stroke_lengths), length, 8)
    for drawing, lengths in zip(sampled, stroke_lengths, strict=True):
        begin, total = 0, sum(lengths)
        for number, points_of_stroke in enumerate(lengths):
            stroke = drawing[begin : begin + points_of_stroke]
            stroke[:, :2] = torch.rand(points_of_stroke, 2, generator=generator) * 2 - 1
            stroke[0, 2], stroke[:, 5], stroke[:, 7] = 1, 1, number / 16
            stroke[1:, 3:5] = nn.functional.normalize(torch.randn(points_of_stroke - 1, 2, generator=generator))
            begin += points_of_stroke
        drawing[:total, 6] = torch.linspace(0, 1, total)
    return sampled


DRAWINGS = [[3, 9, 1, 5], [40], [1], [2, 2, 2, 2, 2, 2, 2, 2, 2]]
