"""Computes features of drawings with a frozen network, and the cache key of these features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepdraw.data import Inputs, Split
from deepdraw.drawings import PointSampler, Rasterizer
from deepdraw.features.folding import fold_batch_norms
from deepdraw.models import Classifier
from deepdraw.runtime import Precision, library_versions

VERSION = 1  # raised when the code computes other features for the same key
LIBRARIES = {"torch": "torch", "timm": "timm", "open_clip_torch": "open_clip"}
SPECIMENS = 16  # drawings whose images are part of the key, which shows changes in the rasterizer
CPU_BATCH = 16  # images per forward pass on a CPU, so that the activations fit into its caches


@dataclass(frozen=True, eq=False)
class Encoder:
    """Computes features of drawings with a frozen model. config: that of the backbone, resolved."""

    model: Classifier
    config: Mapping[str, Any]
    rasterizer: Rasterizer
    precision: Precision
    num_workers: int | Literal["auto"] = "auto"
    points: PointSampler | None = None  # where the backbone sees strokes

    @property
    def sees(self) -> tuple[str, ...]:
        """What the backbone sees: pixels, strokes, or both."""
        return self.model.backbone.sees

    @cached_property
    def weights(self) -> str:
        """A hash of the backbone's weights. It does not depend on where they were loaded from."""
        digest = blake2b(digest_size=16)
        for name, tensor in self.model.backbone.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def folded(self) -> Classifier:
        """The model in its fastest form, which is printed. Features differ from the model's only by rounding."""
        model = self.model.eval()
        if self.precision.device.type != "cpu" or self.sees != ("pixels",):
            print(f"encoding on {self.precision.device} in {self.precision.name}")
            return model
        specimen = torch.zeros(1, 3, self.rasterizer.size, self.rasterizer.size)
        with torch.autocast("cpu", enabled=False):  # bf16 is too coarse to compare the two networks
            backbone, number = fold_batch_norms(model.backbone, specimen)
        folding = f", {number} batch norms folded into convolutions" if number else ""
        print(f"encoding on the CPU in {self.precision.name}, {CPU_BATCH} images at a time{folding}")
        return Classifier(backbone, nn.Identity()) if number else model

    def features(self, inputs: Inputs) -> Tensor:
        """Features [B, D] of what the backbone sees of B drawings."""
        number = len(inputs[0] if isinstance(inputs, tuple) else inputs)
        inner = CPU_BATCH if self.precision.device.type == "cpu" else number
        if isinstance(inputs, tuple):
            parts: Any = zip(*(part.split(inner) for part in inputs), strict=True)
        else:
            parts = inputs.split(inner)
        with self.precision.autocast():
            return torch.cat([self.folded.features(part) for part in parts])

    def key(self, split: Split) -> dict[str, Any]:
        """The cache key: everything that the features of a split depend on, in plain values.

        The images of the first drawings show changes in the code and the libraries that draw. New versions of the other
        libraries may change only the last bit, but computing the features again costs less than using wrong ones. The
        device is left out, because a checkpoint may move between devices, too.
        """
        block, rows = np.zeros(1, np.int64), np.arange(min(SPECIMENS, split.block_sizes[0]))
        specimens = np.empty((len(rows), *self.rasterizer.shape), np.uint8)
        split.read(block, rows, self.rasterizer, specimens)
        strokes = {}
        if self.points is not None:
            sampled = self.points(split.read_strokes(block, rows))
            digest = blake2b(sampled.tobytes(), digest_size=16).hexdigest()
            strokes = {"points": self.points.points, "specimens": digest}
        return {
            "version": VERSION,
            "backbone": _without_weights(self.config),
            "weights": self.weights,
            "mean": list(self.model.backbone.mean),
            "std": list(self.model.backbone.std),
            "render": {name: getattr(self.rasterizer, name) for name in ("size", "line_width", "margin", "polarity")}
            | ({"images": "canvas"} if self.rasterizer.images == "canvas" else {})
            | ({"channels": self.rasterizer.channels} if self.rasterizer.channels != "ink" else {}),
            "precision": self.precision.name,
            "drawings": split.fingerprint,
            "specimens": blake2b(specimens.tobytes(), digest_size=16).hexdigest(),
            "libraries": library_versions(LIBRARIES),
            **({"sees": list(self.sees), "strokes": strokes} if strokes else {}),
        }


def _without_weights(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a backbone, and of the halves of a fused one, without saying where its weights were read."""
    return {
        name: _without_weights(value) if isinstance(value, Mapping) and "_target_" in value else value
        for name, value in config.items()
        if name != "pretrained"
    }
