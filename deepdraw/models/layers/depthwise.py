"""Depthwise convolutions of feature maps smaller than their kernels, on CPUs."""

from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise nn.Conv2d that pads small maps itself.

    oneDNN has no fast gradient by the weights of a kernel larger than its map (5 x 5 on the 3 x 3 of an EfficientNet
    that sees 96 pixels); of a map that was padded before, it is four times as fast.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or min(input.shape[-2:]) >= max(self.kernel_size):
            return super().forward(input)
        padded = F.pad(input, self._reversed_padding_repeated_twice)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def pad_before_depthwise(network: nn.Module) -> None:
    """Make the depthwise convolutions of a network, in place, ones that pad small maps themselves."""
    for module in network.modules():
        if type(module) is nn.Conv2d and 1 < module.groups == module.in_channels and module.padding_mode == "zeros":
            module.__class__ = DepthwiseConv2d
