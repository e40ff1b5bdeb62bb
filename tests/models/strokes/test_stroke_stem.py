"""Strokes as a map in the place of a pretrained convolutional network's stem."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from deepdraw.models.backbones.stroke_stem import cells_of, mean_by_cell
from tests.models.strokes.encoders import DRAWINGS, close, points, stem

STEMS = {  # the modules that make the map in timm's networks
    "resnet10t": ("conv1", "bn1", "act1", "maxpool"),
    "resnetv2_50": ("stem",),
    "regnety_002": ("stem",),
    "convnext_atto": ("stem",),
    "tf_efficientnet_lite0": ("conv_stem", "bn1"),
    "mobilenetv3_small_050": ("conv_stem", "bn1"),
}


@pytest.mark.parametrize("name", STEMS)
@torch.no_grad()
def test_above_the_map_the_network_is_that_of_timm(name, tmp_path):
    options = {"layers": [1, 1, 1, 1]} if name.startswith("resnet") else {}
    whole = timm.create_model(name, num_classes=0, **options).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    backbone = stem(name, str(tmp_path / "whole.pt"), options=options).eval()
    backbone.load_pretrained()
    sampled = points(DRAWINGS)
    drawn = backbone.encoder(sampled)
    begin, *rest = STEMS[name]
    setattr(whole, begin, nn.Identity())
    for layer in rest:
        setattr(whole, layer, nn.Identity())
    close(backbone(sampled), whole(drawn))
    assert drawn.shape[2:] == (16, 16) and backbone.num_features == whole(drawn).shape[1]


@torch.no_grad()
def test_a_cell_has_the_mean_of_the_points_in_it():
    features, sampled = torch.randn(4, 40, 5), points(DRAWINGS)
    present = sampled[..., 5] > 0
    found = mean_by_cell(features, cells_of(sampled[..., :2], 4), present, 4)
    expected = torch.zeros(4, 5, 4, 4)
    for i in range(4):
        for row in range(4):
            for column in range(4):
                inside = [
                    features[i, k]
                    for k in range(40)
                    if present[i, k]
                    and -1 + column / 2 <= sampled[i, k, 0] < -0.5 + column / 2
                    and -1 + row / 2 <= sampled[i, k, 1] < -0.5 + row / 2
                ]
                if inside:
                    expected[i, :, row, column] = torch.stack(inside).mean(dim=0)
    close(found, expected)


def test_the_gradient_of_the_map_is_that_of_the_mean():
    sampled = points([[2, 3], [6]], length=8)
    cells, present = cells_of(sampled[..., :2], 2), sampled[..., 5] > 0
    features = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: mean_by_cell(values, cells, present, 2), features)


def test_places_on_the_edges_of_the_box_and_outside_are_on_the_edges_of_the_map():
    places = torch.tensor([[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [7.0, -9.0], [0.0, 0.0]]])
    assert cells_of(places, 4).tolist() == [[0, 3, 15, 3, 10]]


@pytest.mark.parametrize("name", ["test_vit", "vgg11"])
def test_a_network_without_such_a_stem_is_refused(name):
    with pytest.raises(
        ValueError, match=f"the stem of a ResNet, .* and {name} is none of them: use one such as resnet18"
    ):
        stem(name)
