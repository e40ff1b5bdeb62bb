"""A backbone and a head: drawings to logits."""

import torch
from torch import Tensor, nn

from deepdraw.models.backbones import Backbone


class Classifier(nn.Module):
    """Grey images [B, H, W] of bytes to logits [B, num_classes].

    The preprocessing that the backbone wants happens here, on their device. Its constants are no part of
    the state dict, which holds the weights of the backbone and of the head, and nothing else.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        # (grey / 255 - mean) / std in one pass, as grey * scale + shift
        self.register_buffer("scale", (1 / (255 * std)).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # convolutions are faster so, on CPUs and GPUs; the rest ignores it

    def features(self, images: Tensor) -> Tensor:
        """Features [B, num_features] of uint8 images [B, H, W] (0 is black, 255 white)."""
        return self.backbone(images[:, None] * self.scale + self.shift)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of uint8 images [B, H, W]."""
        return self.head(self.features(images))
