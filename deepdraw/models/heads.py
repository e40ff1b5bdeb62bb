"""Heads: features to logits."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class Linear(nn.Linear):
    """One linear layer: features [B, num_features] to logits [B, num_classes]."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)


class MLP(nn.Sequential):
    """Hidden layers, then a linear one: features [B, num_features] to logits [B, num_classes].

    Args:
        hidden: widths of the hidden layers, each followed by a norm, GELU and dropout.
        norm: "layer", "batch" (over the drawings of a batch), or "none".
        dropout: share of hidden units dropped in training, in [0, 1).

    Raises:
        ValueError: no hidden layer, or an unknown norm.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        hidden: Sequence[int] = (512,),
        norm: str = "layer",
        dropout: float = 0.0,
    ) -> None:
        norms = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Identity}
        if norm not in norms:
            raise ValueError(f"head.norm={norm} is unknown: use one of {', '.join(norms)}")
        if not hidden:
            raise ValueError("head=mlp needs a hidden layer: set head.hidden=[512], or use head=linear")
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([num_features, *hidden]):
            layers += [nn.Linear(width_in, width_out), norms[norm](width_out), nn.GELU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(hidden[-1], num_classes))
