"""One training, step by step: opened from a config, fitted, tested, reported.

    with open_experiment(config, directory) as experiment:
        experiment.fit()
        experiment.test()
        experiment.report()
    experiment.evaluate()

The same config in the same directory resumes where the run stopped and ends with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from deepdraw.config import add_later_options, check_training, expand_homes, make
from deepdraw.data import in_brackets
from deepdraw.drawings import PointSampler, Rasterizer
from deepdraw.evaluation import (
    TRIAL,
    Predictions,
    Probes,
    choose_objective,
    compute_metrics,
    make_metrics,
    read_descriptions,
    sample,
    score,
    write_descriptions,
)
from deepdraw.features import Encoder, FeatureLoader, FeatureOptions
from deepdraw.models import ModelPlan
from deepdraw.models.backbones import look_up_name
from deepdraw.models.freezing import freeze, print_layers, will_train
from deepdraw.models.layers import synchronize_batch_norms
from deepdraw.own_evaluations import check_splits, evaluate_run, own_evaluations
from deepdraw.report import print_table, try_report, write_training
from deepdraw.runtime import (
    Precision,
    Ranks,
    check_no_others_files,
    choose_threads,
    describe_run,
    find_device,
    keep_freed_memory,
    open_run,
    removed_unless_used,
    shown,
    sole_writer,
    write_config,
)
from deepdraw.training import (
    Checkpoints,
    Fitter,
    Recipe,
    State,
    Training,
    average,
    balanced_weights,
    encodes_once,
    learning_rates,
    show_metric,
)
from deepdraw.training_data import SPLITS, TrainingData
from deepdraw.training_warnings import disk_warnings, find_warnings


@contextmanager
def open_experiment(config: DictConfig, directory: Path) -> Iterator[Experiment]:
    """The experiment of a composed config. While it is open, no other process may train in its directory.

    Raises ValueError, in one line, for an impossible config, and if the directory holds a run of another config or one
    that another process is training.
    """
    keep_freed_memory()
    expand_homes(config)
    ranks = Ranks.join()
    directory = ranks.broadcast_from_rank0(lambda: directory)
    with ExitStack() as while_open:
        if ranks.is_first:  # the only one that writes and removes files there
            check_no_others_files(directory)
            while_open.enter_context(removed_unless_used(directory))
            while_open.enter_context(sole_writer(directory))
        try:
            experiment = Experiment(config, directory, ranks)
        except ValueError:  # of bad input, which all ranks find alike
            ranks.leave()
            raise
        yield experiment
    ranks.leave()


class Experiment:
    """A training in its run directory: its parts and its progress. See `open_experiment`.

    config: resolved to plain values; recipe, fitter: how it trains; data: what it trains on; state: its progress.
    """

    def __init__(self, config: DictConfig, directory: Path, ranks: Ranks) -> None:
        groups = {"train": Recipe, "render": Rasterizer, "input": PointSampler, "features": FeatureOptions}
        check_training(config, groups)
        look_up_name(config.backbone)
        self.directory, self.ranks = directory, ranks
        checkpoints = Checkpoints(directory / "checkpoints", ranks=ranks)
        saved = checkpoints.load_last()
        if saved is not None:
            add_later_options(saved["config"])
        fingerprints = (saved or {}).get("fingerprints", {})
        self.config = open_run(
            directory,
            config,
            saved and saved["config"],
            write=saved is None and ranks.is_first,
            data_may_move={*SPLITS} <= fingerprints.keys(),
        )
        self.recipe, self._caching = Recipe(**config.train), FeatureOptions(**config.features)
        if self.recipe.class_weights and config.data.get("sampler"):
            raise ValueError("train.class_weights=balanced and data.sampler=balanced weigh classes twice: choose one")
        self.fitter: Fitter = make(config.fit, "fit", _convert_="all")
        self.device = find_device(config.device)
        print(f"run directory: {shown(directory)}")
        print(f"device: {self.device}, {choose_threads()}")
        self.precision: Precision = make(config.precision, "precision", device=self.device)
        torch.manual_seed(config.seed)

        plan = ModelPlan.of(config, activation_checkpointing=self.recipe.activation_checkpointing)
        frozen = make(config.freeze, "freeze", plan.backbone.layer_groups())
        self.data = TrainingData.of(config, plan.backbone.sees, self.device, ranks)
        check_splits(config.get("evaluate", []), self.data.source, self.data.classes)
        if saved is not None:
            self.data.check_unchanged(fingerprints, directory)
            if ranks.is_first:
                write_config(directory, config)
        elif ranks.is_first:
            self.data.show(directory / "plots/data.png")
        self.model = plan.build(len(self.data.classes)).to(self.device)
        if saved is None:
            self.model.load_pretrained(self.data.classes)
        freeze(self.model, frozen)
        print_layers(self.model)
        if ranks.size > 1:
            synchronize_batch_norms(self.model)
            # The weights are equal so far; from here on each rank draws its own dropout and mixup.
            torch.manual_seed(config.seed + ranks.number)
        self.fitter.check(self.model, self.recipe, ranks)
        self.own_metrics = make_metrics(config)
        measured = getattr(self.fitter, "objectives", None)
        self.compared_by = choose_objective(config.get("objective", "val/top1"), self.own_metrics, measured)
        self.state = self._start(config, saved)
        self._drawn_test = self.data.loaders["test"]
        if encodes_once(self.model, self.recipe, self.data.augment, self._caching):
            self.data.encode_once(self._encoder(), self._caching)
        self.checkpoints = Checkpoints(checkpoints.folder, self._metadata(), ranks)
        self._try_the_end()
        self.metrics: dict[str, float] = {}
        self._probes = self._find_probes()
        if saved is None:
            typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
            found = find_warnings(self.model, self.state.optimizer, self.data, typed, pretrained=self._pretrained)
            for line in (*found, *disk_warnings(directory, self.model, self.recipe)):
                print(f"warning: {line}")

    def fit(self) -> None:
        """Train from where the run stands to the end of the recipe. The result is `best.pt`."""
        if self.ranks.is_first:
            write_descriptions(self.directory, self.own_metrics)  # which W&B reads, too
        if self._probes is not None and self.state.step == 0:
            self.state.log(found := self._probe(), epoch=0)
            print("  ".join(["before training", *(show_metric(key, value) for key, value in found.items())]))
        self.fitter.fit(
            Training(
                state=self.state,
                train=self.data.loaders["train"],
                val=self.data.loaders["val"],
                recipe=self.recipe,
                precision=self.precision,
                validate=lambda: self._evaluate("val")[0] | self._probe(),
                checkpoints=self.checkpoints,
                directory=self.directory,
                class_weights=self._class_weights(),
                objective=self.compared_by,
            )
        )

    def test(self) -> dict[str, float]:
        """The metrics of the best weights on the test split. It is read only here, after training."""
        self.state.eval_model.load_state_dict(self.checkpoints.load_best())
        start = time.perf_counter()
        metrics, self._predictions = self._evaluate("test")
        tested = f"test{TRIAL}" if self.is_trial else "test"
        self.metrics = {name.replace("test", tested, 1): value for name, value in metrics.items()}
        self.metrics[f"{tested}/drawings"] = len(self._predictions)
        times = {"test/epoch_time": time.perf_counter() - start}
        self.state.log(self.metrics | times, epoch=int(self.state.best["val/epoch"]))
        return self.metrics

    @property
    def is_trial(self) -> bool:
        """Whether train.limit_steps lets only a part of the test drawings be scored. Results have other names then."""
        return len(self._predictions) < self.data.loaders["test"].num_drawings

    def report(self) -> None:
        """Print the test metrics and write the summary, the predictions, the pictures and the page, on rank 0 only."""
        if not self.ranks.is_first:
            return
        state, recipe = self.state, self.recipe
        recognition = self.data.recognition
        progress = {"ranks": self.ranks.size, "steps": state.step, "duration": round(state.duration, 1)}
        told = self.data.description | {"learning_rates": self._rates} | progress | state.speed | state.best
        told |= {"date": datetime.now().astimezone().isoformat(timespec="seconds")}
        summary = self._described | told | self.metrics
        title = f"test, by the weights of epoch {state.best['val/epoch']}, the best on validation"
        if self.is_trial:
            summary["trial"] = f"{len(self._predictions):,} of {self._drawn_test.num_drawings:,} test drawings"
            title = f"a trial on {summary['trial']}, by train.limit_steps: no result to report"
        drawings = partial(
            sample,
            state.eval_model,
            self._drawn_test,
            self.precision,
            self.data.rasterizer,
            num_batches=min(recipe.limit_steps or 8, 8),
        )
        print_table(f"{title} {in_brackets(recognition)}", self.metrics, described=read_descriptions(self.directory))
        rows = self.directory / "metrics.csv" if "csv" in state.loggers else None
        predictions = self._predictions.with_complexity(self.data.splits["test"].complexity())
        pictures = write_training(self.directory, summary, predictions, drawings, rows)
        for logger in state.loggers.values():
            logger.log_pictures(pictures, step=state.step)
            logger.finish(summary)

    def evaluate(self) -> None:
        """Evaluate the best weights on the splits of `evaluate`, as evaluate.py does: on rank 0, after `report`."""
        if self.ranks.is_first:
            evaluate_run(self.directory, self._evaluations)

    @property
    def objective(self) -> float:
        """What a sweep compares: the objective of the best epoch."""
        return self.state.best[self.compared_by.key]

    def _start(self, config: DictConfig, saved: Mapping[str, Any] | None) -> State:
        """The state of a new run, or of the one that wrote `saved`."""
        recipe, train = self.recipe, self.data.loaders["train"]
        optimizer = make(config.optimizer, "optimizer", self.model, _convert_="all", pretrained=self._pretrained)
        self._rates = {key.rpartition("/")[2]: rate for key, rate in learning_rates(optimizer).items()}  # before warmup
        loggers = config.get("logger", {}) if self.ranks.is_first else {}
        state = State(
            model=self.model,
            averaged=average(self.model, recipe.ema) if recipe.ema else None,
            optimizer=optimizer,
            schedule=make(config.schedule, "schedule", optimizer, recipe.total_steps(train)),
            scaler=self.precision.scaler(),
            loggers={k: make(logger, f"logger.{k}")(self.directory, self.config) for k, logger in loggers.items()},
            recent=torch.zeros(3, device=self.device),
            ranks=self.ranks,
        )
        if recipe.compile:
            self.model.compile()
        if saved is not None:
            state.load_state_dict(saved)
            print(f"resumed at step {state.step} of {recipe.total_steps(train)}")
        return state

    @property
    def _pretrained(self) -> bool:
        """Whether the backbone begins with weights that were trained before."""
        return bool(self.config["backbone"].get("pretrained") or self.model.backbone.pretrained)

    def _try_the_end(self) -> None:
        """Prepare and try, before any step, what report() and evaluate() need on rank 0."""
        if self.ranks.is_first:
            try_report(self.directory)
            self._described = describe_run(self.config, self.model)
            self._evaluations = own_evaluations(self.directory, self.config, device=str(self.device))

    def _find_probes(self) -> Probes | None:
        """What is encoded after each epoch to watch features; None without train.probes or for a frozen backbone."""
        if self.recipe.probes is None:
            return None
        if not will_train(self.model) & set(self.model.backbone.parameters()):
            print("train.probes is left out: the backbone is frozen, and its features stay as they are")
            return None
        return self.data.probes(self.recipe.probes)

    def _probe(self) -> dict[str, float]:
        """The metrics of the probes, on rank 0; nothing where there are none."""
        if self._probes is None or not self.ranks.is_first:
            return {}
        return self._probes(self.state.eval_model.eval().features, self.precision)

    def _class_weights(self) -> torch.Tensor | None:
        """The weight of each class in the loss; None where all weigh the same."""
        if self.recipe.class_weights is None:
            return None
        return balanced_weights(self.data.splits["train"].labels, len(self.data.classes)).to(self.device)

    def _evaluate(self, split: str) -> tuple[dict[str, float], Predictions]:
        metrics, predictions = score(
            self.state.eval_model.eval(),
            self.data.loaders[split],
            self.precision,
            title=split,
            limit_batches=self.recipe.limit_steps,
            ranks=self.ranks,
        )
        if isinstance(self.data.loaders[split], FeatureLoader):
            del metrics["images_per_second"]  # it would be the speed of reading the cache
        if self.own_metrics:
            complexity = self.data.splits[split].complexity()
            metrics |= compute_metrics(self.own_metrics, predictions.with_complexity(complexity))
        return {f"{split}/{name}": value for name, value in metrics.items()}, predictions

    def _encoder(self) -> Encoder:
        data = self.data
        return Encoder(
            self.model, self.config["backbone"], data.rasterizer, self.precision, data.num_workers, data.points
        )

    def _metadata(self) -> dict[str, Any]:
        """The content of a checkpoint beside weights and state."""
        backbone = self.model.backbone
        strokes = {"points": self.config["input"]["points"]} if "strokes" in backbone.sees else {}
        preprocessing = {**self.config["render"], **strokes}
        preprocessing |= {"mean": list(backbone.mean), "std": list(backbone.std)}
        frozen = not will_train(self.model) & set(backbone.parameters())
        return {
            "config": self.config,
            "classes": self.data.classes,
            "preprocessing": preprocessing,
            "frozen": frozen,
            "fingerprints": self.data.fingerprints,
        }
