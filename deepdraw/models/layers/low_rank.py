"""Changes of low rank that were learned beside a weight, added to it."""

from collections.abc import Mapping

import torch
from torch import Tensor


def adapted(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """A weight [O, ...] plus `scale` times the product of `up` [O, R] and `down` [R, size of a row of the weight]."""
    return weight + scale * (up @ down).view(weight.shape)


@torch.no_grad()
def merged(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with every adapter added to its weight, under the names that they had before `adapt`.

    A state dict without adapters is returned unchanged.
    """
    plain = dict(state_dict)
    for key in state_dict:
        if key.endswith(".original"):
            weight, prefix = plain.pop(key), key.removesuffix("original")
            down, up, scale = (plain.pop(f"{prefix}0.{part}") for part in ("down", "up", "scale"))
            name = prefix.replace("parametrizations.", "").removesuffix(".")
            plain[name] = adapted(weight, down, up, scale)
    return plain
