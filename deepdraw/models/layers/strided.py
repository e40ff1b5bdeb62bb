"""Strided 1 x 1 convolutions of few channels, whose gradients write outside of their memory on CPUs."""

from torch import Tensor, nn
from torch.nn import functional as F

FEW = 16  # channels; torch 2.10 to 2.15 was seen to fail at 1 to 4, and a vector of the CPU holds up to 16 numbers


class StridedConv2d(nn.Conv2d):
    """A 1 x 1 nn.Conv2d that takes every n-th pixel before it multiplies, which is the same.

    In channels_last the backward pass of torch corrupts the heap where such a convolution has a stride and few input
    channels, as in the first layer of MobileOne, RepVGG and FastViT. The process then dies at a later allocation.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        down, across = self.stride
        return F.conv2d(input[..., ::down, ::across], self.weight, self.bias, groups=self.groups)


def slice_before_strided(network: nn.Module) -> None:
    """Replace the strided 1 x 1 convolutions of few input channels of a network, in place, by `StridedConv2d`."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _fails(module):
            module.__class__ = StridedConv2d


def _fails(conv: nn.Conv2d) -> bool:
    strided = conv.kernel_size == (1, 1) and max(conv.stride) > 1
    return strided and conv.in_channels < FEW and conv.padding in ((0, 0), "valid", "same") and conv.groups == 1
