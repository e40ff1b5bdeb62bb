from .base import Backbone, LayerGroup
from .open_clip import OpenClipBackbone
from .timm import TimmBackbone
from .weights import UNREADABLE

__all__ = [
    "UNREADABLE",
    "Backbone",
    "LayerGroup",
    "OpenClipBackbone",
    "TimmBackbone",
]
