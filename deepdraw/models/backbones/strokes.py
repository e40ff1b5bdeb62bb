"""A backbone that reads a drawing as points in the order in which they were drawn, without its picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from deepdraw.drawings import POINT_NUMBERS
from deepdraw.models.backbones.base import Backbone, LayerGroup
from deepdraw.models.backbones.grouping import group_layers
from deepdraw.models.backbones.state_dicts import without_prefixes
from deepdraw.models.backbones.weights import check_pretrained, load_weights, read_weights

HEADS = 8  # of an attention layer


class StrokesBackbone(Backbone):
    """A residual network of convolutions along the points, with attention: points [B, K, 8] to features [B, 2 D].

    The features are the mean and the maximum over the points of the last stage, D = widths[-1]. Shortcuts and residual
    branches are those of ResNet-D (arXiv 1812.01187), in one dimension. Attention relates strokes that are near each
    other on the paper, however far apart in time.

    Args:
        widths: channels of each stage; each stage but the first halves the number of points.
        depths: blocks of each stage.
        attention: how many of the last stages end with an attention layer.
        stem_stride: 2 halves the number of points in the stem, too.
        pretrained: False for random weights, or a run of train.py, or a checkpoint of one, whose weights to start from.

    Raises:
        ValueError: no stage, a stage without a block, other numbers of widths and depths, a width with attention that
            its heads cannot share, or another stride than 1 and 2.
    """

    sees = ("strokes",)
    name = "strokes"
    image_size = 0  # it sees none

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 144, 192),
        depths: Sequence[int] = (1, 2, 2, 2),
        attention: int = 0,
        stem_stride: int = 1,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        check_pretrained(pretrained)
        if pretrained is True:
            raise ValueError("backbone=strokes has no weights on any hub: pretrained=false, or the directory of a run")
        self.pretrained = pretrained
        if not widths or len(widths) != len(depths) or min(*widths, *depths, 1) < 1:
            raise ValueError(
                f"backbone.widths={list(widths)} and depths={list(depths)} make no network: give both for each stage"
            )
        if stem_stride not in (1, 2):
            raise ValueError(f"backbone.stem_stride={stem_stride} must be 1 or 2")
        if attention < 0:
            raise ValueError(
                f"backbone.attention={attention} must be at least 0, the number of stages that end with it"
            )
        self.num_features = 2 * widths[-1]
        stem = convolution(len(POINT_NUMBERS), widths[0], 5, stem_stride)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks: list[nn.Module] = []
        width_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for number in range(depth):
                blocks.append(ResidualBlock(width_in, width, stride=2 if stage and not number else 1))
                width_in = width
            if stage >= len(widths) - attention:
                blocks.append(Attention(width))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, points: Tensor) -> Tensor:
        """Features [B, 2 D] of points [B, K, 8]."""
        rows = points.transpose(1, 2)[:, :, None]  # images of one row: channels_last is faster than Conv1d on CPUs
        stage = self.blocks(self.stem(rows)).squeeze(2)
        return torch.cat([stage.mean(dim=2), stage.amax(dim=2)], dim=1)

    def load_pretrained(self) -> None:
        if self.pretrained:
            file = str(self.pretrained)
            weights = without_prefixes(read_weights(file, "strokes"), self.state_dict())
            load_weights(self, weights, file=file, name=self.name)

    def layer_groups(self) -> list[LayerGroup]:
        return group_layers(self, {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}, "stem")


class ResidualBlock(nn.Module):
    """Two convolutions of three points and a shortcut, which averages pairs of points where the block halves them."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(width)
        nn.init.zeros_(last.weight)  # a block starts as its shortcut
        self.branch = nn.Sequential(
            convolution(width_in, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            convolution(width, width, 3),
            last,
        )
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d((1, stride), ceil_mode=True))
        if width_in != width:
            shortcut += [convolution(width_in, width, 1), nn.BatchNorm2d(width)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, rows: Tensor) -> Tensor:
        return torch.relu(self.branch(rows) + self.shortcut(rows))


class Attention(nn.Module):
    """Self-attention among the points of a row [B, C, 1, K], added to them; it starts as nothing.

    Points know their place by their features, which began as positions. Raises ValueError for a width that is no
    multiple of `HEADS`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % HEADS:
            raise ValueError(f"backbone.widths: {width} with attention must be a multiple of its {HEADS} heads")
        self.before, self.after = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        nn.init.zeros_(self.after.weight)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        points = self.before(rows).squeeze(2).transpose(1, 2)  # [B, K, C]
        heads = self.queries_keys_values(points).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(*heads.unbind(0))  # [B, HEADS, K, C / HEADS]
        mixed = self.project(found.transpose(1, 2).flatten(2))
        return rows + self.after(mixed.transpose(1, 2)[:, :, None])


def convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution along rows [B, C, 1, K], which keeps their length but for the stride."""
    return nn.Conv2d(width_in, width, (1, kernel), (1, stride), (0, kernel // 2), bias=False)
