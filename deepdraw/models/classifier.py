"""A backbone and a head: drawings to logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepdraw.models.backbones import Backbone
from deepdraw.models.heads import Text
from deepdraw.models.layers import pad_before_depthwise


class Classifier(nn.Module):
    """Gray images [B, H, W] of bytes to logits [B, num_classes].

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
        self.to(memory_format=torch.channels_last)  # makes convolutions faster, on CPUs and GPUs
        pad_before_depthwise(backbone)

    def load_pretrained(self, class_names: Sequence[str]) -> None:
        """Load the backbone's pretrained weights, and initialize a text head from the names of its classes.

        Raises:
            ValueError: the weights cannot be downloaded or read, or belong to another architecture.
        """
        self.backbone.load_pretrained()
        if isinstance(self.head, Text):
            self.head.read(class_names, self.backbone)

    def features(self, images: Tensor) -> Tensor:
        """Features [B, num_features] of uint8 images [B, H, W] (0 is black, 255 white)."""
        return self.backbone(images[:, None] * self.scale + self.shift)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of uint8 images [B, H, W], or of their cached features [B, num_features]."""
        return self.head(images if images.ndim == 2 else self.features(images))
