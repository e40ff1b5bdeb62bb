from .base import Backbone, LayerGroup
from .fused import FusedBackbone
from .open_clip import OpenClipBackbone
from .strokes import StrokesBackbone
from .timm import TimmBackbone
from .weights import UNREADABLE

__all__ = [
    "UNREADABLE",
    "Backbone",
    "FusedBackbone",
    "LayerGroup",
    "OpenClipBackbone",
    "StrokesBackbone",
    "TimmBackbone",
]
