from .base import Backbone, LayerGroup
from .fused import FusedBackbone, JoinedGroup
from .open_clip import OpenClipBackbone
from .strokes import StrokesBackbone
from .timm import TimmBackbone
from .weights import UNREADABLE

__all__ = [
    "UNREADABLE",
    "Backbone",
    "FusedBackbone",
    "JoinedGroup",
    "LayerGroup",
    "OpenClipBackbone",
    "StrokesBackbone",
    "TimmBackbone",
]
