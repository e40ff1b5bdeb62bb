"""Muon: momentum, made orthogonal (Jordan et al., 2024, github.com/KellerJordan/Muon)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic, whose singular values end between 0.7 and 1.2


class Muon(Optimizer):
    """Updates each weight [O, ...], as a matrix [O, -1], by its orthogonalized momentum; vectors as AdamW does.

    Updates are scaled to the size of AdamW's (arXiv 2502.16982), so AdamW's learning rates and weight decay also suit
    Muon. A small network from scratch needs about a third fewer drawings than with AdamW. timm's and torch's Muon
    compute in bfloat16, which is many times slower than float32 on CPUs without bfloat16 arithmetic.

    Args:
        lr: default learning rate of groups; momentum: share of the momentum that a step keeps, in [0, 1);
            weight_decay: each step shrinks the weights by `lr * weight_decay`; betas: those of AdamW, for vectors.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"optimizer.algorithm.momentum={momentum} must lie in [0, 1)")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "betas": tuple(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "deepdraw's loop has none"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update = self._matrix(parameter, group) if parameter.ndim > 1 else self._vector(parameter, group)
                    parameter.sub_(update, alpha=group["lr"])

    def _matrix(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(momentum, group["momentum"]).flatten(1)  # Nesterov's
        return orthogonalize(matrix).mul_(0.2 * max(matrix.shape) ** 0.5).view_as(parameter)

    def _vector(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        mean = state["mean"].lerp_(gradient, 1 - beta1) / (1 - beta1**step)
        square = state["square"].lerp_(gradient.square(), 1 - beta2) / (1 - beta2**step)
        return mean / (square.sqrt() + 1e-8)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T of `matrix` [O, I], by five Newton-Schulz steps.

    A step is X <- p(X X^T) X with a quadratic p. All these p commute with each other and with X X^T, so the steps are
    taken on square matrices of the shorter side, and X is multiplied once, by their product.
    """
    wide = matrix.float() if matrix.shape[0] <= matrix.shape[1] else matrix.float().T
    wide = wide / wide.norm().clamp(min=1e-7)
    gram = wide @ wide.T
    identity = torch.eye(len(gram), device=gram.device)
    a, b, c = NEWTON_SCHULZ
    product = step = torch.addmm(a * identity + b * gram, gram, gram, alpha=c)
    for _ in range(4):
        gram = step @ gram @ step
        step = torch.addmm(a * identity + b * gram, gram, gram, alpha=c)
        product = step @ product
    result = product @ wide
    return (result if matrix.shape[0] <= matrix.shape[1] else result.T).to(matrix.dtype)
