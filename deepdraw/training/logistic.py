"""The optimum of a linear head on the features of a frozen backbone: logistic regression, found by L-BFGS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from deepdraw.data.loader import Epochs
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.precision import Precision
from deepdraw.runtime.progress import Bar
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from deepdraw.training.feature_store import Features
from deepdraw.training.features import FeatureLoader
from deepdraw.training.loop import Recipe, State
from deepdraw.training.trials import Evaluate, Row, features_of, linear_head, settle, write_table

CHUNK = 4096  # drawings whose logits are computed at a time
FORGET_EVERY = 32  # chunks
CONSTANT = 1e-6  # a feature of a smaller standard deviation tells nothing
FLAT = 1e-5  # an optimum is reached where no entry of the gradient is larger


class Standardised:
    """Features less their mean over their standard deviation, a chunk at a time; a constant one becomes 0.

    They are brought to the device once; on the CPU they stay on the disk, if that is where they are. Several views of a
    drawing count as so many drawings. Raises ValueError where a feature is not finite.
    """

    def __init__(self, kept: Features, device: torch.device) -> None:
        features = kept.features.flatten(0, -2)
        labels = kept.labels.repeat(len(features) // len(kept.labels))
        self.num_drawings, self.num_features = features.shape
        self._kept = kept
        self._chunks = [
            (part.to(device), of_part.to(device))
            for part, of_part in zip(features.split(CHUNK), labels.split(CHUNK), strict=True)
        ]
        self.mean = torch.stack([part.double().sum(dim=0) for part, _ in self._read()]).sum(dim=0) / self.num_drawings
        squares = [(part.double() - self.mean).square().sum(dim=0) for part, _ in self._read()]
        std = (torch.stack(squares).sum(dim=0) / self.num_drawings).sqrt()
        if not std.isfinite().all():
            raise ValueError("features hold NaN or infinity: check the encoder's weights or use precision=fp32")
        self.scale = torch.where(std > CONSTANT, 1 / std, 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Standardised features, float32 [B, D], and labels, int64 [B]."""
        mean, scale = self.mean.float(), self.scale.float()
        for part, labels in self._read():
            yield (part.float() - mean) * scale, labels

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, chunk in enumerate(self._chunks):
            if number % FORGET_EVERY == 0:
                self._kept.forget()
            yield chunk

    def fold(self, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
        """The state dict of the linear layer that does on features as they come what these do on standardised ones."""
        weight = weight * self.scale
        return {"weight": weight.float(), "bias": (bias - weight @ self.mean).float()}


@dataclass(frozen=True)
class Optimum:
    """weight: float64 [C, D] and bias [C], for standardised features; steps: of L-BFGS that led there."""

    weight: Tensor
    bias: Tensor
    steps: int


def origin(features: Standardised, num_classes: int) -> Optimum:
    """Zeros, where the first search starts."""
    weight = torch.zeros(num_classes, features.num_features, dtype=torch.float64, device=features.mean.device)
    return Optimum(weight, weight.new_zeros(num_classes), 0)


def regress(features: Standardised, start: Optimum, c: float, max_steps: int) -> Optimum:
    """Minimise the mean cross-entropy plus the squared weights, without the bias, over 2 C N.

    That is the loss of scikit-learn's LogisticRegression over C N. Weights and sums are float64, products float32. The
    search, given up after `max_steps`, remembers a hundred gradients: 0.6 GB for 275 classes of 1,280 features.
    """
    weight, bias = start.weight.clone(), start.bias.clone()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        tolerance_grad=FLAT,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    penalty = 1 / (c * features.num_drawings)

    with Bar(f"L-BFGS for C={c:g}, steps at most", max_steps, features.num_drawings) as bar:

        def penalised() -> float:
            loss, weight.grad, bias.grad = loss_and_gradient(features, weight, bias)
            weight.grad += penalty * weight
            bar.show({"train/loss": loss})
            bar.advance()
            return loss + penalty * weight.square().sum().item() / 2

        solver.step(penalised)
    return Optimum(weight, bias, solver.state[weight]["n_iter"])


@torch.no_grad()
def loss_and_gradient(features: Standardised, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean cross-entropy of weight float64 [C, D] and bias [C], and its gradient by each, float64."""
    of_weight, of_bias, loss = torch.zeros_like(weight), torch.zeros_like(bias), weight.new_zeros(())
    single = weight.float(), bias.float()
    for part, labels in features:
        log_probabilities = F.linear(part, *single).log_softmax(dim=1)
        loss -= log_probabilities.gather(1, labels[:, None]).double().sum()
        errors = log_probabilities.exp_()
        errors[torch.arange(len(labels), device=labels.device), labels] -= 1
        of_weight += errors.T @ part
        of_bias += errors.double().sum(dim=0)
    num_drawings = features.num_drawings
    return loss.item() / num_drawings, of_weight / num_drawings, of_bias / num_drawings


@dataclass(frozen=True)
class Regression:
    """What `head=logistic` puts in the place of `loop.fit`.

    cs: inverse strengths of the L2 penalty, as of `regress`; max_steps: for each. Raises ValueError where there is
    none, or one is not above 0.
    """

    cs: Sequence[float]
    max_steps: int

    def __post_init__(self) -> None:
        if not self.cs or min(self.cs) <= 0:
            raise ValueError(f"fit.cs={list(self.cs)} must be a list of numbers above 0, such as [1e-3,1e-2,1e-1]")
        if self.max_steps < 1:
            raise ValueError(f"fit.max_steps={self.max_steps} must be at least 1")

    def check(self, model: Classifier, recipe: Recipe) -> None:
        """Raise ValueError where the head cannot be fitted, before there are features to fit it to."""
        linear_head(model, recipe)

    def __call__(
        self,
        state: State,
        train: Epochs,
        val: Epochs,
        evaluate: Evaluate,
        recipe: Recipe,
        precision: Precision,
        checkpoints: Path,
        about: Mapping[str, Any],
    ) -> None:
        """Find the optimum for each strength and give the model's head the best on validation.

        The strongest comes first, each next search starts from the optimum before, and of equals the stronger wins. For
        the rest as `grid.Sweep`.
        """
        if state.best:  # a finished run, started again
            return
        head, file = linear_head(state.model, recipe), checkpoints / "heads.pt"
        features = Standardised(all_features(train, state, recipe, precision), precision.device)
        optimum = origin(features, len(train.classes))
        rows: list[Row] = []
        heads: list[dict[str, Tensor]] = []
        if file.exists():
            former = load_checkpoint(file)
            weight, bias = (former["model"][name].to(precision.device) for name in ("weight", "bias"))
            optimum, rows, heads = Optimum(weight, bias, 0), former["rows"], former["heads"]
        else:  # what a resumed run begins with, and is held against
            save_checkpoint(checkpoints / "last.pt", {**about, **state.state_dict()})
        for c in sorted(set(self.cs))[len(rows) :]:
            optimum = regress(features, optimum, c, self.max_steps)
            heads.append(features.fold(optimum.weight, optimum.bias))
            head.load_state_dict(heads[-1])
            metrics = evaluate("val", val)
            rows.append({"c": c, "steps": optimum.steps, **{name: metrics[name] for name in ("val/top1", "val/loss")}})
            reached = {"model": {"weight": optimum.weight, "bias": optimum.bias}, "rows": rows, "heads": heads}
            save_checkpoint(file, {**about, **reached})
        best = max(range(len(rows)), key=lambda k: rows[k]["val/top1"])
        state.epoch, state.step = recipe.epochs - 1, recipe.total_steps(train)
        write_table(rows, best, checkpoints.parent / "heads.csv")
        settle(state, heads[best], rows[best], val, evaluate, checkpoints, about)


def all_features(train: Epochs, state: State, recipe: Recipe, precision: Precision) -> Features:
    """Those that are kept, or else those of one epoch, computed into memory."""
    if isinstance(train, FeatureLoader):
        return train._features
    encoded = []
    with precision.autocast():
        for images, labels, key_ids in islice(train.epoch(), recipe.limit_steps):
            encoded.append((features_of(state.model.eval(), images).float(), labels, key_ids))
    features, labels, key_ids = (torch.cat(tensors) for tensors in zip(*encoded, strict=True))
    return Features(features, labels, key_ids)
