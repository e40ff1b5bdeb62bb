"""The training loop: logits to weights, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from deepdraw.data.loader import Epochs
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import thaw
from deepdraw.runtime.distributed import gathered, on_any_rank, rank, replicated, summed, world_size
from deepdraw.runtime.loggers import Logger
from deepdraw.runtime.precision import Precision
from deepdraw.runtime.progress import Bar, Forecast
from deepdraw.runtime.signals import StopSignal
from deepdraw.training.checkpoint import save_checkpoint
from deepdraw.training.mixing import Mixing
from deepdraw.training.optim import learning_rates

Evaluate = Callable[[str, Epochs], dict[str, float]]  # the metrics of `State.judged` on a split, such as "val/top1"


@dataclass
class State:
    """All that a run changes as it goes, and so all that a resumed run needs to end with the same bits."""

    model: Classifier
    averaged: AveragedModel | None  # of the weights over past steps
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    loggers: Mapping[str, Logger]
    recent: Tensor  # float32 [3] on the device: loss, hits and drawings of this rank since the last row of metrics
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)  # validation metrics of the best epoch
    speed: dict[str, float] = field(default_factory=dict)  # train/images_per_second of the last epoch
    network: Any = field(init=False)  # the model, or what leaves it the mean gradient of all ranks

    def __post_init__(self) -> None:
        self.network = self.model

    @property
    def judged(self) -> nn.Module:
        """The model that is validated, tested and kept as the best: the average, where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values alone; all ranks have to call it."""
        cuda = torch.cuda.get_rng_state() if self.recent.is_cuda else None
        own = {"recent": self.recent.cpu(), "rng": {"cpu": torch.get_rng_state(), "cuda": cuda}}
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged and self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loggers": {name: logger.state_dict() for name, logger in self.loggers.items()},
            "progress": {"epoch": self.epoch, "step_in_epoch": self.step_in_epoch, "step": self.step},
            "best": self.best,
            "speed": self.speed,
            "ranks": gathered(own),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the run that wrote `state` stood."""
        for name in ("model", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        for name, logger in self.loggers.items():
            if name in state["loggers"]:
                logger.load_state_dict(state["loggers"][name])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.best, self.speed = state["best"], state["speed"]
        self._load_own(state["ranks"])

    def _load_own(self, ranks: list[dict[str, Any]]) -> None:
        """Take what each rank has for itself; where there are more or fewer than then, the first takes their sums."""
        if len(ranks) != world_size():
            print(f"the run had {len(ranks)} ranks: from here on dropout, mixup and cutmix draw other numbers")
            if rank() == 0:
                self.recent.copy_(sum(own["recent"] for own in ranks))
            return
        own = ranks[rank()]
        self.recent.copy_(own["recent"])
        torch.set_rng_state(own["rng"]["cpu"])
        if self.recent.is_cuda and own["rng"]["cuda"] is not None:
            torch.cuda.set_rng_state(own["rng"]["cuda"])

    def log(self, metrics: Mapping[str, float]) -> None:
        """Hand one row to every logger."""
        for logger in self.loggers.values():
            logger.log(metrics, epoch=self.epoch + 1, step=self.step)


@dataclass(frozen=True)
class Recipe:
    """The keys of `train` in the config; raises ValueError for one that cannot be meant."""

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

    def __post_init__(self) -> None:
        for name in ("epochs", "limit_steps", "grad_accum", "log_every", "checkpoint_every"):
            value = getattr(self, name)
            if not ((isinstance(value, int) and value >= 1) or (name == "limit_steps" and value is None)):
                raise ValueError(f"train.{name}={value} must be a whole number of at least 1")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"train.clip_grad={self.clip_grad} must be above 0, or null for no limit")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"train.label_smoothing={self.label_smoothing} must lie in [0, 1)")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"train.ema={self.ema} must lie between 0 and 1, such as 0.999, or be null for no average")
        Mixing(self.mixup, self.cutmix)  # which raises for what it cannot do

    def steps_per_epoch(self, loader: Epochs) -> int:
        """Optimizer steps of a whole epoch."""
        if len(loader) < self.grad_accum:
            raise ValueError(f"an epoch of {len(loader)} batches is too short for train.grad_accum={self.grad_accum}")
        return len(loader) // self.grad_accum

    def total_steps(self, loader: Epochs) -> int:
        """Optimizer steps of the whole run."""
        steps = self.epochs * self.steps_per_epoch(loader)
        return steps if self.limit_steps is None else min(steps, self.limit_steps)


def fit(
    state: State,
    train: Epochs,
    val: Epochs,
    evaluate: Evaluate,
    recipe: Recipe,
    precision: Precision,
    checkpoints: Path,
    about: Mapping[str, Any],
) -> None:
    """Train to the end of the recipe and evaluate `val` after each epoch; the best (`val/top1`, ...) is `state.best`.

    `last.pt`, from which a run resumes, is written every `checkpoint_every` steps, after each epoch and on Ctrl-C;
    `best.pt` where `val/top1` is the highest so far. Both hold `about` (config, classes, preprocessing) beside the
    weights. Raises FloatingPointError, before anything is saved, where the loss is not finite.
    """
    total_steps, mixing = recipe.total_steps(train), Mixing(recipe.mixup, recipe.cutmix)
    forecast = Forecast(total_steps - state.step, train.batch_size * recipe.grad_accum)
    while state.step < total_steps or state.step_in_epoch:
        last = min(recipe.steps_per_epoch(train), state.step_in_epoch + total_steps - state.step)
        drawn = forecast.watch(train.epoch(state.epoch, first=state.step_in_epoch * recipe.grad_accum))
        batches = (mixing(batch.images, batch.labels, len(train.classes)) for batch in drawn)
        title = f"epoch {state.epoch + 1}/{recipe.epochs}"
        bar = Bar(title, last, train.batch_size * recipe.grad_accum, first=state.step_in_epoch)
        thaw(state.model, state.epoch)
        state.model.train()
        state.network = replicated(state.model)
        with bar, StopSignal() as stop:
            while state.step_in_epoch < last:
                rates = learning_rates(state.optimizer)
                train_step(state, batches, recipe, precision)
                bar.advance()
                forecast.advance()
                if state.step % recipe.log_every == 0 or state.step_in_epoch == last:
                    row = {**recent_metrics(state), **rates}
                    state.speed = {"train/images_per_second": bar.images_per_second()}
                    state.log({**row, **state.speed})
                    bar.show(row)
                stopping = on_any_rank(stop.requested)
                if stopping or state.step % recipe.checkpoint_every == 0 or state.step_in_epoch == last:
                    recent_sums(state)
                    save_checkpoint(checkpoints / "last.pt", {**about, **state.state_dict()})
                if stopping:
                    stop.requested = True  # whichever rank was asked
                    stop.raise_if_requested()
        start = time.perf_counter()
        metrics = evaluate("val", val)
        num_images = last * train.batch_size * recipe.grad_accum
        times = {"train/epoch_time": num_images / state.speed["train/images_per_second"]}  # of all, if resumed within
        state.log({**metrics, **times, "val/epoch_time": time.perf_counter() - start})
        state.epoch, state.step_in_epoch = state.epoch + 1, 0
        if metrics["val/top1"] > state.best.get("val/top1", -math.inf):
            state.best = {**metrics, "val/epoch": state.epoch}
            best = {"model": state.judged.state_dict(), "best": state.best}
            save_checkpoint(checkpoints / "best.pt", {**about, **best})
        save_checkpoint(checkpoints / "last.pt", {**about, **state.state_dict()})


def train_step(state: State, batches: Iterator[tuple[Tensor, Tensor]], recipe: Recipe, precision: Precision) -> None:
    """One optimizer step over `grad_accum` batches of images and labels, or class probabilities."""
    for number in range(1, recipe.grad_accum + 1):
        images, targets = next(batches)
        state.network.require_backward_grad_sync = number == recipe.grad_accum  # as no_sync() has it, without a block
        with precision.autocast():
            logits = state.network(images)
            loss = cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        state.scaler.scale(loss / recipe.grad_accum).backward()
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        hits = (logits.argmax(dim=1) == labels).sum()
        state.recent += torch.stack([loss.detach() * len(logits), hits, hits.new_tensor(len(logits))])
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


def recent_metrics(state: State) -> dict[str, float]:
    """Mean loss and accuracy over the drawings of all ranks since the last row."""
    loss, hits, drawings = recent_sums(state)
    state.recent.zero_()
    return {"train/loss": loss / drawings, "train/top1": hits / drawings}


def recent_sums(state: State) -> list[float]:
    """`recent`, of all ranks; raises FloatingPointError where a loss was infinite or not a number."""
    (recent,) = summed([state.recent])
    if not recent.isfinite().all():
        raise FloatingPointError(
            f"the loss is not finite at step {state.step}: lower optimizer.lr or use precision=fp32; "
            "the checkpoints are from before"
        )
    return recent.tolist()
