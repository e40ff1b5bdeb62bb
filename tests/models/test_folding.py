"""Batch norms folded into convolutions: the same features, and nothing changed in the network itself."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from deepdraw.features.folding import fold_batch_norms


def unlike(network: nn.Module) -> nn.Module:
    """The network with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var, module.bias.data, module.running_mean):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
@torch.no_grad()
def test_features_stay_the_same_and_so_does_the_network(name: str) -> None:
    network = unlike(timm.create_model(name, num_classes=0))
    images = torch.randn(2, 3, 64, 64)
    before, weights = network(images), {key: value.clone() for key, value in network.state_dict().items()}
    folded, number = fold_batch_norms(network, images[:1])
    assert number == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), before, rtol=1e-3, atol=1e-4 * before.abs().max().item())
    assert torch.equal(network(images), before)
    assert all(torch.equal(weights[key], value) for key, value in network.state_dict().items())


class Forked(nn.Module):
    """What the convolution makes is read by a batch norm, and once more."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        made = self.convolution(images)
        return (self.norm(made) + made).mean(dim=(2, 3))


def test_a_batch_norm_whose_input_is_read_elsewhere_too_is_left_alone() -> None:
    network = unlike(Forked())
    folded, number = fold_batch_norms(network, torch.randn(2, 3, 8, 8))
    assert folded is network and number == 0


def test_a_network_without_batch_norms_comes_back_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    assert fold_batch_norms(network, torch.randn(2, 3, 8, 8)) == (network, 0)
