from .base import Backbone, LayerGroup
from .described import look_up_name
from .fused import FusedBackbone, JoinedGroup
from .open_clip import OpenClipBackbone
from .stroke_stem import StrokeStemBackbone
from .stroke_transformer import StrokeTransformerBackbone
from .strokes import StrokesBackbone
from .text_tower import TextTower
from .timm import TimmBackbone
from .weights import UNREADABLE

__all__ = [
    "UNREADABLE",
    "Backbone",
    "FusedBackbone",
    "JoinedGroup",
    "LayerGroup",
    "OpenClipBackbone",
    "StrokeStemBackbone",
    "StrokeTransformerBackbone",
    "StrokesBackbone",
    "TextTower",
    "TimmBackbone",
    "look_up_name",
]
