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

    half: whether the network computes in fp16; temperature and softmax are in fp32. `with_features` gives the features
    float32 [N, D] of the backbone, too.
    """

    def __init__(self, trained: Trained, half: bool = False) -> None:
        super().__init__()
        self.half_precision, self.temperature = half, trained.temperature or 1.0
        self.model = copy.deepcopy(trained.model).half() if half else trained.model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.with_features(*inputs)[0]

    def with_features(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.half_precision:
            inputs = tuple(one.half() if one.is_floating_point() else one for one in inputs)
        features = self.model.features((inputs[0], inputs[1]) if len(inputs) == 2 else inputs[0])
        return torch.softmax(self.model(features).float() / self.temperature, dim=1), features.float()


class FromImages(nn.Module):
    """Images uint8 [N, ...] to probabilities [N, C]."""

    def __init__(self, trained: Trained, half: bool = False) -> None:
        super().__init__()
        self.inputs = FromInputs(trained, half)

    def forward(self, images: Tensor) -> Tensor:
        return self.inputs(images)


class FromStrokes(nn.Module):
    """Strokes, points float32 [N, P, 2] and strokes int32 [N, P] (see `deepdraw.export.drawing`), to probabilities.

    with_seen: whether it also gives, behind them, what the network sees: images, points or both; with_features: whether
    it gives, last, the features [N, D] of the backbone.
    """

    def __init__(
        self, trained: Trained, half: bool = False, *, with_seen: bool = False, with_features: bool = False
    ) -> None:
        super().__init__()
        self.lines = Lines(trained.rasterizer) if "pixels" in trained.sees else None
        self.samples = None if trained.points is None else Points(trained.points)
        self.inputs, self.with_seen, self.with_features = FromInputs(trained, half), with_seen, with_features

    def forward(self, points: Tensor, strokes: Tensor) -> Tensor | tuple[Tensor, ...]:
        drawn = segments(points, strokes)
        seen = [part(drawn) for part in (self.lines, self.samples) if part is not None]
        probabilities, features = self.inputs.with_features(*seen)
        more = *(seen if self.with_seen else ()), *((features,) if self.with_features else ())
        return (probabilities, *more) if more else probabilities
