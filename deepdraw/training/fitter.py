"""The interface of conf/fit: a Fitter finds the weights, and gets a Training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from deepdraw.data import Epochs
from deepdraw.models import Classifier
from deepdraw.runtime import Precision, Ranks
from deepdraw.training.checkpoint import Checkpoints
from deepdraw.training.recipe import Recipe
from deepdraw.training.state import State

Validate = Callable[[], dict[str, float]]  # the metrics of `State.eval_model` on the validation split: "val/top1", ...


@dataclass(frozen=True, eq=False)
class Training:
    """The input of a fitter: the state to change, the batches for training and validation, and where to save.

    directory: the run directory, for tables that the fitter writes; class_weights: float32 [C] on the device, how much
    each class weighs in the loss, or None where all weigh the same.
    """

    state: State
    train: Epochs
    val: Epochs
    recipe: Recipe
    precision: Precision
    validate: Validate
    checkpoints: Checkpoints
    directory: Path
    class_weights: Tensor | None = None

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.recipe.total_steps(self.train)

    def save_last(self) -> None:
        """Write `last.pt`, from which the run resumes. All ranks must call it."""
        self.checkpoints.save_last(self.state.state_dict())

    def save_best(self) -> None:
        """Write `best.pt`: the weights that were validated last, with their metrics."""
        self.checkpoints.save_best(self.state.eval_model.state_dict(), self.state.best)


class Fitter(Protocol):
    """An option of conf/fit. It keeps its progress in `State.fitter`, so that the run can be resumed."""

    def check(self, model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
        """Raise ValueError if this fitter cannot train the model. It is called before features are computed."""
        ...

    def fit(self, training: Training) -> None:
        """Train from where the state stands to the end of the recipe. The result is `best.pt`.

        Raises FloatingPointError, before anything is saved, if the loss is not finite.
        """
        ...
