"""Logistic regression on the features of a frozen backbone: the optimal linear head, found by L-BFGS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from deepdraw.features import FeatureLoader, Features
from deepdraw.models import Classifier
from deepdraw.runtime import Bar, Ranks
from deepdraw.training.fitter import Training
from deepdraw.training.heads.linear_heads import (
    Row,
    check_linear_head,
    features_of,
    finish_with_best,
    linear_head,
    write_table,
)
from deepdraw.training.recipe import Recipe

CHUNK = 4096  # drawings whose logits are computed at a time
RELEASE_EVERY = 32  # chunks
CONSTANT = 1e-6  # a feature with a smaller standard deviation counts as constant
GRADIENT_TOLERANCE = 1e-5  # the search ends when no entry of the gradient is larger


class Standardized:
    """Standardized features (mean 0, standard deviation 1), in chunks. A constant feature becomes 0.

    They are copied to the device once; on the CPU, cached features stay memory-mapped. Each view of a drawing counts as
    a drawing. Raises ValueError if a feature is not finite.
    """

    def __init__(self, stored: Features, device: torch.device) -> None:
        features = stored.features.flatten(0, -2)
        labels = stored.labels.repeat(len(features) // len(stored.labels))
        self.num_drawings, self.num_features = features.shape
        self._stored = stored
        self._chunks = [
            (part.to(device), part_labels.to(device))
            for part, part_labels in zip(features.split(CHUNK), labels.split(CHUNK), strict=True)
        ]
        self.mean = torch.stack([part.double().sum(dim=0) for part, _ in self._read()]).sum(dim=0) / self.num_drawings
        squares = [(part.double() - self.mean).square().sum(dim=0) for part, _ in self._read()]
        std = (torch.stack(squares).sum(dim=0) / self.num_drawings).sqrt()
        if not std.isfinite().all():
            raise ValueError("features hold NaN or infinity: check the encoder's weights or use precision=fp32")
        self.scale = torch.where(std > CONSTANT, 1 / std, 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Standardized features, float32 [B, D], and labels, int64 [B]."""
        mean, scale = self.mean.float(), self.scale.float()
        for part, labels in self._read():
            yield (part.float() - mean) * scale, labels

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, chunk in enumerate(self._chunks):
            if number % RELEASE_EVERY == 0:
                self._stored.release_pages()
            yield chunk

    def fold(self, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
        """The state dict of a linear layer on raw features that equals these weights on standardized features."""
        weight = weight * self.scale
        return {"weight": weight.float(), "bias": (bias - weight @ self.mean).float()}


@dataclass(frozen=True)
class Optimum:
    """weight: float64 [C, D] and bias [C], for standardized features; steps: the number of L-BFGS steps."""

    weight: Tensor
    bias: Tensor
    steps: int


def zero_start(features: Standardized, num_classes: int) -> Optimum:
    """Zeros, where the first search starts."""
    weight = torch.zeros(num_classes, features.num_features, dtype=torch.float64, device=features.mean.device)
    return Optimum(weight, weight.new_zeros(num_classes), 0)


def regress(features: Standardized, start: Optimum, c: float, max_steps: int) -> Optimum:
    """Minimize the mean cross-entropy plus the sum of squared weights (without bias) divided by 2 C N.

    This is the loss of scikit-learn's LogisticRegression divided by C N. Weights and sums are float64, products
    float32. The search ends after `max_steps` at the latest. It stores a hundred gradients: 0.6 GB for 275 classes and
    1,280 features.
    """
    weight, bias = start.weight.clone(), start.bias.clone()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    penalty = 1 / (c * features.num_drawings)

    with Bar(f"L-BFGS for C={c:g}, steps at most", max_steps, features.num_drawings) as bar:

        def penalized() -> float:
            loss, weight.grad, bias.grad = loss_and_gradient(features, weight, bias)
            weight.grad += penalty * weight
            bar.show({"train/loss": loss})
            bar.advance()
            return loss + penalty * weight.square().sum().item() / 2

        solver.step(penalized)
    return Optimum(weight, bias, solver.state[weight]["n_iter"])


@torch.no_grad()
def loss_and_gradient(features: Standardized, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean cross-entropy of weight float64 [C, D] and bias [C], and its gradient by each, float64."""
    weight_gradient, bias_gradient, loss = torch.zeros_like(weight), torch.zeros_like(bias), weight.new_zeros(())
    single = weight.float(), bias.float()
    for part, labels in features:
        log_probabilities = F.linear(part, *single).log_softmax(dim=1)
        loss -= log_probabilities.gather(1, labels[:, None]).double().sum()
        errors = log_probabilities.exp_()
        errors[torch.arange(len(labels), device=labels.device), labels] -= 1
        weight_gradient += errors.T @ part
        bias_gradient += errors.double().sum(dim=0)
    num_drawings = features.num_drawings
    return loss.item() / num_drawings, weight_gradient / num_drawings, bias_gradient / num_drawings


@dataclass(frozen=True)
class LogisticRegression:
    """The optimum of a linear head for each strength of an L2 penalty (`head=logistic`).

    cs: inverse strengths C of the L2 penalty, see `regress`; max_steps: limit for each. Raises ValueError if there is
    no C, or one is not above 0.
    """

    cs: Sequence[float]
    max_steps: int

    def __post_init__(self) -> None:
        if not self.cs or min(self.cs) <= 0:
            raise ValueError(f"fit.cs={list(self.cs)} must be a list of numbers above 0, such as [1e-3,1e-2,1e-1]")
        if self.max_steps < 1:
            raise ValueError(f"fit.max_steps={self.max_steps} must be at least 1")

    def check(self, model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
        """Raise ValueError if the head cannot be fitted. This is checked before features are computed."""
        check_linear_head(model, recipe, ranks)

    def fit(self, training: Training) -> None:
        """Find the optimum for each strength, and give the model the head that is best on validation.

        The strongest penalty comes first, and each search starts from the previous optimum. If two heads are equally
        good, the one with the stronger penalty is chosen.
        """
        state, recipe, device = training.state, training.recipe, training.precision.device
        if state.best:  # a finished run, started again
            return
        head = linear_head(state.model)
        features = Standardized(all_features(training), device)
        optimum = zero_start(features, len(training.train.classes))
        rows: list[Row] = state.fitter.get("rows", [])
        heads: list[dict[str, Tensor]] = state.fitter.get("heads", [])
        if state.fitter:
            optimum = Optimum(state.fitter["weight"].to(device), state.fitter["bias"].to(device), 0)
        else:
            training.save_last()  # a resumed run starts from it, and its config is compared with it
        compared = dict.fromkeys(["val/top1", "val/loss", training.objective.key])
        for c in sorted(set(self.cs))[len(rows) :]:
            optimum = regress(features, optimum, c, min(self.max_steps, recipe.limit_steps or self.max_steps))
            heads.append(features.fold(optimum.weight, optimum.bias))
            head.load_state_dict(heads[-1])
            metrics = training.validate()
            rows.append({"c": c, "steps": optimum.steps, **{name: metrics[name] for name in compared}})
            state.fitter = {"weight": optimum.weight, "bias": optimum.bias, "rows": rows, "heads": heads}
            training.save_last()
        best = training.objective.best_first({k: row[training.objective.key] for k, row in enumerate(rows)})[0]
        state.epoch, state.step, state.fitter = recipe.epochs - 1, training.total_steps, {}
        write_table(rows, best, training.directory / "heads.csv")
        finish_with_best(training, heads[best], rows[best])


def all_features(training: Training) -> Features:
    """The cached features of the training split, or else the features of one epoch, computed into memory."""
    train = training.train
    if isinstance(train, FeatureLoader):
        if train.sampler is not None:
            raise ValueError("head=logistic takes all drawings at once, in no order: set data.sampler=null")
        return train.features
    encoded = []
    with training.precision.autocast():
        for inputs, labels, key_ids in islice(train.epoch(), training.recipe.limit_steps):
            encoded.append((features_of(training.state.model.eval(), inputs).float(), labels, key_ids))
    features, labels, key_ids = (torch.cat(tensors) for tensors in zip(*encoded, strict=True))
    return Features(features, labels, key_ids)
