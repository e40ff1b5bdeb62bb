"""The backbone that sees strokes alone."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn.functional import batch_norm

from deepdraw.models.backbones import StrokesBackbone
from deepdraw.models.backbones.strokes import Attention
from tests.models.strokes.conftest import inputs, small


def test_features_are_the_mean_and_the_maximum_over_the_points():
    backbone = small().eval()
    _, points = inputs()
    features = backbone(points)
    assert features.shape == (4, backbone.num_features) == (4, 32)
    assert (features[:, :16] <= features[:, 16:] + 1e-6).all()


def test_a_block_starts_as_its_shortcut_so_that_only_the_stem_is_seen_at_first():
    backbone = StrokesBackbone(widths=[8], depths=[3]).eval()
    _, points = inputs()
    stem = backbone.stem(points.transpose(1, 2)[:, :, None]).squeeze(2)
    torch.testing.assert_close(backbone(points)[:, 8:], stem.amax(dim=2))


def test_the_order_in_which_points_were_drawn_matters():
    backbone, (_, points) = small().eval(), inputs()
    assert not torch.allclose(backbone(points), backbone(points.flip(1)))


def test_layer_groups_are_the_stem_and_the_blocks():
    groups = StrokesBackbone().layer_groups()
    assert [group.name for group in groups] == ["stem", *(f"block {k}" for k in range(7)), "final layers"]
    assert sum(group.num_parameters for group in groups) == sum(p.numel() for p in StrokesBackbone().parameters())


def test_attention_ends_the_last_stages_and_starts_as_nothing():
    plain, attentive = StrokesBackbone([8, 16], [1, 1]), StrokesBackbone([8, 16], [1, 1], attention=1)
    assert [type(block).__name__ for block in attentive.blocks] == ["ResidualBlock", "ResidualBlock", "Attention"]
    assert [group.name for group in attentive.layer_groups()][1:-1] == ["block 0", "block 1", "block 2"]
    attentive.load_state_dict(plain.state_dict(), strict=False)
    _, points = inputs()
    assert torch.equal(plain.eval()(points), attentive.eval()(points))


def test_attention_is_that_of_torch():
    layer, rows = Attention(16).train(), torch.randn(3, 16, 1, 10)
    torch.nn.init.ones_(layer.after.weight)
    reference = torch.nn.MultiheadAttention(16, 8, bias=False, batch_first=True)
    reference.in_proj_weight.data = layer.queries_keys_values.weight.data
    reference.out_proj.weight.data = layer.project.weight.data
    points = batch_norm(rows, None, None, training=True).squeeze(2).transpose(1, 2)
    mixed = reference(points, points, points)[0].transpose(1, 2)[:, :, None]
    torch.testing.assert_close(layer(rows), rows + batch_norm(mixed, None, None, training=True))


def test_a_stem_of_stride_2_halves_the_points():
    shapes = [
        StrokesBackbone([8], [1], stem_stride=stride).stem(torch.randn(2, 8, 1, 11)).shape[-1] for stride in (1, 2)
    ]
    assert shapes == [11, 6]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"attention": -1}, "backbone.attention=-1 must be at least 0"),
        ({"attention": 1, "widths": [8, 12]}, "backbone.widths: 12 with attention must be a multiple of its 8 heads"),
        ({"stem_stride": 3}, "backbone.stem_stride=3 must be 1 or 2"),
    ],
)
def test_impossible_attention_and_strides_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        StrokesBackbone(**{"widths": [8, 16], "depths": [1, 1]} | options)


@pytest.mark.parametrize("widths, depths", [([], []), ([8, 16], [1]), ([8], [0])])
def test_an_impossible_network_is_refused(widths, depths):
    with pytest.raises(ValueError, match="make no network: give both for each stage"):
        StrokesBackbone(widths, depths)
