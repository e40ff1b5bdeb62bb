"""Small backbones that see strokes, alone and beside pixels: as objects and as overrides of a command."""

from __future__ import annotations

from pathlib import Path

import torch

from deepdraw.models import Classifier, Linear, Weighed
from deepdraw.models.backbones import Backbone, StrokesBackbone, TimmBackbone
from deepdraw.training.checkpoint import save_checkpoint

STROKES = ["backbone=strokes", "backbone.widths=[8,16]", "backbone.depths=[1,1]", "input.points=32"]


FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]


FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]


FUSED += [
    "+backbone.pixels.options.channels=[8,8,16,16]",
    "backbone.strokes.widths=[8,16]",
    "backbone.strokes.depths=[1,1]",
]


TRANSFORMER = ["backbone=stroke_transformer", "backbone.name=test_vit", "backbone.pretrained=false", "input.points=32"]


TRANSFORMER += ["+backbone.options.depth=2", "backbone.strokes=4", "backbone.width=16", "backbone.dilations=[1]"]


TRANSFORMER += ["optimizer=muon", "optimizer.lr=1e-2", "train.epochs=9"]


STEM = ["backbone=stroke_stem", "backbone.name=resnet10t", "backbone.pretrained=false", "input.points=32"]


STEM += [
    "+backbone.options.channels=[8,8,16,16]",
    "backbone.map_size=8",
    "backbone.width=16",
    "backbone.dilations=[1,2]",
]


FUSED_STEM = [*FUSED[:7], "backbone@backbone.strokes=stroke_stem"]


FUSED_STEM += [option.replace("backbone.", "backbone.strokes.") for option in STEM[1:] if "input" not in option]


WEIGHED = ["head=weighed", "head.hidden=8"]
EACH = {
    "strokes": STROKES,
    "stroke_transformer": TRANSFORMER,
    "stroke_stem": STEM,
    "fused": FUSED,
    "fused with a stem": FUSED_STEM,
}


def pixels() -> TimmBackbone:
    return TimmBackbone("resnet10t", pretrained=False, image_size=32, options={"channels": [8, 8, 16, 16]})


def small(pretrained: bool | str = False) -> StrokesBackbone:
    return StrokesBackbone(widths=[8, 16], depths=[1, 1], attention=2, stem_stride=2, pretrained=pretrained)


def inputs(number: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (number, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randn(number, 24, 8, generator=generator)


def weighed(backbone: Backbone, num_classes: int = 3, **options) -> Weighed:
    return Weighed(backbone.num_features, num_classes, backbone.feature_widths, **options)


def saved_run(folder: Path, backbone: Backbone) -> Path:
    """The directory of a run with this backbone."""
    weights = Classifier(backbone, Linear(backbone.num_features, 3)).state_dict()
    content = {"config": {}, "classes": ["a", "b", "c"], "model": weights}
    (folder / "checkpoints").mkdir(parents=True)
    save_checkpoint(folder / "checkpoints/best.pt", content)
    return folder
