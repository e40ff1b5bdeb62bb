"""Turns a config into a Classifier. This is the one place that builds it and refuses impossible combinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from deepdraw.config import make
from deepdraw.models.backbones import Backbone
from deepdraw.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class ModelPlan:
    """The network that a config describes: the backbone with random weights, and the config of the head.

    Nothing is read or downloaded. Raises ValueError, in one line, if the config describes no possible network: the head
    is built on the meta device, which takes neither memory nor random numbers, before the data are opened.
    """

    backbone: Backbone
    head: DictConfig

    @classmethod
    def of(cls, config: DictConfig, *, activation_checkpointing: bool = False) -> ModelPlan:
        """The plan of a config with the groups `backbone` and `head`."""
        backbone = make(config.backbone, "backbone")
        if activation_checkpointing:
            backbone.checkpoint_activations()
        plan = cls(backbone, config.head)
        with torch.device("meta"):
            plan.build(num_classes=1)
        return plan

    def build(self, num_classes: int) -> Classifier:
        """Build the classifier with random weights."""
        backbone = self.backbone
        sizes: dict[str, Any] = {"num_features": backbone.num_features, "num_classes": num_classes}
        parts = {"feature_widths": backbone.feature_widths, "build_text_tower": backbone.build_text_tower}
        return Classifier(backbone, make(self.head, "head", **sizes, **parts))
