"""A backbone that sees a drawing both as a picture and as points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepdraw.models.backbones.base import Backbone, LayerGroup


@dataclass(frozen=True, eq=False, kw_only=True)
class JoinedGroup(LayerGroup):
    """The final layers of the pixel half and the whole stroke half: the topmost layer group of a fused backbone.

    top: the former alone; strokes: the layer groups of the stroke half.
    """

    top: LayerGroup
    strokes: list[LayerGroup]


class FusedBackbone(Backbone):
    """A backbone for pixels and one for strokes, whose features are joined: [B, D + E].

    Args:
        pixels: any backbone that sees pixels; its preprocessing and layer groups are the whole's.
        strokes: one that sees strokes. It counts as the final layers, so it trains when blocks of `pixels` are frozen.

    Raises:
        ValueError: a half that does not see what it is there for.
    """

    sees = ("pixels", "strokes")

    def __init__(self, pixels: Backbone, strokes: Backbone) -> None:
        super().__init__()
        for half, seen, backbone in (("pixels", "pixels", pixels), ("strokes", "strokes", strokes)):
            if backbone.sees != (seen,):
                raise ValueError(f"backbone.{half}: {backbone.name} sees {' and '.join(backbone.sees)}: choose another")
        self.pixels, self.strokes = pixels, strokes
        self.name = f"{pixels.name} and {strokes.name}"
        self.num_features = pixels.num_features + strokes.num_features
        self.image_size = pixels.image_size
        self.mean, self.std = pixels.mean, pixels.std
        self.pretrained = pixels.pretrained

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Features [B, D + E] of normalized images [B, 3, H, W] and points [B, K, 8]."""
        images, points = inputs
        return torch.cat([self.pixels(images), self.strokes(points)], dim=1)

    @property
    def feature_widths(self) -> tuple[int, ...]:
        return self.pixels.num_features, self.strokes.num_features

    def load_pretrained(self) -> None:
        self.pixels.load_pretrained()
        self.strokes.load_pretrained()

    def layer_groups(self) -> list[LayerGroup]:
        *below, top = self.pixels.layer_groups()
        parameters = [*top.parameters, *self.strokes.parameters()]
        modules, strokes = [*top.modules, self.strokes], self.strokes.layer_groups()
        fresh = [module for group in strokes for module in group.fresh] if self.strokes.pretrained else [self.strokes]
        return [
            *below,
            JoinedGroup(top.name, modules, parameters, [*top.fresh, *fresh], top=top, strokes=strokes),
        ]

    def checkpoint_activations(self) -> None:
        self.pixels.checkpoint_activations()
