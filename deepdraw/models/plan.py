"""From a config to a Classifier: the one place that builds it and refuses what cannot be."""

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
    """A network that a config describes: its backbone with random weights, and how its head is made.

    Nothing is read or downloaded for it. Raises ValueError, in one line, where the config describes no network: the
    head is tried on the meta device, before the data are opened, which takes neither memory nor random numbers.
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
        """The classifier, with random weights."""
        sizes: dict[str, Any] = {"num_features": self.backbone.num_features, "num_classes": num_classes}
        return Classifier(self.backbone, make(self.head, "head", **sizes))
