"""Strided 1 x 1 convolutions of few channels: the same numbers, and no write outside of memory."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Linear
from deepdraw.models.layers import slice_before_strided, store_channels_last
from deepdraw.models.layers.strided import StridedConv2d

TRAINED = """
import sys, torch
from deepdraw.models.backbones import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Linear
backbone = TimmBackbone(sys.argv[1], False, 64)
model = Classifier(backbone, Linear(backbone.num_features, num_classes=2)).train()
for step in range(4):
    model(torch.randint(0, 256, (8, 64, 64), dtype=torch.uint8)).square().mean().backward()
    kept = [torch.randn(n) for n in range(1, 4000, 7)]
print("trained")
"""


@pytest.mark.parametrize("channels", [1, 3, 4, 15])
@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
def test_values_and_gradients_are_those_of_the_convolution(channels: int, stride: int | tuple[int, int]):
    convolution = nn.Conv2d(channels, 6, 1, stride=stride)
    slicing = copy.deepcopy(convolution)
    slice_before_strided(slicing)
    assert type(slicing) is StridedConv2d
    inputs = torch.randn(4, channels, 9, 12, requires_grad=True)
    expected, got = convolution(inputs), slicing(inputs)
    torch.testing.assert_close(got, expected)
    weights = torch.randn_like(expected)
    theirs = torch.autograd.grad(expected, [inputs, *convolution.parameters()], weights)
    ours = torch.autograd.grad(got, [inputs, *slicing.parameters()], weights)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_only_strided_convolutions_of_few_channels_change():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(64, 8, 1, stride=2), nn.Conv2d(3, 8, 1, stride=2)
    )
    slice_before_strided(network)
    assert [type(module) for module in network] == [nn.Conv2d, nn.Conv2d, nn.Conv2d, StridedConv2d]


@pytest.mark.parametrize("name", ["mobileone_s0", "repvgg_a0", "fastvit_t8"])
def test_a_cpu_trains_networks_with_such_convolutions(name: str):
    # MALLOC_CHECK_ makes glibc end the process where it finds its heap changed.
    environment = {**os.environ, "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAINED, name]
    ended = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "trained\n", ended.stderr[-500:]


def test_weights_of_five_dimensions_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3))
    store_channels_last(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[1].weight.is_contiguous()
    backbone = TimmBackbone("lambda_resnet26t", False, image_size=128)  # positions by a convolution in three dimensions
    model = Classifier(backbone, Linear(backbone.num_features, num_classes=2))
    assert model(torch.zeros(1, 128, 128, dtype=torch.uint8)).shape == (1, 2)
