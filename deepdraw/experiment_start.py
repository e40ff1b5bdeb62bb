"""What a training makes and tries before its first step, each part from its config or from the last checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from deepdraw.config import add_later_options, check_training, make
from deepdraw.drawings import PointSampler, Rasterizer
from deepdraw.evaluation import Probes
from deepdraw.features import FeatureOptions
from deepdraw.models import Classifier, ModelPlan
from deepdraw.models.backbones import look_up_name
from deepdraw.models.freezing import freeze, print_layers, will_train
from deepdraw.models.layers import synchronize_batch_norms
from deepdraw.own_evaluations import check_splits
from deepdraw.runtime import Precision, Ranks, choose_threads, find_device, open_run, shown, write_config
from deepdraw.training import Checkpoints, Recipe, State, average, balanced_weights
from deepdraw.training_data import SPLITS, TrainingData
from deepdraw.training_warnings import disk_warnings, find_warnings

Saved = Mapping[str, Any] | None  # the last checkpoint of a run that goes on


def check_config(config: DictConfig) -> None:
    """Raise ValueError, in one line, for a config of impossible types or values, or a network that nobody knows."""
    groups = {"train": Recipe, "render": Rasterizer, "input": PointSampler, "features": FeatureOptions}
    check_training(config, groups)
    look_up_name(config.backbone)
    if config.train.class_weights and config.data.get("sampler"):
        raise ValueError("train.class_weights=balanced and data.sampler=balanced weigh classes twice: choose one")


def load_saved(checkpoints: Checkpoints) -> dict[str, Any] | None:
    """The last checkpoint, with a config of today's keys; None for a run that begins."""
    saved = checkpoints.load_last()
    if saved is not None:
        add_later_options(saved["config"])
    return saved


def open_directory(directory: Path, config: DictConfig, saved: Saved, ranks: Ranks) -> dict[str, Any]:
    """The config in plain values, written down by a run that begins.

    Raises ValueError where the directory holds a run of another config.
    """
    return open_run(
        directory,
        config,
        saved and saved["config"],
        write=saved is None and ranks.is_first,
        data_may_move={*SPLITS} <= (saved or {}).get("fingerprints", {}).keys(),
    )


def open_device(config: DictConfig, directory: Path) -> torch.device:
    """The device to train on. It is printed, with the run directory and the threads that are chosen here."""
    device = find_device(config.device)
    print(f"run directory: {shown(directory)}")
    print(f"device: {device}, {choose_threads()}")
    return device


def open_data(
    config: DictConfig, plan: ModelPlan, device: torch.device, directory: Path, saved: Saved, ranks: Ranks
) -> TrainingData:
    """The drawings, shown by a run that begins; one that goes on refuses others than it began with."""
    data = TrainingData.of(config, plan.backbone.sees, device, ranks)
    check_splits(config.get("evaluate", []), data.source, data.classes)
    data.try_reading()
    if saved is not None:
        data.check_unchanged(saved.get("fingerprints", {}), directory)
        if ranks.is_first:
            write_config(directory, config)
    elif ranks.is_first:
        data.show(directory / "plots/data.png")
    return data


def build_model(
    plan: ModelPlan, frozen: Any, classes: list[str], device: torch.device, *, is_new: bool, seed: int, ranks: Ranks
) -> Classifier:
    """The classifier, with its pretrained weights if it is new and with its frozen layers, which are printed."""
    model = plan.build(len(classes)).to(device)
    if is_new:
        model.load_pretrained(classes)
    freeze(model, frozen)
    print_layers(model)
    if ranks.size > 1:
        synchronize_batch_norms(model)
        # The weights are equal so far; from here on each rank draws its own dropout and mixup.
        torch.manual_seed(seed + ranks.number)
    return model


def open_state(
    config: DictConfig,
    plain: dict[str, Any],
    directory: Path,
    recipe: Recipe,
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    precision: Precision,
    saved: Saved,
    ranks: Ranks,
) -> State:
    """The state of a new run, or of the one that wrote `saved`. plain: the config that loggers are given."""
    loggers = config.get("logger", {}) if ranks.is_first else {}
    state = State(
        model=model,
        averaged=average(model, recipe.ema) if recipe.ema else None,
        optimizer=optimizer,
        schedule=make(config.schedule, "schedule", optimizer, total_steps),
        scaler=precision.scaler(),
        loggers={key: make(logger, f"logger.{key}")(directory, plain) for key, logger in loggers.items()},
        recent=torch.zeros(3, device=precision.device),
        ranks=ranks,
    )
    if recipe.compile:
        model.compile()
    if saved is not None:
        state.load_state_dict(saved)
        print(f"resumed at step {state.step} of {total_steps}")
    return state


def is_pretrained(config: Mapping[str, Any], model: Classifier) -> bool:
    """Whether the backbone begins with weights that were trained before."""
    return bool(config["backbone"].get("pretrained") or model.backbone.pretrained)


def find_probes(recipe: Recipe, model: Classifier, data: TrainingData) -> Probes | None:
    """What is encoded after each epoch to watch features; None without train.probes or for a frozen backbone."""
    if recipe.probes is None:
        return None
    if not will_train(model) & set(model.backbone.parameters()):
        print("train.probes is left out: the backbone is frozen, and its features stay as they are")
        return None
    return data.probes(recipe.probes)


def class_weights(recipe: Recipe, data: TrainingData, device: torch.device) -> torch.Tensor | None:
    """The weight of each class in the loss; None where all weigh the same."""
    if recipe.class_weights is None:
        return None
    return balanced_weights(data.splits["train"].labels, len(data.classes)).to(device)


def checkpoint_metadata(config: dict[str, Any], model: Classifier, data: TrainingData) -> dict[str, Any]:
    """The content of a checkpoint beside weights and state."""
    backbone = model.backbone
    strokes = {"points": config["input"]["points"]} if "strokes" in backbone.sees else {}
    preprocessing = {**config["render"], **strokes}
    preprocessing |= {"mean": list(backbone.mean), "std": list(backbone.std)}
    return {
        "config": config,
        "classes": data.classes,
        "preprocessing": preprocessing,
        "frozen": not will_train(model) & set(backbone.parameters()),
        "fingerprints": data.fingerprints,
    }


def warnings_of(
    directory: Path, model: Classifier, recipe: Recipe, data: TrainingData, state: State, *, pretrained: bool
) -> Iterator[str]:
    """A line for each setting that is rarely meant, and for a disk that is too small."""
    typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    yield from find_warnings(model, state.optimizer, data, typed, pretrained=pretrained)
    yield from disk_warnings(directory, model, recipe)
