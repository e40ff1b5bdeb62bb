"""The interface of conf/fit: a Fitter finds the weights, and gets a Training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from deepdraw.data import Epochs
from deepdraw.models import Classifier
from deepdraw.runtime import Precision, Ranks
from deepdraw.training.checkpoint import Checkpoints
from deepdraw.training.objective import VAL_TOP1, Objective
from deepdraw.training.recipe import Recipe
from deepdraw.training.state import State

Validate = Callable[[], dict[str, float]]  # the metrics of `State.eval_model` on the validation split: "val/top1", ...


@dataclass(frozen=True, eq=False)
class Training:
    """The input of a fitter: the state to change, the batches for training and validation, and where to save.

    directory: the run directory, for tables that the fitter writes; class_weights: float32 [C] on the device, how much
    each class weighs in the loss, or None where all weigh the same; objective: by which epochs are compared.
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
    objective: Objective = VAL_TOP1

    @property
    def is_over(self) -> bool:
        """Whether the recipe has ended: all steps are made, or no epoch of late was better (train.early_stopping)."""
        state, patience = self.state, self.recipe.early_stopping
        if state.step_in_epoch:
            return False
        stops = patience is not None and bool(state.best) and state.epoch - state.best["val/epoch"] >= patience
        return stops or state.step >= self.total_steps

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

    def keep(self, metrics: Mapping[str, float]) -> None:
        """Write the weights that were validated last to a file of their own, if the recipe asks for it.

        train.keep_checkpoints=K keeps the best K epochs, train.keep_every=N every Nth.
        """
        state, recipe, value = self.state, self.recipe, metrics[self.objective.key]
        if recipe.keep_checkpoints and math.isfinite(value):
            values = {**state.kept, state.epoch: value}
            state.kept = {
                epoch: values[epoch] for epoch in self.objective.best_first(values)[: recipe.keep_checkpoints]
            }
        if state.epoch in state.kept or (recipe.keep_every and state.epoch % recipe.keep_every == 0):
            self.checkpoints.save_epoch(state.epoch, state.eval_model.state_dict(), metrics)

    def remove_others(self) -> None:
        """Remove the weights of epochs that are no longer among the best. Call it once `last.pt` says which are."""
        recipe = self.recipe
        if recipe.keep_checkpoints or recipe.keep_every:
            every = recipe.keep_every
            self.checkpoints.remove_epochs(
                lambda epoch: epoch not in self.state.kept and not (every and epoch % every == 0)
            )


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
