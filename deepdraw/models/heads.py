"""Heads: features to logits."""

from collections.abc import Sequence
from itertools import pairwise
from math import inf, log

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


class Weighed(nn.Module):
    """A linear classifier for each part of a backbone, and a small network that weighs their logits for each drawing.

    Features [B, num_features] to logits [B, num_classes]; in training to [B, 1 + P, num_classes] for P parts: first the
    weighed logits, then those of each part, which have a loss of their own (as in SketchMLP, each with 0.8).

    The small network reads the probabilities that the parts give the classes. Its weights of a drawing sum to P and
    start at 1 each, where the weighed logits are those of one linear layer over all features.

    Args:
        feature_widths: the number of features of each part, in their order.
        hidden: width of the hidden layer of the network that weighs.
        dropout: share of features dropped in training before each classifier, in [0, 1).
        part_loss: how much the loss of each part counts beside that of the weighed logits.
        apart: whether each part learns by its own loss alone, as if it were trained by itself. The loss of the weighed
            logits then trains only the network that weighs.

    Raises:
        ValueError: a backbone of one part, or an impossible option.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        feature_widths: Sequence[int],
        hidden: int = 64,
        dropout: float = 0.0,
        part_loss: float = 0.8,
        apart: bool = False,
    ) -> None:
        super().__init__()
        num_parts = len(feature_widths)
        if num_parts < 2:
            raise ValueError("head=weighed weighs the halves of a backbone, and this one has none: use head=linear")
        if hidden < 1 or not 0 <= dropout < 1 or not 0 <= part_loss < inf:
            raise ValueError(
                f"head.hidden={hidden} must be at least 1, head.dropout={dropout} lie in [0, 1), "
                f"and head.part_loss={part_loss} be at least 0"
            )
        self.feature_widths = tuple(feature_widths)
        self.apart = apart
        self.loss_weights = (1.0, *[part_loss] * num_parts)
        self.dropout = nn.Dropout(dropout)
        self.classifiers = nn.ModuleList(nn.Linear(width, num_classes) for width in feature_widths)
        last = nn.Linear(hidden, num_parts)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.weigh = nn.Sequential(nn.Linear(num_parts * num_classes, hidden), nn.GELU(), last)

    def forward(self, features: Tensor) -> Tensor:
        parts = self.dropout(features).split(self.feature_widths, dim=1)
        logits = torch.stack([classify(part) for classify, part in zip(self.classifiers, parts, strict=True)], dim=1)
        probabilities = logits.detach().softmax(dim=2)  # detached, so that it only learns whom to believe
        weights = len(parts) * self.weigh(probabilities.flatten(1)).softmax(dim=1)
        weighed = (weights[:, :, None] * (logits.detach() if self.apart else logits)).sum(dim=1)
        return torch.cat([weighed[:, None], logits], dim=1) if self.training else weighed


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
