"""Strokes resampled by tensor operations alone, so that it can be part of an exported graph (see `PointSampler`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepdraw.drawings import SLACK, STROKE_UNIT, PointSampler
from deepdraw.export.drawing import Segments

SMALLEST = 1e-6  # side of a box, and length of a step


class Places(NamedTuple):
    """Where the samples of a drawing lie, for each of K rows.

    present: bool [N, K], whether there is a sample; strokes: int64 [N, K], the number of its stroke; firsts, lasts:
    int64 [N, K], the numbers of the first and the last point of that; is_start: bool [N, K], whether the sample is that
    first point; along: [N, K], the length of the drawing's line up to the sample.
    """

    present: Tensor
    strokes: Tensor
    firsts: Tensor
    lasts: Tensor
    is_start: Tensor
    along: Tensor


class Points(nn.Module):
    """Samples points as a PointSampler does: segments of N drawings to float32 [N, K, 8].

    Where a stroke is a whole number of steps long, to within rounding, it may get one point more or less.
    """

    def __init__(self, sampler: PointSampler) -> None:
        super().__init__()
        self.most = sampler.points

    def forward(self, drawn: Segments) -> Tensor:
        lengths = drawn.lengths.double()
        before = torch.cumsum(lengths, dim=1) - lengths  # of the line, up to each point
        total = lengths.sum(dim=1, keepdim=True)
        places = self._places(drawn, before, lengths, total)
        reached = drawn.real[:, None, :] & (before[:, None, :] < places.along[:, :, None])
        behind = torch.minimum(reached.long().sum(dim=2), places.lasts)  # the next point of the stroke
        ahead = torch.where(places.is_start, places.firsts, behind - 1)  # the one before the sample
        starts, ends = _rows(drawn.starts, ahead), _rows(drawn.ends, ahead)
        length = torch.gather(lengths, 1, ahead)[:, :, None]
        inside = torch.where(places.is_start, 0.0, places.along - torch.gather(before, 1, ahead))[:, :, None]
        directions = torch.where(places.is_start[:, :, None], 0.0, (ends - starts).double() / length.clamp(min=1e-30))
        points = starts.double() + directions * inside - drawn.centers[:, None].double()
        numbers = [
            points * (2 / drawn.sides.clamp(min=SMALLEST).double())[:, None, None],
            places.is_start[:, :, None].double(),
            directions,
            torch.ones_like(length),
            (places.along * torch.where(total > 0, 1 / total.clamp(min=1e-30), 0.0))[:, :, None],
            places.strokes[:, :, None].double() / STROKE_UNIT,
        ]
        return torch.where(places.present[:, :, None], torch.cat(numbers, dim=2), 0.0).float()

    def _places(self, drawn: Segments, before: Tensor, lengths: Tensor, total: Tensor) -> Places:
        """Of each stroke the first point, and more in equal steps along it: the room that is left, shared by all."""
        room = self.most - drawn.firsts.long().sum(dim=1, keepdim=True)
        step = torch.where(room > 0, (total / room.clamp(min=1) * SLACK).clamp(min=SMALLEST), torch.inf)
        stroke_of_point = torch.cumsum(drawn.firsts.long(), dim=1) - 1
        stroke = torch.cumsum(torch.ones_like(stroke_of_point), dim=1) - 1  # 0 to P - 1, more than there are
        belongs = drawn.real[:, None, :] & (stroke_of_point[:, None, :] == stroke[:, :, None])  # [N, strokes, points]
        points = belongs.long().sum(dim=2)
        exists = points > 0
        long = torch.where(belongs, lengths[:, None, :], 0.0).sum(dim=2)
        samples = torch.where(exists, 1 + torch.floor(long / step), 0.0).long()
        ends = torch.cumsum(samples, dim=1)
        row = torch.arange(self.most, device=ends.device)[None, :, None]
        of_row = (ends[:, None, :] <= row).long().sum(dim=2)
        present = of_row < exists.long().sum(dim=1, keepdim=True)
        of_row = torch.where(present, of_row, 0)
        first_points = (drawn.real[:, None, :] & (stroke_of_point[:, None, :] < stroke[:, :, None])).long().sum(dim=2)
        firsts = torch.gather(first_points, 1, of_row)
        lasts = firsts + torch.gather(points, 1, of_row) - 1
        steps = torch.where(present, row[:, :, 0] - torch.gather(ends - samples, 1, of_row), 0)
        along = torch.gather(before, 1, firsts) + torch.where(steps > 0, steps * step, 0.0)
        return Places(present, of_row, firsts, lasts, steps == 0, along)


def _rows(points: Tensor, index: Tensor) -> Tensor:
    """Rows [N, K] of points [N, P, 2]."""
    return torch.gather(points, 1, index[:, :, None].expand(-1, -1, 2))
