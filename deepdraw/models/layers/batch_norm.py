"""Batch norms whose statistics come from the drawings of all ranks, on CPUs as well as on GPUs."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def synchronize_batch_norms(network: nn.Module) -> None:
    """Make the batch norms of a network use the mean and variance over all ranks while training.

    Several ranks then train like one process with all their drawings. Parameters, buffers and their names do not
    change.
    """
    _hide_from_compiler()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SynchronizedBatchNorm


@cache
def _hide_from_compiler() -> None:
    """Keep torch.compile out of the layer: only where it is used, as this imports the compiler, for over a second."""
    SynchronizedBatchNorm.forward = torch.compiler.disable(SynchronizedBatchNorm.forward)  # type: ignore[method-assign]


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """The class that `synchronize_batch_norms` gives to batch norms. torch's SyncBatchNorm works only on GPUs.

    Every rank must have the same number of values in each channel.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps)
            self._remember(mean, variance, distributed.get_world_size() * x.numel() // x.shape[1])
        else:
            y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        for name in ("drop", "act"):  # timm's batch norms include a drop block and an activation
            if name in self._modules:
                y = self._modules[name](y)  # type: ignore[misc]
        return y

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (number / max(number - 1, 1)), share)


class _Normalize(Function):
    """Normalize x [B, C, ...] over all dimensions but C and over all ranks. Also returns mean and variance [C]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.stack(torch.var_mean(x.float(), _all_but_channels(x), correction=0))
        gathered = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, own)
        variances, means = torch.stack(gathered, dim=1)
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        shape = (-1, *[1] * (x.ndim - 2))  # makes a tensor [C] broadcast with x
        gradient = gradients[0].float()
        normalized = (x.float() - mean.view(shape)) * scale.view(shape)
        own = torch.stack([part.sum(_all_but_channels(x)) for part in (gradient, gradient * normalized)])
        sums = own.clone()
        distributed.all_reduce(sums)
        number = distributed.get_world_size() * x.numel() // x.shape[1]
        mean_gradient, scale_gradient = (sums / number).view(2, *shape)
        x_gradient = gradient - mean_gradient - normalized * scale_gradient
        x_gradient *= (scale if weight is None else scale * weight).view(shape)
        return x_gradient.to(x.dtype), None if weight is None else own[1], None if weight is None else own[0], None


def _all_but_channels(x: Tensor) -> list[int]:
    return [dim for dim in range(x.ndim) if dim != 1]
