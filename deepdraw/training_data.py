"""The drawings of one training: opened from its config, shown, and served in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object
from numpy.typing import NDArray
from omegaconf import DictConfig

from deepdraw.config import make
from deepdraw.data import (
    Epochs,
    Loader,
    Recognition,
    Sampling,
    Shards,
    Source,
    Split,
    Subset,
    epoch_rasterizer,
    first_of_each_class,
    recognition_of,
)
from deepdraw.drawings import Augmentation, ImageAugmentation, PointSampler, Rasterizer
from deepdraw.evaluation import SHOTS, Probes
from deepdraw.features import Encoder, FeatureLoader, FeatureOptions, cached_features
from deepdraw.report import plot_data, print_classes
from deepdraw.runtime import Ranks

NO_IMAGE_FORM = (
    "data.root={} holds images, which augment={} changes as strokes alone: set augment=none or render.images=drawing"
)
SPLITS = ("train", "val", "test")
TRIED = 1000  # images of val, and of test, that are read before training: a second at most
BATCH = 64  # of them that are read at a time


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The drawings of a training: its splits, how they are drawn, and the batches of each."""

    source: Source
    splits: dict[str, Split]
    sees: tuple[str, ...]  # what the backbone sees of them
    rasterizer: Rasterizer
    points: PointSampler | None
    augment: Augmentation | None
    loading: dict[str, Any]  # what all loaders are given: batch size, device, seed, rank
    num_workers: Any
    sampler: Sampling = None
    loaders: dict[str, Epochs] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig, sees: tuple[str, ...], device: torch.device, ranks: Ranks) -> TrainingData:
        """Open the data source of a config and check all its splits. sees: what the backbone sees."""
        augment: Augmentation | None = make(config.augment, "augment")
        rasterizer = Rasterizer(**config.render)
        points = PointSampler(**config.input) if "strokes" in sees else None

        def check_images() -> None:
            if points is not None:
                points.check_images(rasterizer if "pixels" in sees else None)
            elif not (augment is None or rasterizer.images == "drawing" or isinstance(augment, ImageAugmentation)):
                raise ValueError(NO_IMAGE_FORM.format(config.data.get("root"), type(augment).__name__))

        if getattr(get_object(config.data.source._target_), "has_strokes", True) is False:
            check_images()  # before anything is opened or fetched
        source: Source = make(config.data.source, "data.source")
        if not source.has_strokes:
            check_images()
        splits = {name: source.split(name) for name in SPLITS}
        loading = {"batch_size": config.data.batch_size, "device": device, "seed": config.seed}
        loading |= {"rank": ranks.number, "world_size": ranks.size}
        data = cls(
            source=source,
            splits=splits,
            sees=sees,
            rasterizer=rasterizer,
            points=points,
            augment=augment,
            loading=loading,
            num_workers=config.data.num_workers,
            sampler=config.data.get("sampler"),
        )
        data.loaders.update({name: data._drawn(name) for name in SPLITS})
        return data

    @property
    def classes(self) -> list[str]:
        """The classes that are trained on; label k means `classes[k]`."""
        return self.splits["train"].classes

    @property
    def recognition(self) -> Recognition:
        """Whether they are those that the game of Quick, Draw! recognized, or all."""
        return recognition_of(self.source)

    @property
    def description(self) -> dict[str, Any]:
        """What the summary says of the drawings: their numbers, classes, split rule if known, and recognition."""
        rule = getattr(self.source, "split_rule", None)
        return {
            "drawings": {name: len(split.labels) for name, split in self.splits.items()},
            "classes": len(self.classes),
            **({"split_rule": rule} if isinstance(rule, str) else {}),
            "recognition": self.recognition,
        }

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each split."""
        return {name: split.fingerprint for name, split in self.splits.items()}

    def check_unchanged(self, saved: Mapping[str, str], directory: Path) -> None:
        """Raise ValueError where the run in `directory`, which saved these fingerprints, began with other drawings."""
        for name, split in self.splits.items():
            known = split.fingerprint, getattr(split, "former_fingerprint", split.fingerprint)
            if saved.get(name, split.fingerprint) not in known:
                raise ValueError(
                    f"the drawings of split {name} are not those that the run in {directory} began with: "
                    "put them back to resume it, or choose another hydra.run.dir"
                )

    def try_reading(self) -> None:
        """Read images of val and test, so that one that cannot be read ends a run when it starts and not when it ends.

        All of up to `TRIED` in each are read, of more as many, evenly spaced. Strokes are whole as soon as they are
        opened. Raises ValueError, naming the image.
        """
        small = Rasterizer(8, 1.0, images="canvas")
        for split in (self.splits["val"], self.splits["test"]):
            number = 0 if split.has_strokes else len(split.labels)
            positions = np.unique(np.linspace(0, number, min(number, TRIED), endpoint=False).astype(np.int64))
            for first in range(0, len(positions), BATCH):
                some = positions[first : first + BATCH]
                chosen, images = Subset(split, some), np.empty((len(some), *small.shape), np.uint8)
                chosen.read(np.arange(len(chosen.block_sizes)), np.arange(len(some)), small, images)

    def show(self, out: Path) -> None:
        """Print the drawings of each class, and draw a sheet of what the network will see into the PNG `out`.

        Shards are left out, because the command that prepared them has printed their classes.
        """
        if isinstance(self.source, Shards):
            return
        print_classes(self.splits, recognition=self.recognition)
        plot_data(self.splits, self._draw, self.augment is not None, out)

    def _draw(self, name: str, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The drawings at positions [n] of a split as the network gets them in the first epoch: [n, *shape]."""
        rasterizer = epoch_rasterizer(self.rasterizer, self._augment(name), self.loading["seed"], epoch=0)
        images = np.empty((len(positions), *rasterizer.shape), np.uint8)
        chosen = Subset(self.splits[name], positions)
        chosen.read(np.arange(len(chosen.block_sizes)), np.arange(len(positions)), rasterizer, images)
        return images

    def encode_once(self, encoder: Encoder, options: FeatureOptions) -> None:
        """Replace the batches of drawings by batches of their features, which are computed or read from the cache."""
        for name, split in self.splits.items():
            features = cached_features(name, split, encoder, options, self._augment(name), self.loading["seed"])
            self.loaders[name] = FeatureLoader(features, split, **self._order(name), **self.loading)

    def probes(self, per_class: int) -> Probes:
        """What `train.probes` encodes after each epoch: `per_class` drawings of each class, and of each unseen one."""

        def first(split: Split) -> Loader:
            chosen = first_of_each_class(split, per_class)
            alone = {**self.loading, "rank": 0, "world_size": 1}  # rank 0 encodes them all
            rasterizer = self.rasterizer if "pixels" in self.sees else None
            return Loader(chosen, rasterizer, points=self.points, num_workers=0, shuffle=False, **alone)

        unseen = self.source.split("zeroshot") if "zeroshot" in self.source.splits else None
        if unseen is not None and not (len(unseen.labels) and np.bincount(unseen.labels).min() > SHOTS < per_class):
            print(f"train.probes leaves unseen classes out: it needs more than {SHOTS} drawings of each")
            unseen = None
        return Probes(first(self.splits["train"]), first(self.splits["val"]), None if unseen is None else first(unseen))

    def _drawn(self, name: str) -> Loader:
        return Loader(
            self.splits[name],
            self.rasterizer if "pixels" in self.sees else None,
            points=self.points,
            augment=self._augment(name),
            num_workers=self.num_workers,
            **self._order(name),
            **self.loading,
        )

    def _order(self, name: str) -> dict[str, Any]:
        """The order of a split, as arguments of its loader: shuffled and sampled for train, stored order for others."""
        return {"shuffle": True, "sampler": self.sampler} if name == "train" else {"shuffle": False}

    def _augment(self, name: str) -> Augmentation | None:
        return self.augment if name == "train" else None
