"""What is exported as a graph: a classifier with its temperature and softmax, and before it the drawing of strokes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from deepdraw.export.drawing import Lines, segments
from deepdraw.export.sampling import Points
from deepdraw.inference import Trained


class FromInputs(nn.Module):
    """What the network sees, images uint8 [N, ...] or points float32 [N, K, 8] or both, to probabilities [N, C].

    half: whether the network computes in fp16; temperature and softmax are in fp32.
    """

    def __init__(self, trained: Trained, half: bool = False) -> None:
        super().__init__()
        self.half_precision, self.temperature = half, trained.temperature or 1.0
        self.model = copy.deepcopy(trained.model).half() if half else trained.model

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.half_precision:
            inputs = tuple(one.half() if one.is_floating_point() else one for one in inputs)
        logits = self.model((inputs[0], inputs[1]) if len(inputs) == 2 else inputs[0]).float()
        return torch.softmax(logits / self.temperature, dim=1)


class FromImages(nn.Module):
    """Images uint8 [N, ...] to probabilities [N, C]."""

    def __init__(self, trained: Trained, half: bool = False) -> None:
        super().__init__()
        self.inputs = FromInputs(trained, half)

    def forward(self, images: Tensor) -> Tensor:
        return self.inputs(images)


class FromStrokes(nn.Module):
    """Strokes, points float32 [N, P, 2] and strokes int32 [N, P] (see `deepdraw.export.drawing`), to probabilities.

    with_seen: whether it also gives what the network sees: images, points or both.
    """

    def __init__(self, trained: Trained, half: bool = False, *, with_seen: bool = False) -> None:
        super().__init__()
        self.lines = Lines(trained.rasterizer) if "pixels" in trained.sees else None
        self.samples = None if trained.points is None else Points(trained.points)
        self.inputs, self.with_seen = FromInputs(trained, half), with_seen

    def forward(self, points: Tensor, strokes: Tensor) -> tuple[Tensor, ...]:
        drawn = segments(points, strokes)
        seen = [part(drawn) for part in (self.lines, self.samples) if part is not None]
        return self.inputs(*seen), *(seen if self.with_seen else ())
