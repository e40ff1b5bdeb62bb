"""A vision transformer that reads strokes: each stroke is a token, in the place of a patch (SketchXAI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepdraw.models.backbones.point_layers import IS_START, PointEncoder, check_encoder, stroke_numbers
from deepdraw.models.backbones.timm import drop_own_pooling
from deepdraw.models.backbones.timm_on_strokes import TimmOnStrokes


class StrokeTransformerBackbone(TimmOnStrokes):
    """The blocks of a vision transformer of timm over the strokes of a drawing: points [B, K, 8] to features [B, D].

    As in SketchXAI (Qu et al., 2023, arXiv 2304.11744) the token of a stroke is the sum of its shape, of its place (its
    first point) and of its number in the order of drawing. The shape is encoded by dilated convolutions along the
    stroke, relative to its first point, and the mean and the maximum over its points. The class token and its position
    embedding are those of the network. Tokens without a stroke are masked.

    Args:
        name: a plain vision transformer of `timm.list_models()`, with or without the tag of its weights.
        pretrained: as of `TimmBackbone`; what it has for patches is left out.
        strokes: the most tokens. A drawing of more strokes loses none: its last token is of all that remain.
        width, dilations: of the encoder of a stroke, see `PointEncoder`.
        options: further arguments of the architecture, such as `drop_path_rate` or `depth`.
        pooling: None for the class token where the network pools by it, else the mean of the strokes; or one of
            `POOLINGS`, whose mean is over the strokes.

    Raises:
        ValueError: as `TimmBackbone`; no plain vision transformer; or numbers out of range.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool | str = True,
        strokes: int = 24,
        width: int = 128,
        dilations: Sequence[int] = (1, 2, 4),
        options: Mapping[str, Any] | None = None,
        pooling: str | None = None,
    ) -> None:
        super().__init__(name, pretrained, options, pooling)
        network = self.network
        # Its subclasses, such as the distilled ones, have other tokens.
        if type(network) is not VisionTransformer or not isinstance(network.patch_drop, nn.Identity):
            raise ValueError(
                f"backbone=stroke_transformer needs a plain vision transformer, and {name} with these options is none: "
                f"use one such as vit_*, deit_*, deit3_* or vit_*_dinov2, without patch_drop_rate"
            )
        if strokes < 1:
            raise ValueError(f"backbone.strokes={strokes} must be at least 1: 24 are enough for most drawings")
        check_encoder(width, dilations)
        own = "cls" if network.global_pool == "token" else "mean"
        self.vectors = (pooling or own).split("+")
        if pooling is None and network.attn_pool is not None:
            drop_own_pooling(network)
        if network.pos_embed is not None:
            rows = 0 if network.no_embed_class else network.num_prefix_tokens
            network.pos_embed = nn.Parameter(network.pos_embed[:, :rows].detach().clone()) if rows else None
        self.replace(["patch_embed"], StrokeTokens(strokes, network.embed_dim, width, dilations))

    def forward(self, points: Tensor) -> Tensor:
        """Features [B, D] of points [B, K, 8], or [B, 2 D] for pooling=cls+mean."""
        tokens, present = self._encode(points)
        vectors = []
        for vector in self.vectors:
            if vector == "cls":
                vectors.append(self.network.fc_norm(tokens[:, 0]))
            else:
                weights = present / present.sum(dim=1, keepdim=True).clamp(min=1)
                strokes = tokens[:, self.network.num_prefix_tokens :]
                vectors.append(self.network.fc_norm((strokes * weights[..., None]).sum(dim=1)))
        return torch.cat(vectors, dim=1)

    def tokens(self, points: Tensor) -> Tensor:
        """The last block's tokens [B, N, D]: class and register tokens, then those of the strokes, 0 without one."""
        tokens, present = self._encode(points)
        prefix = self.network.num_prefix_tokens
        return torch.cat([tokens[:, :prefix], tokens[:, prefix:] * present[..., None]], dim=1)

    def checkpoint_activations(self) -> None:
        self.network.set_grad_checkpointing()

    def kept(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kept = super().kept(state_dict)
        if "pos_embed" in kept:
            kept["pos_embed"] = kept["pos_embed"][:, : self.network.pos_embed.shape[1]]
        return kept

    def _encode(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The normed tokens [B, N, D], and which strokes there are, bool [B, S]."""
        network = self.network
        tokens, present = network.patch_embed(points)
        prefix = [token for token in (network.cls_token, network.reg_token) if token is not None]
        if prefix:
            joined = torch.cat(prefix, dim=1)
            if network.pos_embed is not None:
                joined = joined + network.pos_embed
            tokens = torch.cat([joined.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = network.norm_pre(network.pos_drop(tokens))
        mask = attention_mask(present, network.num_prefix_tokens)
        for block in network.blocks:
            if network.grad_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, mask, use_reentrant=False)
            else:
                tokens = block(tokens, attn_mask=mask)
        return network.norm(tokens), present


class StrokeTokens(nn.Module):
    """The token of each stroke [B, S, D] of points [B, K, 8], and which strokes there are, bool [B, S]."""

    def __init__(self, strokes: int, num_features: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.encoder = PointEncoder(5, width, dilations)
        self.shape = nn.Linear(2 * width, num_features)
        self.place = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, num_features))
        self.order = nn.Parameter(nn.init.trunc_normal_(torch.empty(strokes, num_features), std=0.02))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        numbers = stroke_numbers(points)
        most = len(self.order)
        own = numbers[:, None] == torch.arange(most, device=points.device)[:, None]  # [B, S, K], of the first strokes
        present = own.any(dim=2)
        starts = own.int().argmax(dim=2)  # the first point of each stroke
        places = points[..., :2].gather(1, starts[..., None].expand(-1, -1, 2))
        features = self.encoder(relative_numbers(points), numbers)
        own = torch.cat([own[:, :-1], (numbers >= most - 1)[:, None]], dim=1)  # the last token is of the rest
        tokens = self.shape(pooled(features, own)) + self.place(places) + self.order
        return tokens, present


def relative_numbers(points: Tensor) -> Tensor:
    """The shape of strokes [B, K, 5]: points relative to the first one of their stroke, is_start and direction."""
    positions = torch.arange(points.shape[1], device=points.device)
    starts = torch.where(points[..., IS_START] > 0, positions, 0).cummax(dim=1).values
    places = points[..., :2].gather(1, starts[..., None].expand(-1, -1, 2))
    return torch.cat([points[..., :2] - places, points[..., 2:5]], dim=2)


def pooled(features: Tensor, own: Tensor) -> Tensor:
    """The mean and the maximum [B, S, 2 C] of features [B, K, C] over the points that are each stroke's own [B, S, K].

    Both are 0 where a stroke has none.
    """
    counts = own.sum(dim=2, keepdim=True)
    means = (own / counts.clamp(min=1)).to(features.dtype) @ features
    rows = torch.cat([own, ~own.any(dim=1, keepdim=True)], dim=1)  # padding belongs to a row of its own
    index = rows.int().argmax(dim=1)[..., None].expand_as(features)
    lowest = features.new_full((len(own), rows.shape[1], features.shape[2]), torch.finfo(features.dtype).min)
    maxima = lowest.scatter_reduce(1, index, features, "amax")[:, :-1].masked_fill(counts == 0, 0.0)
    return torch.cat([means, maxima.to(means.dtype)], dim=2)


def attention_mask(present: Tensor, num_prefix_tokens: int) -> Tensor:
    """What attention adds to its scores, [B, 1, 1, N]: 0, and -inf for the tokens of strokes that are not there.

    The first token is always seen, so that a drawing without a stroke has numbers, too.
    """
    masked = nn.functional.pad(~present, (num_prefix_tokens, 0), value=False)
    masked = torch.cat([torch.zeros_like(masked[:, :1]), masked[:, 1:]], dim=1)
    return torch.zeros(masked.shape, device=masked.device).masked_fill(masked, -torch.inf)[:, None, None]
