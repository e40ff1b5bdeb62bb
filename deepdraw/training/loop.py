"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from deepdraw.data import Inputs
from deepdraw.models import Classifier
from deepdraw.models.freezing import thaw
from deepdraw.runtime import Bar, Forecast, Precision, Ranks, StopSignal, print_line
from deepdraw.training.epoch_lines import epoch_line
from deepdraw.training.finite import check_finite
from deepdraw.training.fitter import Training
from deepdraw.training.mixing import Mixing
from deepdraw.training.optim import learning_rates
from deepdraw.training.recipe import Recipe
from deepdraw.training.state import State


@dataclass(frozen=True)
class Loop:
    """The default fitter: trains all parameters that are not frozen, by gradient steps."""

    def check(self, model: Classifier, recipe: Recipe, ranks: Ranks) -> None:
        """The loop can train any model. Raises ValueError where drawings cannot be mixed as the recipe asks."""
        if (recipe.mixup or recipe.cutmix) and model.backbone.sees != ("pixels",):
            raise ValueError(
                f"train.mixup and train.cutmix mix images, and {model.backbone.name} sees strokes: "
                "set train.mixup=0 train.cutmix=0"
            )

    def fit(self, training: Training) -> None:
        """Train to the end of the recipe and validate after each epoch. The best metrics are in `state.best`.

        `last.pt`, from which a run resumes, is written every `checkpoint_every` steps, after each epoch and on Ctrl-C;
        `best.pt` when the objective is the best so far. Raises FloatingPointError, before anything is saved, if the
        loss is not finite.
        """
        state, recipe, train = training.state, training.recipe, training.train
        mixing = Mixing(recipe.mixup, recipe.cutmix)
        images_per_step = train.batch_size * recipe.grad_accum
        console = Console()  # one for all, so that a line never cuts through the bar
        forecast = Forecast(training.total_steps - state.step, images_per_step, console)
        training.remove_others()
        while not training.is_over:
            last = min(recipe.steps_per_epoch(train), state.step_in_epoch + training.total_steps - state.step)
            batches = forecast.watch(train.epoch(state.epoch, first=state.step_in_epoch * recipe.grad_accum))
            mixed = (mixing(batch.inputs, batch.labels, len(train.classes)) for batch in batches)
            title = f"epoch {state.epoch + 1}/{recipe.epochs}"
            bar = Bar(title, last, images_per_step, first=state.step_in_epoch, console=console)
            thaw(state.model, state.epoch)
            state.model.train()
            state.network = state.ranks.replicate(state.model)
            with bar, StopSignal() as stop:
                while state.step_in_epoch < last:
                    rates = learning_rates(state.optimizer)
                    train_step(state, mixed, recipe, training.precision, training.class_weights)
                    bar.advance()
                    forecast.advance()
                    if state.step % recipe.log_every == 0 or state.step_in_epoch == last:
                        row = {**recent_metrics(training), **rates}
                        state.speed = {"train/images_per_second": bar.images_per_second()}
                        state.log({**row, **state.speed})
                        bar.show(without_equal_rates(row))
                    stopping = state.ranks.any(stop.requested)
                    if stopping or state.step % recipe.checkpoint_every == 0 or state.step_in_epoch == last:
                        check_finite(training)
                        training.save_last()
                    if stopping:
                        stop.requested = True  # all ranks stop, although only one may have got the signal
                        stop.raise_if_requested()
            end_epoch(training, console, num_images=last * images_per_step)


def end_epoch(training: Training, console: Console, num_images: int) -> None:
    """Validate, save the weights if they are the best so far, and print a line. num_images: images of the epoch."""
    state, start = training.state, time.perf_counter()
    metrics = training.validate()
    times = {"train/epoch_time": num_images / state.speed["train/images_per_second"]}  # of all, if resumed within
    times["val/epoch_time"] = time.perf_counter() - start
    state.log({**metrics, **times})
    state.epoch, state.step_in_epoch = state.epoch + 1, 0
    shown = dict.fromkeys(["val/loss", "val/top1", training.objective.key])
    shown |= dict.fromkeys(key for key in metrics if key.startswith("probe/"))
    told = {"train/loss": state.epoch_loss(), **{key: metrics[key] for key in shown}}
    is_best = training.objective.improves(metrics, state.best)
    if is_best:
        state.best = {**metrics, "val/epoch": state.epoch}
        training.save_best()
    training.keep(metrics)
    training.save_last()
    training.remove_others()
    line = epoch_line(state.epoch, training.recipe.epochs, told, is_best=is_best, seconds=sum(times.values()))
    print_line(console, line)
    if training.is_over and state.step < training.total_steps:
        line = f"stopped early: {training.objective.key} was best {training.recipe.early_stopping} epochs before"
        print_line(console, line)


def without_equal_rates(row: Mapping[str, float]) -> dict[str, float]:
    """The row without the learning rate of the backbone where it is that of the head."""
    equal = row.get("optim/backbone_lr") == row.get("optim/lr")
    return {name: value for name, value in row.items() if not (equal and name == "optim/backbone_lr")}


def train_step(
    state: State,
    batches: Iterator[tuple[Inputs, Tensor]],
    recipe: Recipe,
    precision: Precision,
    class_weights: Tensor | None = None,
) -> None:
    """One optimizer step over `grad_accum` batches of inputs and labels, or class probabilities."""
    head = getattr(state.model, "head", state.model)  # a head alone is trained like any other model
    for number in range(1, recipe.grad_accum + 1):
        inputs, targets = next(batches)
        if state.ranks.size > 1:
            state.network.require_backward_grad_sync = number == recipe.grad_accum  # the same as no_sync()
        with precision.autocast():
            logits = state.network(inputs)
            logits, loss, shown = losses(logits, targets, recipe, class_weights, head)
        state.scaler.scale(loss / recipe.grad_accum).backward()
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        hits = (logits.argmax(dim=1) == labels).sum()
        state.losses.append(shown)
        number_of_drawings = hits.new_full((), len(logits))  # made on the GPU: a copy would wait for all steps before
        state.recent += torch.stack([shown * len(logits), hits, number_of_drawings])
    if recipe.clip_grad is not None:
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.model.parameters(), recipe.clip_grad)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()
    if state.averaged is not None:
        state.averaged.update_parameters(state.model)
    state.schedule.step()
    state.step += 1
    state.step_in_epoch += 1


def losses(
    logits: Tensor, targets: Tensor, recipe: Recipe, class_weights: Tensor | None, head: nn.Module
) -> tuple[Tensor, Tensor, Tensor]:
    """The logits that count [B, C], the loss to be minimized, and the loss that is shown, which has no gradient.

    logits: [B, C], or of a head that has several losses [B, L, C], those that count first. The loss is then the sum of
    the L losses, each times its weight in `head.loss_weights`; shown is the first, as for heads of one loss.
    """
    options: dict[str, Any] = {"weight": class_weights, "label_smoothing": recipe.label_smoothing}
    if logits.ndim == 2:
        loss = cross_entropy(logits, targets, **options)
        return logits, loss, loss.detach()
    each = torch.stack([cross_entropy(part, targets, **options) for part in logits.unbind(1)])
    loss = (each * each.new_tensor(head.loss_weights)).sum()
    return logits[:, 0], loss, torch.where(loss.isfinite(), each[0], loss).detach()


def balanced_weights(labels: NDArray[np.int64], num_classes: int) -> Tensor:
    """The weight of each class in the loss, float32 [C]: the mean number of drawings of a class over its own number.

    labels: of all drawings to train on [N]. A class without any has the weight 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / np.count_nonzero(counts) / np.maximum(counts, 1)
    return torch.from_numpy(np.where(counts, weights, 0)).float()


def recent_metrics(training: Training) -> dict[str, float]:
    """Mean loss and accuracy over the drawings of all ranks since the last row."""
    state, (loss, hits, drawings) = training.state, check_finite(training)
    state.recent.zero_()
    state.epoch_sums = [state.epoch_sums[0] + loss, state.epoch_sums[1] + drawings]
    return {"train/loss": loss / drawings, "train/top1": hits / drawings}
