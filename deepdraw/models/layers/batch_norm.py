"""Batch norms that take their statistics from the drawings of all ranks, on CPUs as on GPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def synchronize_batch_norms(network: nn.Module) -> None:
    """Let the batch norms of a network normalize, in training, by the mean and variance over all ranks.

    Several ranks then train as one would that had all of their drawings. Parameters, buffers and their names stay.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SynchronizedBatchNorm


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """What `synchronize_batch_norms` makes of torch's and timm's batch norms; torch's SyncBatchNorm knows GPUs alone.

    Every rank must have equally many values of a channel.
    """

    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps)
            self._remember(mean, variance, distributed.get_world_size() * x.numel() // x.shape[1])
        else:
            y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        for name in ("drop", "act"):  # timm's go on to a drop block and an activation
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
    """Normalize x [B, C, ...] over everything but C and all ranks; the mean and variance [C] come beside."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.stack(torch.var_mean(x.float(), _all_but_channels(x), correction=0))
        of_ranks = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(of_ranks, own)
        variances, means = torch.stack(of_ranks, dim=1)
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        shape = (-1, *[1] * (x.ndim - 2))  # of a tensor [C] beside x
        gradient = gradients[0].float()
        normalized = (x.float() - mean.view(shape)) * scale.view(shape)
        own = torch.stack([part.sum(_all_but_channels(x)) for part in (gradient, gradient * normalized)])
        sums = own.clone()
        distributed.all_reduce(sums)
        of_mean, of_scale = (sums / (distributed.get_world_size() * x.numel() // x.shape[1])).view(2, *shape)
        of_x = gradient - of_mean - normalized * of_scale
        of_x *= (scale if weight is None else scale * weight).view(shape)
        return of_x.to(x.dtype), None if weight is None else own[1], None if weight is None else own[0], None


def _all_but_channels(x: Tensor) -> list[int]:
    return [dim for dim in range(x.ndim) if dim != 1]
