"""Lines drawn by tensor operations alone, so that they can be part of an exported graph (see `deepdraw.drawings`).

Drawings are points float32 [N, P, 2] with the number of the stroke of each, int32 [N, P], ascending, and -1 behind the
last point of a drawing that has fewer than P.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deepdraw.drawings import FADING, LEANING, Rasterizer

FAR = 1e6  # pixels from the image to a segment that is none
HUGE, TINY = 3e38, 1e-30


class Segments(NamedTuple):
    """What is drawn from each point on: a segment to the next one of its stroke, or a dot where it is the only one.

    starts, ends: [N, P, 2], the same but where `joined`; real: bool [N, P], which points there are; firsts: bool
    [N, P], the first points of strokes; joined: bool [N, P], the points behind which their stroke goes on; centers:
    [N, 2], of the box around each drawing; sides: [N], the longer side of that box.
    """

    starts: Tensor
    ends: Tensor
    real: Tensor
    firsts: Tensor
    joined: Tensor
    centers: Tensor
    sides: Tensor

    @property
    def lengths(self) -> Tensor:
        """Of the segments [N, P], 0 where there is none."""
        return _lengths(self.starts, self.ends)


def segments(points: Tensor, strokes: Tensor) -> Segments:
    """The segments of drawings."""
    real = strokes >= 0
    joined = real & (strokes == _moved(strokes, 1, -1))
    firsts = real & (strokes != _moved(strokes, -1, -1))
    following = _moved(points, 1, 0.0)
    low = torch.where(real[:, :, None], points, HUGE).amin(dim=1)
    high = torch.where(real[:, :, None], points, -HUGE).amax(dim=1)
    return Segments(
        starts=points,
        ends=torch.where(joined[:, :, None], following, points),
        real=real,
        firsts=firsts,
        joined=joined,
        centers=(low + high) * 0.5,
        sides=(high - low).amax(dim=1),
    )


class Lines(nn.Module):
    """Draws as a Rasterizer does, by the same operations in the same order, so that hardly a level of 255 differs.

    Segments to images uint8 [N, *rasterizer.shape].
    """

    def __init__(self, rasterizer: Rasterizer) -> None:
        super().__init__()
        size, width = rasterizer.size, float(np.float32(rasterizer.line_width))
        self.room = float(np.float32(size * (1 - 2 * rasterizer.margin))) - width
        self.reach, self.middle, self.size = (width + 1) / 2, (size - 1) / 2, size
        self.channels, self.on_white = rasterizer.channels, rasterizer.polarity == "black_on_white"

    def forward(self, drawn: Segments) -> Tensor:
        scale = _over(max(self.room, 0.0), drawn.sides.clamp(min=1))[:, None, None]
        valid = (drawn.joined | drawn.firsts)[:, :, None]
        starts, ends = (
            torch.where(valid, (points - drawn.centers[:, None]) * scale + self.middle, FAR)
            for points in (drawn.starts, drawn.ends)
        )
        if self.channels == "ink":
            ink = self._ink(starts, ends)
        else:
            total = torch.cumsum(drawn.lengths, dim=1)[:, -1:] * scale[:, :, 0]
            parts = _thirds(starts, ends, total) if self.channels == "thirds" else []
            ink = torch.stack([self._ink(*part) for part in parts], 1) if parts else self._shaded(starts, ends, total)
        levels = torch.floor(ink + 0.5)
        return (255 - levels if self.on_white else levels).to(torch.uint8)

    def _ink(self, starts: Tensor, ends: Tensor) -> Tensor:
        """Ink in [0, 255] [N, size, size], by the distance of each pixel to the nearest segment."""
        squares, _ = self._squares(starts, ends)
        return self._covered(squares.amin(dim=1)) * 255

    def _shaded(self, starts: Tensor, ends: Tensor, total: Tensor) -> Tensor:
        """All ink, ink by its place in the drawing's line, and ink by its direction: [N, 3, size, size]."""
        squares, along = self._squares(starts, ends)
        covered = self._covered(squares)
        done, reached = _progress(starts, ends)
        fading = torch.where(total > 0, _over(float(np.float32(255) * np.float32(FADING)), total.clamp(min=TINY)), 0.0)
        before, after = (255 - fading * torch.minimum(length, total) for length in (done, reached))
        steps = ends - starts
        across, down = steps[:, :, 0] * steps[:, :, 0], steps[:, :, 1] * steps[:, :, 1]
        square = across + down
        lean = torch.where(square > 0, (across - down) / square.clamp(min=TINY), 0.0)
        level = 255 * (1 + LEANING * (lean - 1))
        by_order = covered * (before[:, :, None, None] + along * (after - before)[:, :, None, None])
        by_direction = covered * level[:, :, None, None]
        return torch.stack([(covered * 255).amax(dim=1), by_order.amax(dim=1), by_direction.amax(dim=1)], dim=1)

    def _covered(self, squares: Tensor) -> Tensor:
        return (self.reach - torch.sqrt(squares)).clamp(0, 1)

    def _squares(self, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Of each segment and pixel [N, P, size, size] the square of the distance, and where the nearest point lies:

        0 at the start of the segment, 1 at its end.
        """
        places = torch.arange(self.size, dtype=torch.float32, device=starts.device)
        dx, dy = (ends - starts).split(1, dim=2)  # [N, P, 1]
        square = dx * dx + dy * dy
        per_square = torch.where(square > 0, 1 / square.clamp(min=TINY), 0.0)[:, :, :, None]
        x, y = places - starts[:, :, :1], places - starts[:, :, 1:]  # [N, P, size]
        along = (((x * dx)[:, :, None, :] + (y * dy)[:, :, :, None]) * per_square).clamp(0, 1)
        x_off, y_off = x[:, :, None, :] - along * dx[:, :, :, None], y[:, :, :, None] - along * dy[:, :, :, None]
        return x_off * x_off + y_off * y_off, along


def _progress(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the drawing's line there is before each segment, and up to its end: [N, P] each, in pixels."""
    reached = torch.cumsum(_lengths(starts, ends), dim=1)
    return _moved(reached, -1, 0.0), reached


def _moved(numbers: Tensor, step: int, outside: float) -> Tensor:
    """For each of P points, in dimension 1, the number of the point `step` behind it, or `outside` where there is none.

    By index: a slice of P - 1 points is of another kind for P = 2, which torch.export refuses to take for dynamic.
    """
    count = numbers.shape[1]
    places = torch.arange(count, device=numbers.device) + step
    inside = ((places >= 0) & (places < count)).view(1, -1, *[1] * (numbers.dim() - 2))
    return torch.where(inside, numbers.index_select(1, places.clamp(0, count - 1)), outside)


def _over(number: float, divisors: Tensor) -> Tensor:
    """The number divided by each divisor, rounded once: `number / divisors` multiplies by the reciprocals."""
    return torch.full_like(divisors, number) / divisors


def _lengths(starts: Tensor, ends: Tensor) -> Tensor:
    dx, dy = (ends - starts).unbind(dim=2)
    return torch.sqrt(dx * dx + dy * dy)


def _thirds(starts: Tensor, ends: Tensor, total: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What of each segment lies in the first third of its drawing's line, the first two thirds, and all of it."""
    done, _ = _progress(starts, ends)
    lengths = _lengths(starts, ends)
    parts = []
    for number in (1, 2):
        room = total * number / 3 - done
        share = torch.where(lengths > room, room / lengths.clamp(min=TINY), 1.0)[:, :, None]
        begun = (room >= 0)[:, :, None]
        part = torch.where(begun, starts, FAR)
        parts.append((part, torch.where(begun, starts + (ends - starts) * share, FAR)))
    return [*parts, (starts, ends)]
