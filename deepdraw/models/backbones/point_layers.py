"""Layers along the points of a drawing that do not look across the ends of a stroke, or of the drawing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.drawings import POINT_NUMBERS

IS_START, IS_POINT = POINT_NUMBERS.index("is_start"), POINT_NUMBERS.index("is_point")
NO_SEGMENT = -1


class PointEncoder(nn.Module):
    """Dilated convolutions along points, each with a shortcut: numbers [B, K, I] of points to features [B, K, width].

    A point sees the points of its own segment alone (a stroke, or the whole drawing), so that neither padding nor other
    segments change its features. Its norms are of one point: what else is in a batch does not matter.

    Args:
        dilations: of each convolution of three points after the first, which has none.
    """

    def __init__(self, num_inputs: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.first = SegmentConvolution(num_inputs, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in dilations)
        self.layers = nn.ModuleList(SegmentConvolution(width, width, dilation) for dilation in dilations)
        self.last_norm = nn.LayerNorm(width)

    def forward(self, numbers: Tensor, segments: Tensor) -> Tensor:
        """numbers: [B, K, I]; segments: int64 [B, K], the number of each point's segment, `NO_SEGMENT` for padding."""
        features = self.first(numbers, segments)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features = features + layer(F.gelu(norm(features)), segments)
        return F.gelu(self.last_norm(features))


class SegmentConvolution(nn.Module):
    """A convolution of three points, `dilation` apart, in which points of another segment count as 0."""

    def __init__(self, num_inputs: int, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.linear = nn.Linear(3 * num_inputs, width)

    def forward(self, points: Tensor, segments: Tensor) -> Tensor:
        gap, length = self.dilation, points.shape[1]
        other = NO_SEGMENT - 1  # beyond the ends: no segment has this number
        before, after = F.pad(segments, (gap, 0), value=other), F.pad(segments, (0, gap), value=other)
        earlier = F.pad(points, (0, 0, gap, 0))[:, :length] * (before[:, :length] == segments)[..., None]
        later = F.pad(points, (0, 0, 0, gap))[:, gap:] * (after[:, gap:] == segments)[..., None]
        return self.linear(torch.cat([earlier, points, later], dim=2))


def stroke_numbers(points: Tensor) -> Tensor:
    """The number of each point's stroke, counted from 0: int64 [B, K] of points [B, K, 8]; `NO_SEGMENT` for padding."""
    strokes = (points[..., IS_START] > 0).long().cumsum(dim=1) - 1
    return strokes.masked_fill(points[..., IS_POINT] <= 0, NO_SEGMENT)


def check_encoder(width: int, dilations: Sequence[int]) -> None:
    """Raise ValueError unless a `PointEncoder` can have this width and these dilations."""
    if width < 1:
        raise ValueError(f"backbone.width={width} must be at least 1: use 64 or more")
    if min([*dilations, 1]) < 1:
        raise ValueError(f"backbone.dilations={list(dilations)} must be at least 1 each: use [1,2,4,8]")
