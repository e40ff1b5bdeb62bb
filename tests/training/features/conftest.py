"""A small split, a backbone of one layer, and the cache of its features."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deepdraw.drawings.augment import Augment
from deepdraw.drawings.raster import Rasterizer
from deepdraw.features.cache import FeatureOptions, cached_features
from deepdraw.features.encoder import Encoder
from deepdraw.features.store import BLOCK, Features
from deepdraw.models.backbones.base import Backbone, LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import policies as freezing
from deepdraw.runtime.precision import Precision
from deepdraw.training.recipe import Recipe

CPU = torch.device("cpu")


NUM_DRAWINGS = 5 * BLOCK + 60


AUGMENT = Augment(rotation=15, shear=0.1, stretch=0.2, flip=0.5, dropout=0.1, jitter=0.015, line_width=1.4)


RECIPE = Recipe(
    epochs=2,
    limit_steps=None,
    grad_accum=1,
    clip_grad=None,
    label_smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    ema=None,
    compile=False,
    activation_checkpointing=False,
    log_every=50,
    checkpoint_every=500,
)


class Grays:
    """A split whose drawings are all of one gray, a little other than the one before."""

    classes = ("dark", "middle", "light")

    def __init__(self, shift: int = 0, fingerprint: str = "grays", seconds: float = 0.0) -> None:
        self.block_sizes = np.array([200, 200, NUM_DRAWINGS - 400])
        self.fingerprint, self._shift, self._seconds = fingerprint, shift, seconds

    def read(self, blocks, rows, rasterizer, images):
        if self._seconds:
            time.sleep(self._seconds)
        starts = np.cumsum(self.block_sizes) - self.block_sizes
        numbers = np.concatenate([np.arange(self.block_sizes[b]) + starts[b] for b in blocks])[rows]
        images[:] = ((3 * numbers + self._shift) % 256)[:, None, None]
        return numbers % 3, numbers.astype(np.uint64)


class Layer(Backbone):
    """One linear layer on the pixels, which counts how many images it saw."""

    def __init__(self, weight: float = 1.0, mean: float = 0.5, std: float = 0.5) -> None:
        super().__init__()
        self.name, self.num_features, self.image_size, self.seen = "layer", 10, 8, 0
        self.mean, self.std = (mean, 0.5, 0.5), (std, 0.5, 0.5)
        self.layer = nn.Linear(192, 10)
        with torch.no_grad():
            self.layer.weight.copy_(weight * torch.linspace(-1, 1, 1920).view(10, 192).sin())

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return self.layer(images.flatten(1))

    def load_pretrained(self) -> None: ...

    def layer_groups(self) -> list[LayerGroup]:
        names = ("embeddings", "block 0", "final layers")
        return [
            LayerGroup(name, *([[self.layer], list(self.layer.parameters())] if "0" in name else [])) for name in names
        ]

    def checkpoint_activations(self) -> None: ...


def build(backbone: Backbone | None = None, freeze=freezing.everything) -> Classifier:
    torch.manual_seed(0)
    backbone = backbone or Layer()
    model = Classifier(backbone, nn.Linear(10, 3))
    freezing.freeze(model, freeze(backbone.layer_groups()))
    return model


def encoding(model: Classifier | None = None, **changes) -> Encoder:
    rasterizer = Rasterizer(8, line_width=1.0)
    encoder = Encoder(
        model or build(), {"name": "layer", "pretrained": "a file"}, rasterizer, Precision("fp32", CPU), 0
    )
    return replace(encoder, **changes)


def cache(folder: Path, split=None, encoder: Encoder | None = None, **options) -> Features:
    chosen = {name: options.pop(name) for name in ("augment", "seed") if name in options}
    options = {"dir": str(folder), "views": None, "dtype": "fp32", **options}
    return cached_features("train", split or Grays(), encoder or encoding(), FeatureOptions(**options), **chosen)


def contents(folder: Path) -> dict[str, bytes]:
    (home,) = folder.iterdir()
    return {file.name: file.read_bytes() for file in home.iterdir()}


def in_another_process(function, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def wait_for_blocks(folder: Path, number: int) -> None:
    end = time.monotonic() + 30
    while sum(file.stat().st_size for file in folder.glob("*.part/checksums")) < 4 * number:
        assert time.monotonic() < end
        time.sleep(0.005)


def count(folder: Path, counts) -> None:
    encoder = encoding()
    cache(folder, Grays(seconds=0.05), encoder)
    counts.put(encoder.model.backbone.seen)
