"""Roles: the places in the config of train.py where a `_target_` stands, and what each of them may name.

A place such as `logger.*` means every key below `logger`. A test compares `targets` and `keys` with the YAML files in
`conf/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

POLICIES = (
    "deepdraw.models.freezing.nothing",
    "deepdraw.models.freezing.everything",
    "deepdraw.models.freezing.first",
    "deepdraw.models.freezing.last",
    "deepdraw.models.freezing.blocks",
    "deepdraw.models.freezing.gradual",
    "deepdraw.models.freezing.norms",
    "deepdraw.models.freezing.biases",
    "deepdraw.models.freezing.lora",
)
ALGORITHMS = ("torch.optim.AdamW", "torch.optim.SGD", "deepdraw.training.Muon")
SCHEDULES = (
    "deepdraw.training.constant",
    "deepdraw.training.cosine",
    "deepdraw.training.onecycle",
)


@dataclass(frozen=True)
class Role:
    """The `_target_`s and arguments that one place of a config may have.

    targets: the classes and functions that `conf/` offers there.
    keys: Hydra's own keys, beside `_target_`, that its YAML files use.
    base: the base class of a class that `trust` adds from another package; None if evaluation never builds this part.
    method: the method that such a class must have, if no base class is required.
    positional: how many arguments deepdraw itself passes by position (if `_partial_` may stand there: when it is true).
    named: the arguments that deepdraw itself passes by name.
    offered: those that it passes by name to whatever takes them.
    """

    targets: tuple[str, ...]
    keys: tuple[str, ...] = ()
    base: str | None = None
    method: str | None = None
    positional: int = 0
    named: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()

    @property
    def built(self) -> bool:
        """Whether evaluation builds this part of a checkpoint's config. All other parts are only read as text."""
        return self.base is not None or self.method is not None

    @property
    def offers_functions(self) -> bool:
        """Whether `conf/` offers functions there; classes begin with a capital letter."""
        return any(target.rpartition(".")[2].islower() for target in self.targets)


ROLES = {
    "backbone": Role(
        (
            "deepdraw.models.backbones.TimmBackbone",
            "deepdraw.models.backbones.OpenClipBackbone",
            "deepdraw.models.backbones.StrokesBackbone",
            "deepdraw.models.backbones.StrokeStemBackbone",
            "deepdraw.models.backbones.StrokeTransformerBackbone",
            "deepdraw.models.backbones.FusedBackbone",
        ),
        keys=("_convert_",),
        base="deepdraw.models.backbones.Backbone",
    ),
    "backbone.pixels": Role(
        ("deepdraw.models.backbones.TimmBackbone", "deepdraw.models.backbones.OpenClipBackbone"),
        keys=("_convert_",),
        base="deepdraw.models.backbones.Backbone",
    ),
    "backbone.strokes": Role(
        (
            "deepdraw.models.backbones.StrokesBackbone",
            "deepdraw.models.backbones.StrokeStemBackbone",
            "deepdraw.models.backbones.StrokeTransformerBackbone",
        ),
        keys=("_convert_",),
        base="deepdraw.models.backbones.Backbone",
    ),
    "head": Role(
        (
            "deepdraw.models.Linear",
            "deepdraw.models.MLP",
            "deepdraw.models.Cosine",
            "deepdraw.models.Text",
            "deepdraw.models.Prompts",
            "deepdraw.models.Weighed",
        ),
        base="torch.nn.Module",
        named=("num_features", "num_classes"),
        offered=("feature_widths", "build_text_tower"),
    ),
    "data.source": Role(
        (
            "deepdraw.data.doodles.open_doodles",
            "deepdraw.data.Shards",
            "deepdraw.data.tars.ImageTars",
            "deepdraw.data.files.Folder",
            "deepdraw.data.files.LabeledFiles",
        ),
        method="split",
    ),
    "freeze": Role((*POLICIES, "deepdraw.models.freezing.halves"), positional=1),
    "freeze.pixels": Role(POLICIES, keys=("_partial_",), positional=1),
    "freeze.strokes": Role(POLICIES, keys=("_partial_",), positional=1),
    "augment": Role(("deepdraw.drawings.nothing", "deepdraw.drawings.Augment")),
    "optimizer": Role(("deepdraw.training.build_optimizer",), positional=1, named=("pretrained",)),
    "optimizer.algorithm": Role(ALGORITHMS, keys=("_partial_",), positional=1),
    "schedule": Role(SCHEDULES, positional=2),
    "fit": Role(
        (
            "deepdraw.training.Loop",
            "deepdraw.training.heads.GridSearch",
            "deepdraw.training.heads.LogisticRegression",
        ),
    ),
    "fit.algorithm": Role(ALGORITHMS, keys=("_partial_",), positional=1),
    "fit.schedule": Role(SCHEDULES, keys=("_partial_",), positional=2),
    "metric.*": Role(("deepdraw.evaluation.Kappa",)),
    "precision": Role(("deepdraw.runtime.Precision",), named=("device",)),
    "logger.*": Role(
        (
            "deepdraw.loggers.CSVLogger",
            "deepdraw.loggers.TensorBoardLogger",
            "deepdraw.loggers.WandbLogger",
        ),
        keys=("_partial_",),
        positional=2,
    ),
}


def role_of(place: str) -> Role | None:
    """The role of a dotted place in a config, or None where no `_target_` belongs."""
    parent, _, _ = place.rpartition(".")
    return ROLES.get(place) or ROLES.get(f"{parent}.*")


def inside(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is one of the packages, or lies in one of them."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def targets_of(node: Any) -> Iterator[str]:
    """Every `_target_` in a plain config."""
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from targets_of(below)
    if isinstance(node, dict) and isinstance(node.get("_target_"), str):
        yield node["_target_"]
