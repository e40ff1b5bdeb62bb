"""The state of a training run, which its checkpoint holds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from deepdraw.loggers import Logger
from deepdraw.models import Classifier
from deepdraw.runtime import ALONE, Ranks


@dataclass
class State:
    """Everything that changes during a run, and so everything that a resumed run needs to end with the same bits."""

    model: Classifier
    averaged: AveragedModel | None  # the running average of the weights (train.ema)
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    loggers: Mapping[str, Logger]
    recent: Tensor  # float32 [3] on the device: loss, hits and drawings of this rank since the last row of metrics
    ranks: Ranks = ALONE
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)  # validation metrics of the best epoch
    speed: dict[str, float] = field(default_factory=dict)  # train/images_per_second of the last epoch
    epoch_sums: list[float] = field(default_factory=lambda: [0.0, 0.0])  # loss and drawings of the epoch's rows
    kept: dict[int, float] = field(default_factory=dict)  # objective of the epochs that train.keep_checkpoints keeps
    losses: deque[Tensor] = field(default_factory=lambda: deque(maxlen=100_000))  # of each batch since the last check
    seconds: float = 0.0  # that the processes before this one trained, up to their last checkpoint
    started: float = field(default_factory=time.perf_counter)
    fitter: dict[str, Any] = field(default_factory=dict)  # the progress of a fitter other than the loop
    network: Any = field(init=False)  # the model, wrapped to average gradients if there are several ranks

    def __post_init__(self) -> None:
        self.network = self.model

    @property
    def eval_model(self) -> Classifier:
        """The model that is validated, tested and saved as the best: the averaged one if weights are averaged."""
        return self.model if self.averaged is None else cast(Classifier, self.averaged.module)

    @property
    def duration(self) -> float:
        """Seconds that the run has taken, in all processes that went on with it."""
        return self.seconds + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, Any]:
        """The state in tensors and plain values. All ranks must call it."""
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
            "epoch_sums": self.epoch_sums,
            "kept": self.kept,
            "seconds": self.duration,
            "fitter": self.fitter,
            "ranks": self.ranks.gather(own),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state, to continue where the run that wrote it stopped.

        Raises ValueError where that run trained other parameters, as an earlier version may have frozen others.
        """
        now, then = (
            [len(group["params"]) for group in optimizer["param_groups"]]
            for optimizer in (self.optimizer.state_dict(), state["optimizer"])
        )
        if now != then:
            raise ValueError(
                f"the run trained {sum(then)} tensors where this version of deepdraw trains {sum(now)}, and cannot be "
                "resumed: train again in another hydra.run.dir"
            )
        for name in ("model", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        for name, logger in self.loggers.items():
            if name in state["loggers"]:
                logger.load_state_dict(state["loggers"][name])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.best, self.speed, self.fitter = state["best"], state["speed"], state.get("fitter", {})
        self.kept, self.seconds = state.get("kept", {}), state.get("seconds", 0.0)
        self.epoch_sums = state.get("epoch_sums", self.epoch_sums)  # deepdraw before 0.2 had none
        self._load_own(state["ranks"])

    def _load_own(self, ranks: list[dict[str, Any]]) -> None:
        """Restore the state of each rank. If the number of ranks has changed, rank 0 takes the sum of `recent`."""
        if len(ranks) != self.ranks.size:
            print(f"the run had {len(ranks)} ranks: from here on dropout, mixup and cutmix draw other numbers")
            if self.ranks.is_first:
                self.recent.copy_(sum(own["recent"] for own in ranks))
            return
        own = ranks[self.ranks.number]
        self.recent.copy_(own["recent"])
        torch.set_rng_state(own["rng"]["cpu"])
        if self.recent.is_cuda and own["rng"]["cuda"] is not None:
            torch.cuda.set_rng_state(own["rng"]["cuda"])

    def epoch_loss(self) -> float:
        """The mean loss of the epoch that ends, over all ranks. The next one starts anew."""
        loss, drawings = self.epoch_sums
        self.epoch_sums = [0.0, 0.0]
        return loss / max(drawings, 1.0)

    def log(self, metrics: Mapping[str, float], epoch: int | None = None) -> None:
        """Pass one row of metrics to every logger. epoch: counts from 1; by default the current one."""
        for logger in self.loggers.values():
            logger.log(metrics, epoch=self.epoch + 1 if epoch is None else epoch, step=self.step)
