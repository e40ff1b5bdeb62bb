"""A backbone and a head: drawings to logits."""

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn

from deepdraw.data import Inputs
from deepdraw.models.backbones import Backbone
from deepdraw.models.heads import Text
from deepdraw.models.layers import pad_before_depthwise, slice_before_strided, store_channels_last
from deepdraw.models.learned_prompts import Prompts


class Classifier(nn.Module):
    """What the backbone sees of drawings to logits [B, num_classes].

    Inputs are images uint8, gray [B, H, W] (0 is black, 255 white) or of three channels [B, 3, H, W], points float32
    [B, K, 8], or a pair of images and points.

    The backbone's preprocessing happens here, on the device of the images. Its constants are not in the state dict,
    which holds only the weights of backbone and head.

    Raises:
        ValueError: the head starts from prompts, and the backbone has no text tower to read them with.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        if isinstance(head, Text) and not backbone.has_text:
            raise ValueError(
                f"head=text starts from prompts, which {backbone.name} with these options cannot read: "
                f"use backbone=clip with its trained weights and its own pooling, or head=cosine"
            )
        self.backbone = backbone
        self.head = head
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        # (gray / 255 - mean) / std in one pass, as gray * scale + shift
        self.register_buffer("scale", (1 / (255 * std)).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(3, 1, 1), persistent=False)
        store_channels_last(self)
        pad_before_depthwise(backbone)
        slice_before_strided(backbone)

    def load_pretrained(self, class_names: Sequence[str]) -> None:
        """Load the backbone's pretrained weights, and start a head that reads from the names of its classes.

        Raises:
            ValueError: the weights cannot be downloaded or read, or belong to another architecture.
        """
        self.backbone.load_pretrained()
        if isinstance(self.head, Text | Prompts):
            self.head.read(class_names, self.backbone)

    def features(self, inputs: Inputs) -> Tensor:
        """Features [B, num_features] of the inputs that the backbone sees."""
        if isinstance(inputs, tuple):
            images, points = inputs
            return self.backbone((self._normalize(images), points))
        return self.backbone(inputs if inputs.is_floating_point() else self._normalize(inputs))

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits [B, num_classes] of inputs, or of their cached features [B, num_features]."""
        return self.head(inputs if are_features(inputs) else self.features(inputs))

    def _normalize(self, images: Tensor) -> Tensor:
        return (images if images.ndim == 4 else images[:, None]) * self.scale + self.shift


def are_features(inputs: Inputs) -> TypeGuard[Tensor]:
    """Whether these are cached features [B, num_features], and not what a backbone sees."""
    return isinstance(inputs, Tensor) and inputs.ndim == 2
