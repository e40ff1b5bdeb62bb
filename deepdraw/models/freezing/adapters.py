"""LoRA: frozen weights that learn a change of low rank (Hu et al., 2021, arXiv 2106.09685).

An adapter is a parametrization of a weight tensor, not a layer beside it, because open_clip's attention reads weights
without calling the layers that hold them. It needs the compute of a full weight gradient but saves optimizer state.
peft does the same for such attention, but depends on transformers and accelerate.

The paper adapts linear layers. A convolution is a linear layer over the pixels under its kernel, so its weights
[O, I, kh, kw] are adapted as a matrix [O, I * kh * kw]. peft does the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from deepdraw.models.backbones import LayerGroup
from deepdraw.models.layers import adapted


class LoRA(nn.Module):
    """A weight [O, ...] plus `alpha / rank` times the product of two thin matrices. The product is zero at first."""

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.down = nn.Parameter(nn.init.kaiming_uniform_(weight.new_empty(rank, weight[0].numel()), a=5**0.5))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.register_buffer("scale", weight.new_tensor(alpha / rank))

    def forward(self, weight: Tensor) -> Tensor:
        return adapted(weight, self.down, self.up, self.scale)


@dataclass(frozen=True, eq=False)
class AdaptedGroup(LayerGroup):
    """Frozen layers with some weights, each an attribute of a module, that learn a change of low `rank`."""

    weights: list[tuple[nn.Module, str]] = field(default_factory=list)
    rank: int = 8
    alpha: float = 16.0

    def adapt(self) -> None:
        """Parametrize the weights by `LoRA`, on their device. At first the layers compute the same as before."""
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
