"""A trained classifier that recognizes drawings of any form."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data import Inputs
from deepdraw.drawings import ImageCheck
from deepdraw.fewshot import KnownClasses
from deepdraw.inference.inputs import draw, listed, pack
from deepdraw.inference.taught import Taught, learn_known
from deepdraw.inference.trained import Trained


class Guess(NamedTuple):
    """A predicted class and its probability, in 0..1."""

    name: str
    probability: float


class Recognizer:
    """A trained classifier for drawings of any form, as `deepdraw.load` returns it.

    Its methods take one drawing or many. A drawing is the path of an image (PNG, JPG, SVG), a PIL image, an array
    [H, W], [H, W, 3] or [H, W, 4] (bool, uint8, uint16, or floats in 0..1 or 0..255), or a list of strokes. For many
    drawings stand a folder of images, a file that ends in .ndjson, .bin, .csv (Kaggle), .npz (sketch-rnn) or .npy
    (bitmaps), and an array or tensor [N, H, W], [N, C, H, W] or, arrays only, [N, H, W, C]. Images are taken to be
    dark on light; one that is light on dark, or blank, is told of once.

    A stroke is an array [n, 2] of points, y downwards, lists as Quick, Draw! writes them, [[x, ...], [y, ...]] or
    [[x, ...], [y, ...], [t, ...]], or a record {"x": [...], "y": [...]}. Strokes of whole numbers in 0..255 without
    times are taken to be simplified already. Other strokes may have any unit; they are scaled and simplified as Quick,
    Draw! does it.

    All methods raise ValueError, in one line, for anything that is no drawing.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self._check = ImageCheck()

    def __repr__(self) -> str:
        name, backbone = type(self).__name__, self.trained.model.backbone
        return f"{name}({self.trained.path}: {backbone.name}, {len(self.classes)} classes)"

    @property
    def classes(self) -> list[str]:
        """The class names. Column k of the logits means `classes[k]`."""
        return self.trained.classes

    @property
    def temperature(self) -> float:
        """Divides the logits before the softmax: fitted on val, or 1 where the checkpoint has none."""
        return self.trained.temperature or 1.0

    def predict(self, drawings: Any, top: int = 5, batch_size: int = 64) -> list[list[Guess]]:
        """The `top` likeliest names of each drawing, best first, a list for each drawing even of one.

        Probabilities are those of the temperature that was fitted on val, where the checkpoint has one.
        """
        return self.guesses(self.logits(drawings, batch_size), top)

    def guesses(self, logits: NDArray[np.float32], top: int = 5) -> list[list[Guess]]:
        """The `top` likeliest names for logits [N, C], as `predict` returns them."""
        if top < 1:
            raise ValueError(f"top={top} asks for nothing: give at least 1")
        probabilities = torch.softmax(torch.from_numpy(logits) / self.temperature, dim=1).numpy()
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        sorted_ = np.take_along_axis(probabilities, order, axis=1)
        return [
            [Guess(self.classes[k], p) for k, p in zip(*row, strict=True)]
            for row in zip(order.tolist(), sorted_.tolist(), strict=True)
        ]

    def logits(self, drawings: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """Logits float32 [N, C], without the temperature."""
        return self._run(self.trained.model, len(self.classes), drawings, batch_size)

    def features(self, drawings: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """The backbone's features float32 [N, D]."""
        model = self.trained.model
        return self._run(model.features, model.backbone.num_features, drawings, batch_size)

    def teach(self, new: Mapping[str, Any] | Sequence[str], known: KnownClasses | None = None) -> TaughtRecognizer:
        """A recognizer of new classes beside those trained on: `recognizer.teach({"dax": ["a.png", "b.svg"]})`.

        All classes are compared at once, as evaluate.py does it on split=generalized with protocol=prototype: the
        means of their drawings after whitening, with an offset for new ones that was chosen on the classes trained on.
        These are learned from drawings of split train of the data that the network was trained on, once.

        Args:
            new: the drawings of each new name, one to five or more of any form that `predict` takes; or names alone,
                which a text tower reads.
            known: what `learn_known` gave before, where these drawings need not be read again.

        Raises:
            ValueError: in one line, for a name without drawings, one that is there already, drawings that cannot be
                read, names alone where there is no text tower, and where the data of the training are gone.
        """
        if isinstance(new, str):
            raise ValueError(f"teach({new!r}) is one text: give {{name: drawings}}, or a list of names")
        if not isinstance(new, Mapping):
            return TaughtRecognizer(self.trained, Taught.by_text(self.trained, list(new)))
        empty = TaughtRecognizer(self.trained, Taught.by_drawings(known or learn_known(self.trained)))
        return empty.teach(new)

    def images(self, drawings: Any) -> NDArray[np.uint8]:
        """The images in which the network sees the drawings: uint8 [N, size, size], or [N, 3, size, size]."""
        return draw(listed(drawings), self.trained.rasterizer, check=self._check)

    def points(self, drawings: Any) -> NDArray[np.float32]:
        """The points in which a network that sees strokes sees the drawings: float32 [N, points, 8] (`PointSampler`).

        Raises ValueError for a network that sees pixels alone.
        """
        if self.trained.points is None:
            raise ValueError(f"{self.trained.path} sees pixels alone, so no points: use images() for it")
        return self.trained.points(pack(listed(drawings), self.trained.points, check=self._check))

    def _inputs(self, drawings: list[Any], first: int) -> Inputs:
        """What the backbone sees of these drawings, on its device. first: the number of the first one, for messages."""
        trained, device = self.trained, self.trained.precision.device
        if trained.points is None:
            return torch.from_numpy(draw(drawings, trained.rasterizer, first, self._check)).to(device)
        packed = pack(drawings, trained.points, first, self._check)
        points = torch.from_numpy(trained.points(packed)).to(device)
        return (torch.from_numpy(trained.rasterizer(packed)).to(device), points) if "pixels" in trained.sees else points

    @torch.inference_mode()
    def _run(
        self, compute: Callable[[Inputs], Tensor], width: int, drawings: Any, batch_size: int
    ) -> NDArray[np.float32]:
        """The outputs of `compute` for what the backbone sees of the drawings, float32 [N, width]."""
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} computes nothing: give at least 1")
        precision, items = self.trained.precision, listed(drawings)
        computed = np.empty((len(items), width), np.float32)
        for start in range(0, len(items), batch_size):
            inputs = self._inputs(items[start : start + batch_size], start)
            with precision.autocast():
                outputs = compute(inputs)
            computed[start : start + batch_size] = outputs.float().cpu().numpy()
        if not np.isfinite(computed).all():
            raise ValueError(f"the network computed what is no finite number in {precision.name}: use precision=fp32")
        return computed


class TaughtRecognizer(Recognizer):
    """A recognizer of the classes trained on and of others that were taught to it; see `Recognizer.teach`."""

    def __init__(self, trained: Trained, taught: Taught) -> None:
        super().__init__(trained)
        self.taught = taught
        self._classify = taught.classifier(trained)

    @property
    def classes(self) -> list[str]:
        """The class names, those trained on first. Column k of the logits means `classes[k]`."""
        return [*self.trained.classes, *self.taught.names]

    @property
    def temperature(self) -> float:
        """1: that of the trained head says nothing of these logits."""
        return 1.0

    def logits(self, drawings: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """Logits float32 [N, C]: log-likelihoods up to what all classes share, or cosines with their names."""
        features = torch.from_numpy(self.features(drawings, batch_size)).to(self.trained.precision.device)
        with torch.inference_mode():
            return self._classify(features).float().cpu().numpy()

    def teach(self, new: Mapping[str, Any] | Sequence[str], known: KnownClasses | None = None) -> TaughtRecognizer:
        """With more names; see `Recognizer.teach`. All are drawn, or all are typed."""
        taught = self.taught
        if not isinstance(new, Mapping):
            if taught.known is not None:
                raise ValueError("the names so far were drawn, and these are typed: teach all in one way")
            return super().teach([*taught.names, *new], known)
        for name, drawings in new.items():
            features = torch.from_numpy(self.features(drawings))
            taught = taught.with_drawings(name, features, self.trained.classes)
        return TaughtRecognizer(self.trained, taught)

    def forget(self, name: str) -> TaughtRecognizer:
        """Without one of the names that were taught. Raises ValueError where it is none of them."""
        return TaughtRecognizer(self.trained, self.taught.without(name))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was taught into a file for `deepdraw.load(run, classes=FILE)` and the commands' classes=FILE."""
        self.taught.save(Path(path), self.trained)


def open_recognizer(trained: Trained, classes: str | os.PathLike[str] | None = None) -> Recognizer:
    """The recognizer of a classifier, with the classes that a file of `TaughtRecognizer.save` holds, if one is given.

    Raises ValueError, in one line, where it is no such file, or one of another checkpoint.
    """
    return Recognizer(trained) if classes is None else TaughtRecognizer(trained, Taught.load(Path(classes), trained))
