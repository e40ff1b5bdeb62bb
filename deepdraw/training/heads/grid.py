"""Grid search: trains linear heads for many learning rates, weight decays and poolings at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deepdraw.data import Epochs, Inputs
from deepdraw.models import Classifier
from deepdraw.runtime import Bar, Ranks, StopSignal
from deepdraw.training.fitter import Training
from deepdraw.training.heads.linear_heads import (
    Row,
    check_linear_head,
    features_of,
    finish_with_best,
    linear_head,
    write_table,
)
from deepdraw.training.objective import VAL_TOP1, Objective
from deepdraw.training.recipe import Recipe

Algorithm = Callable[[list[dict[str, Any]]], Optimizer]
Schedule = Callable[[Optimizer, int], LRScheduler]

OBJECTIVES = ("val/top1", "val/loss")  # what is measured of each head
TENSORS = ("weight", "bias", "best_weight", "best_bias")
HALVES = {"cls": (1, 0), "mean": (0, 1), "cls+mean": (1, 1)}  # of the features of backbone.pooling=cls+mean


class Grid:
    """K linear heads with equal initial weights, each trained independently as `Loop` would train it alone.

    All weights are in one tensor, so that one matrix product gives the logits of all heads. The loss is the sum of the
    heads' losses, so no head affects the gradient of another, even if one diverges.

    Args:
        head: the initial weights of every head, on the device of the features.
        lrs, weight_decays: smaller rates come first. Biases have no decay.
        poolings: keys of `HALVES`: which half of the features each head sees; None: all features. There are K heads,
            one for each pooling, rate and decay.
        algorithm: an optimizer of torch. It gets one parameter group for each weight and one for each bias.
        schedule: the schedule of the learning rates over `total_steps`, as in `optim.py`.
    """

    def __init__(
        self,
        head: nn.Linear,
        lrs: Sequence[float],
        weight_decays: Sequence[float],
        poolings: Sequence[str] | None,
        algorithm: Algorithm,
        schedule: Schedule,
        total_steps: int,
        objective: Objective = VAL_TOP1,
    ) -> None:
        kinds: Sequence[str | None] = [None] if poolings is None else poolings
        settings = list(product(kinds, sorted(set(lrs)), sorted(set(weight_decays))))
        halves = torch.tensor([HALVES[pooling or "cls+mean"] for pooling, _, _ in settings])
        in_second_half = torch.arange(head.in_features) >= head.in_features // 2
        # [K, 1, D]: 1 where a head sees a feature
        self._feature_mask = halves[:, None, in_second_half.long()].to(head.weight)
        self.weight = (head.weight.detach() * self._feature_mask).requires_grad_()  # [K, C, D]
        self.bias = head.bias.detach().repeat(len(settings), 1).requires_grad_()  # [K, C]
        self.best_weight, self.best_bias = self.weight.detach().clone(), self.bias.detach().clone()
        self.rows: list[Row] = [
            ({} if pooling is None else {"pooling": pooling})
            | {"lr": lr, "weight_decay": weight_decay}
            | {"val/epoch": 0, "val/top1": -math.inf, "val/loss": math.inf}
            for pooling, lr, weight_decay in settings
        ]
        # Views of each head's part of the tensors, so that the optimizer can treat the heads separately.
        self._parts = [*self.weight.detach().unbind(), *self.bias.detach().unbind()]
        decays = [weight_decay for _, _, weight_decay in settings] + [0.0] * len(settings)
        self.optimizer = algorithm(
            [
                {"params": [part], "lr": lr, "weight_decay": weight_decay}
                for part, (_, lr, _), weight_decay in zip(self._parts, settings * 2, decays, strict=True)
            ]
        )
        self.schedule = schedule(self.optimizer, total_steps)
        self._objective = objective
        self.epoch = self.step_in_epoch = self.num_steps = 0

    def logits(self, features: Tensor) -> Tensor:
        """Logits [B, K, C] of features [B, D], always computed in float32."""
        logits = F.linear(features.float(), self.weight.flatten(0, 1), self.bias.flatten())
        return logits.unflatten(1, self.bias.shape)

    def step(self, features: Tensor, labels: Tensor, label_smoothing: float, clip_grad: float | None) -> None:
        """Make one step of every head. The gradient of each head is clipped to the norm `clip_grad` separately."""
        losses = cross_entropies(self.logits(features), labels, label_smoothing).mean(dim=0)
        weight_gradient, bias_gradient = torch.autograd.grad(losses.sum(), (self.weight, self.bias))
        weight_gradient *= self._feature_mask
        if clip_grad is not None:
            norms = torch.hypot(torch.linalg.vector_norm(weight_gradient, dim=(1, 2)), bias_gradient.norm(dim=1))
            shares = (clip_grad / (norms + 1e-6)).clamp(max=1)  # the same formula as in clip_grad_norm_
            weight_gradient, bias_gradient = (
                weight_gradient.mul_(shares[:, None, None]),
                bias_gradient.mul_(shares[:, None]),
            )
        for part, gradient in zip(self._parts, [*weight_gradient.unbind(), *bias_gradient.unbind()], strict=True):
            part.grad = gradient
        self.optimizer.step()
        self.schedule.step()
        self.step_in_epoch, self.num_steps = self.step_in_epoch + 1, self.num_steps + 1

    @torch.no_grad()
    def validate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Evaluate all heads, and save the weights of each head whose objective is better than ever before.

        batches: features [B, D] and labels int64 [B] of the validation split.
        """
        hits, losses = torch.zeros(2, len(self.rows), dtype=torch.float64, device=self.bias.device)
        num_drawings = 0
        for features, labels in batches:
            logits = self.logits(features)
            hits += (logits.argmax(dim=2) == labels[:, None]).sum(dim=0)
            losses += cross_entropies(logits, labels).double().sum(dim=0)
            num_drawings += len(labels)
        for k, (top1, loss) in enumerate(zip(*(torch.stack([hits, losses]) / num_drawings).tolist(), strict=True)):
            metrics = {"val/top1": top1, "val/loss": loss}
            if math.isfinite(loss) and self._objective.improves(metrics, self.rows[k]):
                self.rows[k] |= {"val/epoch": self.epoch, **metrics}
                self.best_weight[k], self.best_bias[k] = self.weight[k], self.bias[k]

    @property
    def best(self) -> int:
        """The head with the best objective; among equals the first, which has the smallest learning rate."""
        return self._objective.best_first({k: row[self._objective.key] for k, row in enumerate(self.rows)})[0]

    def head(self, k: int) -> dict[str, Tensor]:
        """The best weights of head k, as the state dict of a linear layer."""
        return {"weight": self.best_weight[k], "bias": self.best_bias[k]}

    def state_dict(self) -> dict[str, Any]:
        """The state in tensors and plain values. The counts are enough to restore the order of batches."""
        return {
            "model": {name: getattr(self, name).detach() for name in TENSORS},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": {name: getattr(self, name) for name in ("epoch", "step_in_epoch", "num_steps")},
            "rows": self.rows,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state, to continue where the grid that wrote it stopped."""
        for name in TENSORS:
            getattr(self, name).detach().copy_(state["model"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.rows = state["rows"]


def train_grid(
    grid: Grid,
    train: Epochs,
    val: Epochs,
    recipe: Recipe,
    encode: Callable[[Inputs], Tensor],
    save: Callable[[], None] = lambda: None,
) -> None:
    """Train all heads to the end of the recipe on the features that `encode` computes, and validate after each epoch.

    `save` is called every `checkpoint_every` steps, after each epoch and on Ctrl-C. Raises FloatingPointError if no
    head has a finite loss.
    """
    total_steps = recipe.total_steps(train)
    while grid.num_steps < total_steps or grid.step_in_epoch:
        last = min(len(train), grid.step_in_epoch + total_steps - grid.num_steps)
        title = f"epoch {grid.epoch + 1}/{recipe.epochs}, {len(grid.rows)} heads"
        bar = Bar(title, last, train.batch_size, first=grid.step_in_epoch)
        batches = train.epoch(grid.epoch, first=grid.step_in_epoch)
        with bar, StopSignal() as stop:
            while grid.step_in_epoch < last:
                inputs, labels, _ = next(batches)
                grid.step(encode(inputs), labels, recipe.label_smoothing, recipe.clip_grad)
                bar.advance()
                if stop.requested or grid.num_steps % recipe.checkpoint_every == 0:
                    save()
                stop.raise_if_requested()
        grid.epoch, grid.step_in_epoch = grid.epoch + 1, 0
        grid.validate((encode(inputs), labels) for inputs, labels, _ in islice(val.epoch(), recipe.limit_steps))
        if max(row["val/epoch"] for row in grid.rows) == 0:
            raise FloatingPointError("no head has a finite loss: choose smaller learning rates")
        save()


@dataclass(frozen=True)
class GridSearch:
    """Many linear heads on the features of a frozen backbone (`head=grid`); the arguments are those of `Grid`.

    Raises ValueError if there is no learning rate or no weight decay, one of them is negative, or a pooling is not in
    `HALVES`.
    """

    lrs: Sequence[float]
    weight_decays: Sequence[float]
    poolings: Sequence[str] | None
    algorithm: Algorithm
    schedule: Schedule
    objectives = OBJECTIVES

    def __post_init__(self) -> None:
        for name in ("lrs", "weight_decays"):
            values = list(getattr(self, name))
            if not values or min(values) < 0:
                raise ValueError(f"fit.{name}={values} must be a list of numbers of at least 0, such as [1e-3,1e-2]")
        if self.poolings is not None and not (self.poolings and set(self.poolings) <= set(HALVES)):
            raise ValueError(f"fit.poolings={list(self.poolings)} must be a list of {', '.join(HALVES)}, or null")

    def check(self, model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
        """Raise ValueError if the heads cannot be trained. This is checked before features are computed."""
        check_linear_head(model, recipe, ranks)
        if self.poolings is not None and getattr(model.backbone, "pooling", None) != "cls+mean":
            raise ValueError("fit.poolings are halves of the features of backbone.pooling=cls+mean: set it too")

    def fit(self, training: Training) -> None:
        """Train a grid of heads, give the model the best one, and write `heads.csv`.

        Heads compute in float32 in every precision. Their progress is kept in `state.fitter`.
        """
        state, recipe = training.state, training.recipe
        if state.best:  # a finished run, started again
            return
        head = linear_head(state.model)
        settings = self.lrs, self.weight_decays, self.poolings
        grid = Grid(head, *settings, self.algorithm, self.schedule, training.total_steps, training.objective)
        if state.fitter:
            grid.load_state_dict(state.fitter)
            print(f"resumed at step {grid.num_steps} of {training.total_steps}")

        def encode(inputs: Inputs) -> Tensor:
            with training.precision.autocast():
                return features_of(state.model.eval(), inputs)

        def save() -> None:
            state.fitter = grid.state_dict()
            training.save_last()

        save()
        train_grid(grid, training.train, training.val, recipe, encode, save)
        state.epoch, state.step, state.fitter = grid.epoch - 1, grid.num_steps, {}
        write_table(grid.rows, grid.best, training.directory / "heads.csv")
        finish_with_best(training, grid.head(grid.best), grid.rows[grid.best])


def cross_entropies(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy [B, K] of logits [B, K, C] with labels int64 [B]."""
    targets = labels.repeat_interleave(logits.shape[1])
    losses = F.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=label_smoothing, reduction="none")
    return losses.unflatten(0, logits.shape[:2])
