"""LoRA: frozen weights that learn a change of low rank (Hu et al., 2021, arXiv 2106.09685).

An adapter is a parametrization of a weight tensor, not a layer beside it: open_clip's attention reads weights
without calling the layers that hold them. It costs the compute of a full weight gradient and saves the
optimizer's state. peft does the same for such attention, but brings transformers and accelerate along.

The paper adapts linear layers. A convolution is one over the pixels under its kernel, and adapted as such: its
weights [O, I, kh, kw] as a matrix [O, I * kh * kw], which is peft's LoRA for convolutions too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from deepdraw.models.backbones import LayerGroup


class LoRA(nn.Module):
    """A weight [O, ...] plus `alpha / rank` times the product of two thin matrices, which is zero at first."""

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.down = nn.Parameter(nn.init.kaiming_uniform_(weight.new_empty(rank, weight[0].numel()), a=5**0.5))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.register_buffer("scale", weight.new_tensor(alpha / rank))

    def forward(self, weight: Tensor) -> Tensor:
        return _adapted(weight, self.down, self.up, self.scale)


@dataclass(frozen=True, eq=False)
class AdaptedGroup(LayerGroup):
    """Frozen layers of which some weights, each an attribute of a module, shall learn a change of `rank`."""

    weights: list[tuple[nn.Module, str]] = field(default_factory=list)
    rank: int = 8
    alpha: float = 16.0

    def adapt(self) -> None:
        """Parametrize the weights by `LoRA`, on their device; what the layers compute is as before."""
        for module, name in self.weights:
            register_parametrization(module, name, LoRA(getattr(module, name).detach(), self.rank, self.alpha))


def matrices(group: LayerGroup) -> Iterator[tuple[nn.Module, str]]:
    """The weights of a group's linear layers (attention's, fused or not, and the MLP's) and 2-D convolutions.

    Grouped and depthwise convolutions are left out: their weights are many small matrices, not one.
    """
    for root in group.modules:
        for module in root.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim in (2, 4) and name.endswith("weight") and getattr(module, "groups", 1) == 1:
                    yield module, name


@torch.no_grad()
def merged(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with every adapter added to its own, under the names that they had before `adapt`.

    A state dict without adapters comes back as it is.
    """
    plain = dict(state_dict)
    for key in state_dict:
        if key.endswith(".original"):
            weight, prefix = plain.pop(key), key.removesuffix("original")
            down, up, scale = (plain.pop(f"{prefix}0.{part}") for part in ("down", "up", "scale"))
            name = prefix.replace("parametrizations.", "").removesuffix(".")
            plain[name] = _adapted(weight, down, up, scale)
    return plain


def _adapted(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    return weight + scale * (up @ down).view(weight.shape)
