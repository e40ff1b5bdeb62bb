"""A timm network whose first layers give way to an encoder of strokes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepdraw.models.backbones.base import LayerGroup
from deepdraw.models.backbones.state_dicts import without_prefixes
from deepdraw.models.backbones.timm import TimmBackbone, timm_layer_groups
from deepdraw.models.backbones.weights import load_weights, read_weights


class TimmOnStrokes(TimmBackbone):
    """The layers of a timm network above its first ones, which an encoder of points [B, K, 8] stands for.

    A subclass calls `replace` in its constructor. The encoder starts from random weights and the rest from pretrained
    ones, so the encoder counts as the final layers: it trains when blocks are frozen, and has the head's learning rate.
    """

    sees = ("strokes",)

    def __init__(
        self,
        name: str,
        pretrained: bool | str = True,
        options: Mapping[str, Any] | None = None,
        pooling: str | None = None,
    ) -> None:
        super().__init__(name, pretrained, options=options, pooling=pooling)
        self.image_size = 0  # it sees none

    def order_of_use(self, options: Mapping[str, Any], own_size: int) -> list[str]:
        """That of the whole network, which sees an image."""
        with torch.device("meta"):
            whole = TimmBackbone(self.name, False, options=options, pooling=self.pooling)
        return whole.in_order

    def replace(self, layers: Sequence[str], encoder: nn.Module) -> None:
        """Put an encoder in the place of the first of these modules of the network, and nothing in that of the rest."""
        first, *rest = layers
        setattr(self.network, first, encoder)
        for layer in rest:
            setattr(self.network, layer, nn.Identity())
        self._replaced = tuple(layers)

    @property
    def encoder(self) -> nn.Module:
        return self.network.get_submodule(self._replaced[0])

    def load_pretrained(self) -> None:
        """Load weights of the network from the hub or a file, without its first layers; or all of a run on strokes."""
        if self.pretrained:
            if isinstance(self.pretrained, str):
                weights = without_prefixes(read_weights(self.pretrained, "strokes"), self.network.state_dict())
                if any(f"{self._replaced[0]}.{key}" in weights for key in self.encoder.state_dict()):
                    load_weights(self.network, weights, file=self.pretrained, name=self.name)
                    return
            whole = TimmBackbone(self.name, self.pretrained, options=self.arguments, pooling=self.pooling)
            whole.load_pretrained()
            self.network.load_state_dict(self.kept(whole.network.state_dict()), strict=False)

    def kept(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of the weights of the whole network that this one has."""
        own = self.network.state_dict()
        return {
            key: tensor
            for key, tensor in state_dict.items()
            if key in own and key.partition(".")[0] not in self._replaced
        }

    def layer_groups(self) -> list[LayerGroup]:
        below, *blocks, top = timm_layer_groups(self.network, self.in_order)
        encoder = self.encoder
        below = LayerGroup(below.name, below.modules, below.parameters, fresh=[encoder]).without_fresh()
        parameters = [*top.parameters, *encoder.parameters()]
        return [below, *blocks, LayerGroup(top.name, [*top.modules, encoder], parameters, fresh=[encoder])]
