"""Drawings to features: a frozen network, all that goes before it, and what decides its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepdraw.data import Split
from deepdraw.drawings import Rasterizer
from deepdraw.features.folding import fold_batch_norms
from deepdraw.models import Classifier
from deepdraw.runtime import Precision

VERSION = 1  # raised when the same key comes to stand for other features
LIBRARIES = ("torch", "timm", "open_clip_torch")
SPECIMENS = 16  # drawings by which a change in how drawings are drawn is known
CPU_BATCH = 16  # images that a CPU takes at once: of more, a convolutional network's activations leave its caches


@dataclass(frozen=True, eq=False)
class Encoder:
    """Drawings to features: a frozen model and all that goes before it. config: the backbone's own, resolved."""

    model: Classifier
    config: Mapping[str, Any]
    rasterizer: Rasterizer
    precision: Precision
    num_workers: int | Literal["auto"] = "auto"

    @cached_property
    def weights(self) -> str:
        """A hash of the backbone's weights, wherever they came from."""
        digest = blake2b(digest_size=16)
        for name, tensor in self.model.backbone.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def folded(self) -> Classifier:
        """The model as it encodes fastest; a line says how. Features are those of the model but for rounding."""
        model = self.model.eval()
        if self.precision.device.type != "cpu":
            print(f"encoding on {self.precision.device} in {self.precision.name}")
            return model
        specimen = torch.zeros(1, 3, self.rasterizer.size, self.rasterizer.size)
        with torch.autocast("cpu", enabled=False):  # in bf16 the two could not be held against each other
            backbone, number = fold_batch_norms(model.backbone, specimen)
        folding = f", {number} batch norms folded into convolutions" if number else ""
        print(f"encoding on the CPU in {self.precision.name}, {CPU_BATCH} images at a time{folding}")
        return Classifier(backbone, nn.Identity()) if number else model

    def features(self, images: Tensor) -> Tensor:
        """Features [B, D] of images uint8 [B, H, W]."""
        inner = CPU_BATCH if self.precision.device.type == "cpu" else len(images)
        with self.precision.autocast():
            return torch.cat([self.folded.features(part) for part in images.split(inner)])

    def key(self, split: Split) -> dict[str, Any]:
        """All that decides what features the drawings of a split get, in plain values.

        The first drawings, as they are drawn, stand for the code and the library that draw them. New versions of the
        libraries that compute may differ in the last bit only, but a cache lost costs less than one that is wrong.
        The device is left out: a checkpoint moves between devices, too.
        """
        rows = np.arange(min(SPECIMENS, split.block_sizes[0]))
        specimens = np.empty((len(rows), self.rasterizer.size, self.rasterizer.size), np.uint8)
        split.read(np.zeros(1, np.int64), rows, self.rasterizer, specimens)
        return {
            "version": VERSION,
            "backbone": {name: value for name, value in self.config.items() if name != "pretrained"},
            "weights": self.weights,
            "mean": list(self.model.backbone.mean),
            "std": list(self.model.backbone.std),
            "render": {name: getattr(self.rasterizer, name) for name in ("size", "line_width", "margin", "polarity")},
            "precision": self.precision.name,
            "drawings": split.fingerprint,
            "specimens": blake2b(specimens.tobytes(), digest_size=16).hexdigest(),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
