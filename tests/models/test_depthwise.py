"""Depthwise convolutions that pad small maps themselves."""

import copy

import pytest
import timm
import torch
from torch import nn

from deepdraw.models.layers.depthwise import DepthwiseConv2d, pad_before_depthwise


@pytest.mark.parametrize("side", [1, 3, 5, 8])
@pytest.mark.parametrize("padding", [0, 2, (1, 2), "same"])
def test_values_and_gradients_are_those_of_the_convolution(side: int, padding: int | tuple[int, int] | str) -> None:
    convolution = nn.Conv2d(6, 6, 5, padding=padding, groups=6)
    padding_one = copy.deepcopy(convolution)
    pad_before_depthwise(padding_one)
    assert type(padding_one) is DepthwiseConv2d
    inputs = torch.randn(4, 6, side, side, requires_grad=True)
    if padding in (0, (1, 2)) and side + 2 * (padding != 0) < 5:
        with pytest.raises(RuntimeError, match="[Kk]ernel size"):
            padding_one(inputs)
        return
    expected, got = convolution(inputs), padding_one(inputs)
    torch.testing.assert_close(got, expected)
    weights = torch.randn_like(expected)
    ours = torch.autograd.grad(got, [inputs, *padding_one.parameters()], weights)
    for ours_one, theirs in zip(
        ours, torch.autograd.grad(expected, [inputs, *convolution.parameters()], weights), strict=True
    ):
        torch.testing.assert_close(ours_one, theirs)


def test_state_dict_and_outputs_of_a_network_stay_the_same() -> None:
    network = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    changed = copy.deepcopy(network)
    pad_before_depthwise(changed)
    assert list(changed.state_dict()) == list(network.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(changed(images), network(images), rtol=1e-4, atol=1e-5)


def test_only_depthwise_convolutions_change() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8))
    pad_before_depthwise(network)
    assert [type(module) for module in network] == [nn.Conv2d, nn.Conv2d, DepthwiseConv2d]
