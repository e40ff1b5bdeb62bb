"""One evaluation of a checkpoint on a split: from its config to the metrics and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from deepdraw.config import check_evaluation, expand_homes, make
from deepdraw.data import (
    Epochs,
    Joined,
    JoinedLoader,
    Recognition,
    Source,
    Split,
    in_brackets,
    recognition_of,
    seen_drawings,
)
from deepdraw.drawings import View
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.metric import compute_metrics, make_metrics
from deepdraw.evaluation.metric_files import TRIAL, Scored, read_checkpoint
from deepdraw.evaluation.objective import choose_objective
from deepdraw.evaluation.splits import is_path, open_split, open_split_of, result_name
from deepdraw.evaluation.task import Task
from deepdraw.evaluation.taught import TaughtClasses
from deepdraw.evaluation.versions import PLAIN, Version, check_asked, versions_of
from deepdraw.features import Encoder, FeatureLoader, FeatureOptions, cached_features
from deepdraw.inference import Taught, Trained, average_epochs, rebuild
from deepdraw.models import ModelPlan, check_pretrained, interpolate, pretrained_weights
from deepdraw.runtime import (
    archive_hash,
    best_checkpoint,
    find_rank,
    keep_freed_memory,
    results_directory,
    shown,
)

AUTO = "deepdraw.evaluation.Auto"  # the protocol unless another is asked for


class Session:
    """A checkpoint, a split and a protocol; nothing is computed before `versions` is iterated.

    trained: the classifier of the checkpoint; directory: where results are written; name: of the split, in results;
    split: what is evaluated; scored: the checkpoint, as results name it; recognition: whether its drawings are those
    that the game recognized. Raises ValueError, in one line, for an impossible config.
    """

    def __init__(self, config: DictConfig) -> None:
        keep_freed_memory()
        if not find_rank().is_first:
            raise ValueError(
                "an evaluation is the work of one process: start it without torchrun or srun, or on rank 0 alone"
            )
        expand_homes(config)
        check_evaluation(config, {"features": FeatureOptions})
        self.config = config
        check_asked(config)
        checkpoint = best_checkpoint(config.ckpt)
        if checkpoint.is_file():  # else the line about it is that of rebuild()
            self.directory: Path = results_directory(checkpoint, config.out)
        self.trained = self._rebuild(checkpoint)
        self._versions = versions_of(config.interpolate, self._average, config.drawn, config.tta)
        if config.interpolate is not None:
            backbone = self.trained.config.backbone
            check_pretrained(backbone.get("pretrained") or self.trained.model.backbone.pretrained)
        self._taught = self._load_taught()
        self._protocol = make(config.protocol, "protocol", _convert_="all")
        if self._taught is not None:
            self._protocol = TaughtClasses(self.trained, self._taught)
        self._caching = FeatureOptions(**config.features)
        self.loggers = {key: make(logger, f"logger.{key}") for key, logger in config.get("logger", {}).items()}
        self.own_metrics = make_metrics(config)
        if self._average is not None:  # at once, so that nothing is computed if epochs are missing
            key = self.trained.config.get("objective", "val/top1")
            objective = choose_objective(key, make_metrics(self.trained.config))
            self._averaged = average_epochs(self.trained.path.parent, self._average, objective, self._weights)
        source = self.trained.source()
        self.name = result_name(config.split, source)
        own = is_path(config.split, source)  # which does not say it
        self.recognition: Recognition = "unknown" if own else recognition_of(source)
        self.split: Split = self._open_split(source)
        is_training_split = config.split == "train"
        self._seen = None if is_training_split else seen_drawings(source, self.trained.classes, self._seen_per_class)
        if config.drawn is not None and not all(part.has_strokes for part in (self.split, self._seen) if part):
            raise ValueError(
                f"drawn={config.drawn} ends drawings early, and those of split {self.name} are images, which do not "
                "say what was drawn first: leave it out"
            )
        self.scored = self._scored(checkpoint)
        self._check_out()

    def _load_taught(self) -> Taught | None:
        config = self.config
        if config.get("classes") is None:
            return None
        if config.protocol.get("_target_") != AUTO or self._average is not None or config.interpolate is not None:
            raise ValueError(
                f"classes={shown(config.classes)} says how classes are told apart, by features of the checkpoint's own "
                "weights: leave out protocol, average and interpolate"
            )
        return Taught.load(Path(config.classes), self.trained)

    def _open_split(self, source: Source) -> Split:
        name, classes = self.config.split, self.trained.classes
        if self._taught is None:
            return open_split(name, source, classes)
        return open_split_of(name, source, classes, self._taught.names)

    def _scored(self, checkpoint: Path) -> Scored:
        own = self.directory.resolve() == checkpoint.parent.parent.resolve()
        file = f"checkpoints/{checkpoint.name}" if own else str(checkpoint.absolute())
        return Scored(file, self.trained.epoch, archive_hash(checkpoint))

    def _check_out(self) -> None:
        """Raise ValueError where the results would replace those of another checkpoint that `out` holds."""
        there = read_checkpoint(self.directory / f"evaluations/{self.result_name}.json")
        if self.config.out is not None and there is not None and there.sha256 != self.scored.sha256:
            raise ValueError(
                f"out={shown(self.directory)} holds the results of {there} on split {self.name}: choose another out"
            )

    @property
    def is_trial(self) -> bool:
        """Whether only a part of the split is scored. The results of a trial have a name of their own."""
        return self.config.limit_batches is not None

    @property
    def _seen_per_class(self) -> int:
        """Drawings to learn from of each class: in a trial about as many in all as are scored, at least two of each."""
        config, most = self.config, self.config.seen_per_class
        if config.limit_batches is None:
            return int(most)
        share = config.limit_batches * config.data.batch_size // len(self.trained.classes)
        return int(min(most, max(2, share)))

    @property
    def result_name(self) -> str:
        """The name of the result files: that of the split, with suffixes for a last.pt, taught classes and a trial.

        Only those of best.pt, and of a checkpoint outside of its run, are named after the split alone.
        """
        path = self.trained.path
        is_other = path.parent.name == "checkpoints" and path.name != "best.pt"
        taught = "" if self._taught is None else ".taught"
        return f"{self.name}{f'.{path.stem}' if is_other else ''}{taught}{TRIAL if self.is_trial else ''}"

    @property
    def title(self) -> str:
        """The title of the table of metrics: checkpoint, split, numbers of drawings and classes."""
        number = int(self.split.block_sizes.sum())
        drawings = f"{number:,} drawings of {len(self.split.classes)} classes {in_brackets(self.recognition)}"
        if self.is_trial:
            drawings = f"a trial on {self.config.limit_batches} batches of the {drawings}"
        epoch = "" if self.scored.epoch is None else f" (epoch {self.scored.epoch})"
        return f"{self.config.ckpt}{epoch}, {self.name}: {drawings}"

    @property
    def training_config(self) -> dict[str, Any]:
        """The config of the run that trained the classifier, in plain values."""
        plain: Any = OmegaConf.to_container(self.trained.config)
        return plain

    @property
    def caches_features(self) -> bool:
        """Whether features are cached on disk: those of a frozen backbone, for whole splits."""
        config = self.config
        is_computed_again = self._versions != [PLAIN] or config.limit_batches is not None
        return self.trained.frozen and self._caching.dir is not None and not is_computed_again

    @property
    def _average(self) -> int | None:
        """How many epochs are averaged; None for the checkpoint's own weights."""
        number: int | None = self.config.get("average")
        return number

    def versions(self) -> Iterator[tuple[Version, Evaluation]]:
        """Pairs of version and evaluation: `PLAIN` alone, or those that the config asks for."""
        trained = self.trained
        if self._average is not None:
            epochs, weights = self._averaged
            print(f"the average of epochs {', '.join(map(str, epochs))}, the best by validation")
            trained.model.load_state_dict(weights)
        if self.config.interpolate is not None:
            yield from self._interpolated()
            return
        for version in self._versions:
            evaluation = self._evaluate(version)
            if self.caches_features:
                del evaluation.metrics["images_per_second"]  # it would be the speed of reading the cache
            yield version, evaluation

    def _interpolated(self) -> Iterator[tuple[Version, Evaluation]]:
        trained = self.trained
        weights = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
        started = ModelPlan.of(trained.config).build(len(trained.classes)).to(trained.precision.device)
        pretrained = pretrained_weights(started, trained.classes)
        for version in self._versions:
            assert version.alpha is not None
            interpolate(trained.model, pretrained, weights, version.alpha)
            yield version, self._evaluate(version)

    def _rebuild(self, checkpoint: Path | str) -> Trained:
        config = self.config
        return rebuild(
            checkpoint,
            device=config.device,
            precision=config.precision.name,
            trust=config.trust,
            pretrained=config.backbone.pretrained,
            root=config.data.root,
            images=config.input.images,
        )

    def _weights(self, checkpoint: Path) -> dict[str, Tensor]:
        return self._rebuild(checkpoint).model.state_dict()

    def _evaluate(self, version: Version) -> Evaluation:
        """The evaluation by the protocol, with the weights that the model has now."""
        views = version.views()
        trained, config, seen = self.trained, self.config, self._seen
        encoder = Encoder(
            trained.model,
            self.training_config["backbone"],
            trained.rasterizer,
            trained.precision,
            config.data.num_workers,
            trained.points,
        )
        task = Task(
            model=trained.model,
            encode=encoder.features,
            loader=self._load(self.name, self.split, encoder, views),
            precision=trained.precision,
            classes=trained.classes,
            seen=None if seen is None else (lambda: self._load("seen", seen, encoder, views)),
            trained=not trained.frozen and config.interpolate is None,
            complexity=self.split.complexity(),
            labels=self.split.labels,
            temperature=trained.temperature if version == PLAIN else None,
            limit_batches=config.limit_batches,
            views=max(1, len(views)),
        )
        evaluation: Evaluation = self._protocol(task)
        evaluation.metrics["drawings"] = len(evaluation.predictions)
        prefix = "" if evaluation.protocol == "classifier" else f"{evaluation.protocol}_"
        for name, value in compute_metrics(self.own_metrics, evaluation.predictions).items():
            evaluation.metrics[prefix + name] = value
        return evaluation

    def _load(self, name: str, split: Split, encoder: Encoder, views: Sequence[View]) -> Epochs:
        data = self.config.data
        if isinstance(split, Joined):
            parts = (("test", split.first), ("zeroshot", split.second))
            return JoinedLoader(*(self._load(*part, encoder, views) for part in parts))
        if self.caches_features:
            features, device = cached_features(name, split, encoder, self._caching), self.trained.precision.device
            return FeatureLoader(features, split, batch_size=data.batch_size, shuffle=False, device=device)
        return self.trained.load(split, batch_size=data.batch_size, num_workers=data.num_workers, views=views)
