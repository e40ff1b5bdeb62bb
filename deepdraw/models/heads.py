"""Heads: features to logits."""

from collections.abc import Sequence
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.models.backbones import Backbone
from deepdraw.models.prompts import text_classifier


class Linear(nn.Linear):
    """One linear layer: features [B, num_features] to logits [B, num_classes]."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)


class MLP(nn.Sequential):
    """Hidden layers, then a linear one: features [B, num_features] to logits [B, num_classes].

    Args:
        hidden: widths of the hidden layers, each followed by a norm, an activation and dropout.
        norm: "layer", "batch" (over the drawings of a batch), or "none".
        activation: "gelu", or "leaky_relu" (with a slope of 0.01 below zero).
        dropout: share of hidden units dropped in training, in [0, 1).

    Raises:
        ValueError: no hidden layer, or an unknown norm or activation.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        hidden: Sequence[int] = (512,),
        norm: str = "layer",
        activation: str = "gelu",
        dropout: float = 0.0,
    ) -> None:
        norms = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Identity}
        activations = {"gelu": nn.GELU, "leaky_relu": nn.LeakyReLU}
        for name, value, known in (("norm", norm, norms), ("activation", activation, activations)):
            if value not in known:
                raise ValueError(f"head.{name}={value} is unknown: use one of {', '.join(known)}")
        if not hidden:
            raise ValueError("head=mlp needs a hidden layer: set head.hidden=[512], or use head=linear")
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([num_features, *hidden]):
            layers += [nn.Linear(width_in, width_out), norms[norm](width_out)]
            layers += [activations[activation](), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(hidden[-1], num_classes))


class Cosine(nn.Module):
    """Cosines with a vector per class over a learned temperature: features [B, D] to logits [B, num_classes].

    Args:
        scale: one over the temperature at first. For a loss of 0.01 over 345 classes it must be over 10,
            however well the features lie (NormFace, arXiv 1704.06369, proposition 2).
    """

    def __init__(self, num_features: int, num_classes: int, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, num_features) / num_features**0.5)
        self.log_scale = nn.Parameter(torch.tensor(log(scale)))  # learned as a logarithm, as CLIP does

    def forward(self, features: Tensor) -> Tensor:
        return cosine_logits(features, self.weight, self.log_scale.exp())


class Text(Cosine):
    """A cosine head that starts as CLIP's zero-shot classifier and is then trained (arXiv 2109.01903).

    A text tower is needed only for the start. A trained head is rebuilt from its weights.

    Args:
        scale: CLIP's training ends at 100, where its authors clip it.
    """

    def __init__(self, num_features: int, num_classes: int, scale: float = 100.0) -> None:
        super().__init__(num_features, num_classes, scale)

    @torch.no_grad()
    def read(self, class_names: Sequence[str], backbone: Backbone) -> None:
        """Take the backbone's text features of the class names as weights.

        Raises:
            ValueError: the backbone has no text tower.
        """
        self.weight.copy_(text_classifier(backbone.encode_text, class_names))


def cosine_logits(features: Tensor, weights: Tensor, scale: float | Tensor) -> Tensor:
    """Logits [B, C]: `scale` times the cosines of `features` [B, D] and `weights` [C, D].

    Computed in float32 under any autocast, because cosines are too close together for bf16.
    """
    with torch.autocast(features.device.type, enabled=False):
        return scale * F.normalize(features.float(), dim=-1) @ F.normalize(weights.float(), dim=-1).T
