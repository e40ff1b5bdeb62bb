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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig

from deepdraw.config import expand_homes, make
from deepdraw.evaluation import (
    TRIAL,
    Predictions,
    choose_objective,
    compute_metrics,
    make_metrics,
    sample,
    score,
    write_descriptions,
)
from deepdraw.experiment_end import Sampled, report_training
from deepdraw.experiment_start import (
    build_model,
    check_config,
    checkpoint_metadata,
    class_weights,
    find_probes,
    is_pretrained,
    load_saved,
    open_data,
    open_device,
    open_directory,
    open_state,
    warnings_of,
)
from deepdraw.features import Encoder, FeatureLoader, FeatureOptions
from deepdraw.models import ModelPlan
from deepdraw.own_evaluations import evaluate_run, own_evaluations
from deepdraw.report import try_report
from deepdraw.runtime import (
    Precision,
    Ranks,
    check_no_others_files,
    describe_run,
    failure_line,
    keep_freed_memory,
    removed_unless_used,
    sole_writer,
    typed,
)
from deepdraw.training import Checkpoints, Fitter, Recipe, Training, encodes_once, learning_rates, show_metric


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
        check_config(config)
        self.directory, self.ranks = directory, ranks
        checkpoints = Checkpoints(directory / "checkpoints", ranks=ranks)
        saved = load_saved(checkpoints)
        self.config = open_directory(directory, config, saved, ranks)
        self.recipe, self._caching = Recipe(**config.train), FeatureOptions(**config.features)
        self.fitter: Fitter = make(config.fit, "fit", _convert_="all")
        self.device = open_device(config, directory)
        self.precision: Precision = make(config.precision, "precision", device=self.device)
        torch.manual_seed(config.seed)

        plan = ModelPlan.of(config, activation_checkpointing=self.recipe.activation_checkpointing)
        frozen = make(config.freeze, "freeze", plan.backbone.layer_groups())
        self.data = open_data(config, plan, self.device, directory, saved, ranks)
        self.model = build_model(
            plan, frozen, self.data.classes, self.device, is_new=saved is None, seed=config.seed, ranks=ranks
        )
        self.fitter.check(self.model, self.recipe, ranks)
        self.own_metrics = make_metrics(config)
        measured = getattr(self.fitter, "objectives", None)
        self.compared_by = choose_objective(config.get("objective", "val/top1"), self.own_metrics, measured)
        pretrained = is_pretrained(self.config, self.model)
        optimizer = make(config.optimizer, "optimizer", self.model, _convert_="all", pretrained=pretrained)
        self._rates = {key.rpartition("/")[2]: rate for key, rate in learning_rates(optimizer).items()}  # before warmup
        steps = self.recipe.total_steps(self.data.loaders["train"])
        self.state = open_state(
            config, self.config, directory, self.recipe, self.model, optimizer, steps, self.precision, saved, ranks
        )
        self._drawn_test = self.data.loaders["test"]
        if encodes_once(self.model, self.recipe, self.data.augment, self._caching):
            self.data.encode_once(self._encoder(), self._caching)
        metadata = checkpoint_metadata(self.config, self.model, self.data)
        self.checkpoints = Checkpoints(checkpoints.folder, metadata, ranks)
        self._try_the_end()
        if saved is not None and saved["config"]["data"] != self.config["data"]:  # they moved
            self.checkpoints.save_last({key: value for key, value in saved.items() if key not in metadata})
        self.metrics: dict[str, float] = {}
        self._probes = find_probes(self.recipe, self.model, self.data)
        if saved is None:
            for line in warnings_of(directory, self.model, self.recipe, self.data, self.state, pretrained=pretrained):
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
                class_weights=class_weights(self.recipe, self.data, self.device),
                objective=self.compared_by,
            )
        )

    def test(self) -> dict[str, float]:
        """The metrics of the best weights on the test split. Nothing is computed of it before the end of training.

        Raises ValueError for a drawing that cannot be read: its line says how the result is had when it is mended.
        """
        self.state.eval_model.load_state_dict(self.checkpoints.load_best())
        start = time.perf_counter()
        try:
            metrics, self._predictions = self._evaluate("test")
        except (ValueError, OSError) as error:
            scored = typed("python", "evaluate.py", f"ckpt={self.checkpoints.folder / 'best.pt'}")
            raise ValueError(f"{failure_line(error)}; the training is done and kept, and {scored} tests it") from error
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
        progress = {"ranks": self.ranks.size, "steps": self.state.step, "duration": round(self.state.duration, 1)}
        summary = self._described | self.data.description | {"learning_rates": self._rates} | progress
        told = f"{len(self._predictions):,} of {self._drawn_test.num_drawings:,} test drawings"
        report_training(
            self.directory,
            summary | self.state.speed | self.state.best,
            self.metrics,
            self._predictions.with_complexity(self.data.splits["test"].complexity()),
            self._sample,
            self.state.loggers,
            step=self.state.step,
            trial=told if self.is_trial else None,
        )

    def _sample(self) -> Sampled:
        """A few test drawings with their logits, to be looked at."""
        num_batches = min(self.recipe.limit_steps or 8, 8)
        model, rasterizer = self.state.eval_model, self.data.rasterizer
        return sample(model, self._drawn_test, self.precision, rasterizer, num_batches=num_batches)

    def evaluate(self) -> None:
        """Evaluate the best weights on the splits of `evaluate`, as evaluate.py does: on rank 0, after `report`."""
        if self.ranks.is_first:
            evaluate_run(self.directory, self._evaluations)

    @property
    def objective(self) -> float:
        """What a sweep compares: the objective of the best epoch."""
        return self.state.best[self.compared_by.key]

    def _try_the_end(self) -> None:
        """Prepare and try, before any step, what report() and evaluate() need on rank 0."""
        if self.ranks.is_first:
            try_report(self.directory)
            self._described = describe_run(self.config, self.model)
            self._evaluations = own_evaluations(self.directory, self.config, device=str(self.device))

    def _probe(self) -> dict[str, float]:
        """The metrics of the probes, on rank 0; nothing where there are none."""
        if self._probes is None or not self.ranks.is_first:
            return {}
        return self._probes(self.state.eval_model.eval().features, self.precision)

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
