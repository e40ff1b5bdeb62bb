"""The recipe of a training: the keys of `train` in the config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # a command checks its recipe before it imports torch
    from deepdraw.data import Epochs
    from deepdraw.drawings import Augmentation
    from deepdraw.features import FeatureOptions
    from deepdraw.models import Classifier


@dataclass(frozen=True)
class Recipe:
    """The keys of `train` in the config. Raises ValueError for impossible values."""

    epochs: int
    limit_steps: int | None
    grad_accum: int
    clip_grad: float | None
    label_smoothing: float
    mixup: float
    cutmix: float
    ema: float | None
    compile: bool
    activation_checkpointing: bool
    log_every: int
    checkpoint_every: int
    class_weights: Literal["balanced"] | None = None
    early_stopping: int | None = None
    keep_checkpoints: int | None = None
    keep_every: int | None = None
    probes: int | None = None

    def __post_init__(self) -> None:
        may_be_none = ("limit_steps", "early_stopping", "keep_checkpoints", "keep_every", "probes")
        for name in ("epochs", "grad_accum", "log_every", "checkpoint_every", *may_be_none):
            value = getattr(self, name)
            if not ((isinstance(value, int) and value >= 1) or (name in may_be_none and value is None)):
                raise ValueError(f"train.{name}={value} must be a whole number of at least 1")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"train.clip_grad={self.clip_grad} must be above 0, or null for no limit")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"train.label_smoothing={self.label_smoothing} must lie in [0, 1)")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"train.ema={self.ema} must lie between 0 and 1, such as 0.999, or be null for no average")
        if self.class_weights not in (None, "balanced"):
            raise ValueError(f"train.class_weights={self.class_weights} must be balanced or null")
        for name in ("mixup", "cutmix"):
            check_alpha(name, getattr(self, name))

    def steps_per_epoch(self, loader: Epochs) -> int:
        """Optimizer steps of a whole epoch."""
        if len(loader) < self.grad_accum:
            raise ValueError(f"an epoch of {len(loader)} batches is too short for train.grad_accum={self.grad_accum}")
        return len(loader) // self.grad_accum

    def total_steps(self, loader: Epochs) -> int:
        """Optimizer steps of the whole run."""
        steps = self.epochs * self.steps_per_epoch(loader)
        return steps if self.limit_steps is None else min(steps, self.limit_steps)


def check_alpha(name: str, value: Any) -> None:
    """Raise ValueError unless the alpha of mixup or cutmix is a number of at least 0."""
    if not (isinstance(value, int | float) and 0 <= value < math.inf):
        raise ValueError(f"train.{name}={value} must be a number of at least 0; 0 is off")


def encodes_once(model: Classifier, recipe: Recipe, augment: Augmentation | None, options: FeatureOptions) -> bool:
    """Whether features can be computed once: the backbone is frozen and drawings have at most a few fixed views.

    If the backbone is frozen, a line is printed that says so, or why features cannot be cached.
    """
    from deepdraw.models.freezing import will_train  # imports torch, which a command's check of its recipe does not

    if will_train(model) & set(model.backbone.parameters()):
        return False
    obstacle = None
    if options.dir is None:
        obstacle = "features.dir=null"
    elif recipe.limit_steps is not None:
        obstacle = "train.limit_steps tries out less than an epoch"
    elif recipe.mixup or recipe.cutmix:
        obstacle = "train.mixup and train.cutmix mix images"
    elif augment is not None and options.views is None:
        obstacle = "augment changes them each time; features.views=K would keep K views"
    if obstacle is None:
        print(f"the backbone is frozen: it encodes the drawings once, and training goes on from {options.dir}/")
    else:
        print(f"the backbone is frozen but encodes the drawings in every epoch: {obstacle}")
    return obstacle is None
