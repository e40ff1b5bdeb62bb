"""What finds the weights: the interface of conf/fit, and what each of its options is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepdraw.data import Epochs
from deepdraw.models import Classifier
from deepdraw.runtime import Precision, Ranks
from deepdraw.training.checkpoint import Checkpoints
from deepdraw.training.recipe import Recipe
from deepdraw.training.state import State

Validate = Callable[[], dict[str, float]]  # the metrics of `State.eval_model` on the validation split: "val/top1", ...


@dataclass(frozen=True, eq=False)
class Training:
    """What a fitter is given: the state to change, the batches to learn and to validate from, where to save.

    directory: of the run, for tables that the fitter leaves there.
    """

    state: State
    train: Epochs
    val: Epochs
    recipe: Recipe
    precision: Precision
    validate: Validate
    checkpoints: Checkpoints
    directory: Path

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.recipe.total_steps(self.train)

    def save_last(self) -> None:
        """Write `last.pt`, from which the run goes on; all ranks have to call it."""
        self.checkpoints.save_last(self.state.state_dict())

    def save_best(self) -> None:
        """Write `best.pt`: the weights that were validated last, with their metrics."""
        self.checkpoints.save_best(self.state.eval_model.state_dict(), self.state.best)


class Fitter(Protocol):
    """An option of conf/fit. What it has reached lies in the state: `State.fitter`, beside what the loop uses."""

    def check(self, model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
        """Raise ValueError where the model cannot be fitted so, before there are features to fit it to."""
        ...

    def fit(self, training: Training) -> None:
        """Train to the end of the recipe, from wherever the state stands; `best.pt` is the result.

        Raises FloatingPointError, before anything is saved, where the loss is not finite.
        """
        ...
