"""Folds the batch norms of a frozen network into the convolutions before them, which saves a third of the memory."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norms(network: Network, images: Tensor) -> tuple[Network, int]:
    """A copy of a network in eval mode with batch norms folded into the convolutions before them, and their number.

    A forward pass of `images` [B, ...] shows which convolution each batch norm follows. If another layer also reads the
    output of such a convolution, the copy gives other features; then the network itself is returned, and 0.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network, 0
    folded = deepcopy(network).eval()
    pairs = _pairs(folded, images)
    for path, norm, convolution in pairs:
        assert norm.running_mean is not None and norm.running_var is not None
        convolution.weight, convolution.bias = fuse_conv_bn_weights(  # type: ignore[assignment]
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        parent, _, name = path.rpartition(".")
        # timm's batch norms include a drop block and an activation.
        rest = [getattr(norm, part) for part in ("drop", "act") if isinstance(getattr(norm, part, None), nn.Module)]
        setattr(folded.get_submodule(parent), name, nn.Sequential(*rest))
    expected, got = network(images), folded(images)
    if not torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item()):
        return network, 0
    return folded, len(pairs)


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[str, nn.BatchNorm2d, nn.Conv2d]]:
    """Every batch norm that directly reads the output of a convolution: its path, itself and the convolution."""
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps the tensors alive, so that their ids stay unique
    pairs, hooks = [], []

    def remember_output(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        outputs[id(output)] = module, output

    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(remember_output))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:

            def remember_pair(norm: nn.Module, inputs: tuple[Tensor, ...], path: str = path) -> None:
                if id(inputs[0]) in outputs:
                    assert isinstance(norm, nn.BatchNorm2d)
                    pairs.append((path, norm, outputs[id(inputs[0])][0]))

            hooks.append(module.register_forward_pre_hook(remember_pair))
    network(images)
    for hook in hooks:
        hook.remove()
    return pairs
