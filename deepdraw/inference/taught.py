"""Names taught to a trained network by a few drawings of each, or by their text alone, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from deepdraw.data import seen_drawings
from deepdraw.features import Encoder, gather_features
from deepdraw.fewshot import KnownClasses
from deepdraw.inference.known import COLUMNS, known_columns, known_fault, known_from
from deepdraw.inference.trained import Trained
from deepdraw.models import classifier_of_names, reads_names
from deepdraw.runtime import MB, archive_hash, existing_file, fold_name, normal_name, read_npz, shown, write_sealed

LONGEST_NAME = 100  # characters of a name
MOST_NAMES = 1000
LARGEST_FILE = 256 * MB  # whitening of 4,096 features has 67 MB
OF_NAMES: dict[str, tuple[Any, int]] = {
    "checkpoint": (str, 1),
    "names": (str, 1),
    "features": (np.float32, 2),
    "labels": (np.uint16, 1),
}
WHAT, FIX = "file of taught classes", "give one that Recognizer.teach or python -m deepdraw.draw has saved"


@dataclass(frozen=True, eq=False)
class Taught:
    """New names beside the classes of a trained network.

    names: in the order in which they were taught; features: float32 [M, D] of the drawings that taught them; labels:
    theirs, int64 [M], as indices into `names`; known: what the classes trained on lend to them; None where a text tower
    reads the names, and there are no drawings.
    """

    names: tuple[str, ...]
    features: Tensor
    labels: Tensor
    known: KnownClasses | None

    @classmethod
    def by_drawings(cls, known: KnownClasses) -> Taught:
        """No name yet; each is to be taught by drawings."""
        empty = known.whitening.mean.new_zeros(0, len(known.whitening.mean))
        return cls((), empty, torch.zeros(0, dtype=torch.int64, device=empty.device), known)

    @classmethod
    def by_text(cls, trained: Trained, names: Sequence[str]) -> Taught:
        """Names that the text tower reads. Raises ValueError where there is none, or a name cannot be one."""
        if not reads_names(trained.model):
            raise ValueError(
                f"{trained.model.backbone.name} has no text tower to read {len(names)} names with: give drawings of "
                "each, as {name: drawings}"
            )
        features = torch.zeros(0, trained.model.backbone.num_features)
        taught = cls((), features, torch.zeros(0, dtype=torch.int64), None)
        for name in names:
            taught = replace(taught, names=taught._names_with(name, trained.classes))
        return taught

    def with_drawings(self, name: str, features: Tensor, classes: Sequence[str]) -> Taught:
        """With one more name, which features [n, D] of drawings teach. classes: those that were trained on.

        Raises ValueError, in one line, where the name is there already or can be none, or there is no drawing of it.
        """
        names = self._names_with(name, classes)
        if self.known is None:
            raise ValueError(f"the names so far were typed, and {shown(name)!r} is drawn: teach all in one way")
        if not len(features):
            raise ValueError(f"class {shown(name)!r} has no drawing: give one to five of it")
        labels = torch.full((len(features),), len(self.names), device=self.labels.device)
        together = torch.cat([self.features, features.to(self.features)]), torch.cat([self.labels, labels])
        return replace(self, names=names, features=together[0], labels=together[1])

    def without(self, name: str) -> Taught:
        """Without one of its names. Raises ValueError where it is none of them."""
        if name not in self.names:
            raise ValueError(f"class {shown(name)!r} was not taught: choose one of {self._listed()}")
        number = self.names.index(name)
        kept = self.labels != number
        labels = self.labels[kept] - (self.labels[kept] > number).long()
        names = (*self.names[:number], *self.names[number + 1 :])
        return replace(self, names=names, features=self.features[kept], labels=labels)

    def classifier(self, trained: Trained) -> Callable[[Tensor], Tensor]:
        """Features [B, D] to logits [B, C] of the classes trained on and, after them, of these names."""
        if self.known is None:
            return classifier_of_names(trained.model, [*trained.classes, *self.names])
        return partial(self.known.logits, support=self.features, labels=self.labels, num_new=len(self.names))

    def save(self, path: Path, trained: Trained) -> None:
        """Write a sealed npz without pickles; a reader finds the old file or the new one, never a half."""
        write_sealed(path, lambda file: self.write(file, trained))

    def write(self, file: Any, trained: Trained) -> None:
        """Write the npz into an open file."""
        columns: dict[str, Any] = {
            "checkpoint": np.array([archive_hash(trained.path)], np.str_),
            "names": np.array(self.names, np.str_),
            "features": self.features.float().cpu().numpy(),
            "labels": self.labels.cpu().numpy().astype(np.uint16),
        }
        if self.known is not None:
            columns |= known_columns(self.known)
        np.savez(file, **columns)

    @classmethod
    def load(cls, path: Path, trained: Trained) -> Taught:
        """Read what `save` wrote. Raises ValueError, in one line, for anything else and for that of another network."""
        path = existing_file(path, "classes=")
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{shown(path)} has more than the {LARGEST_FILE:,} bytes that it may have: {FIX}")
        columns = read_npz(path, {**OF_NAMES, **COLUMNS}, what=WHAT, fix=FIX, optional=frozenset(COLUMNS))
        own, other = archive_hash(trained.path), "".join(columns["checkpoint"].tolist())
        if own != other:
            raise ValueError(
                f"{shown(path)} was taught to another checkpoint than {shown(trained.path)} (SHA-256 "
                f"{shown(other, 12)} and not {own[:11]}…): give that one as ckpt, or teach this one"
            )
        if reason := _fault(columns, trained):
            raise ValueError(f"{shown(path)} is no {WHAT} ({reason}): {FIX}")
        names = tuple(map(str, columns["names"].tolist()))
        for number, name in enumerate(names):
            check_name(name, [*trained.classes, *names[:number]], f"{shown(path)}: ")
        device = trained.precision.device
        known = known_from(columns).to(device) if "means" in columns else None
        labels = torch.from_numpy(columns["labels"].astype(np.int64)).to(device)
        return cls(names, torch.from_numpy(columns["features"]).to(device), labels, known)

    def _names_with(self, name: str, classes: Sequence[str]) -> tuple[str, ...]:
        if len(self.names) >= MOST_NAMES:
            raise ValueError(f"{len(self.names):,} classes are taught, and no more can be: leave some out")
        return *self.names, check_name(name, [*classes, *self.names])

    def _listed(self) -> str:
        return ", ".join(map(shown, self.names)) or "none, for there are none"


def check_name(name: str, taken: Sequence[str], where: str = "") -> str:
    """The name in its composed form. Raises ValueError where it can be no name, or is that of a class `taken`."""
    name = normal_name(name).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"{where}{shown(name, 40)!r} cannot be the name of a class: give 1 to {LONGEST_NAME} characters that can "
            "be printed"
        )
    for other in taken:
        if fold_name(other) == fold_name(name):
            same = "" if other == name else f", as {shown(other)!r}"
            raise ValueError(f"{where}there is a class {shown(name)!r} already{same}: choose another name")
    return name


def learn_known(
    trained: Trained, *, per_class: int = 40, seed: int = 0, num_workers: int | Literal["auto"] = "auto"
) -> KnownClasses:
    """What the classes trained on lend to new ones, from the first drawings of each in split train.

    A checkpoint of the hub holds it, and needs no drawings. Else computes their features, as evaluate.py does on
    split=generalized. per_class: how many of each class; num_workers: processes that draw them, 0 for this one. Raises
    ValueError, in one line, where the drawings are gone, or too few.
    """
    if trained.known is not None:
        return trained.known
    try:
        seen = seen_drawings(trained.source(), trained.classes, per_class)
    except ValueError as error:
        raise ValueError(
            f"new classes are taught beside drawings of the training, which are not there ({error}): give root=..., "
            "where they are"
        ) from error
    if seen is None:
        raise ValueError(
            f"the data of {shown(trained.path)} have no split train of its classes, beside which new ones are taught: "
            "give root=..., the data that it was trained on"
        )
    config: Any = OmegaConf.to_container(trained.config.backbone, resolve=True)
    encoder = Encoder(trained.model, config, trained.rasterizer, trained.precision, points=trained.points)
    loader = trained.load(seen, batch_size=256, num_workers=num_workers)
    found = gather_features(encoder.features, loader, trained.precision, title="features of classes trained on")
    return KnownClasses.learn(found.features, found.labels, seed=seed)


def _fault(columns: dict[str, NDArray[Any]], trained: Trained) -> str | None:
    """Why columns of the right types are no taught classes of this network; None if they are."""
    features, labels, names = columns["features"], columns["labels"], columns["names"]
    width, num_classes = trained.model.backbone.num_features, len(trained.classes)
    if len(names) > MOST_NAMES:
        return f"it has more than {MOST_NAMES:,} classes"
    if features.shape[1] != width:
        return f"its features are {features.shape[1]} wide, and those of {trained.model.backbone.name} {width}"
    if not np.isfinite(features).all():
        return "a number in it is not finite"
    given = [name in columns for name in COLUMNS]
    if not any(given):
        return None if reads_names(trained.model) and not len(features) else "it lacks what the classes trained on lend"
    if not all(given):
        return "it lacks a part of what the classes trained on lend"
    if len(labels) != len(features) or not np.array_equal(np.unique(labels), np.arange(len(names))):
        return "its drawings are not of its names"
    return known_fault(columns, width, num_classes)
