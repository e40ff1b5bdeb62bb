"""The configs of older checkpoints: names that have changed since, and options that came later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deepdraw.config.roles import ROLES

OF_STROKES = ("deepdraw.data.doodles.open_doodles", "deepdraw.data.Shards")  # sources without images
LATER_STRENGTHS = {"split": 0.0, "reorder": 0.0, "reverse": 0.0, "speed": 0.0, "stop": 0.0, "stop_from": 0.25}
OLD_NAMES = {
    "deepdraw.data.augment.Augment": "deepdraw.drawings.Augment",
    "deepdraw.data.augment.nothing": "deepdraw.drawings.nothing",
    "deepdraw.data.shards.Shards": "deepdraw.data.Shards",
    "deepdraw.models.efficient.biases": "deepdraw.models.freezing.biases",
    "deepdraw.models.efficient.lora": "deepdraw.models.freezing.lora",
    "deepdraw.models.efficient.norms": "deepdraw.models.freezing.norms",
    "deepdraw.models.heads.Cosine": "deepdraw.models.Cosine",
    "deepdraw.models.heads.Linear": "deepdraw.models.Linear",
    "deepdraw.models.heads.MLP": "deepdraw.models.MLP",
    "deepdraw.models.heads.Text": "deepdraw.models.Text",
    "deepdraw.models.open_clip_backbone.OpenClipBackbone": "deepdraw.models.backbones.OpenClipBackbone",
    "deepdraw.models.timm_backbone.TimmBackbone": "deepdraw.models.backbones.TimmBackbone",
    "deepdraw.runtime.loggers.CSVLogger": "deepdraw.loggers.CSVLogger",
    "deepdraw.runtime.loggers.TensorBoardLogger": "deepdraw.loggers.TensorBoardLogger",
    "deepdraw.runtime.loggers.WandbLogger": "deepdraw.loggers.WandbLogger",
    "deepdraw.runtime.precision.Precision": "deepdraw.runtime.Precision",
    "deepdraw.training.grid.Sweep": "deepdraw.training.heads.GridSearch",
    "deepdraw.training.logistic.Regression": "deepdraw.training.heads.LogisticRegression",
    "deepdraw.training.loop.fit": "deepdraw.training.Loop",
    "deepdraw.training.muon.Muon": "deepdraw.training.Muon",
    "deepdraw.training.optim.build_optimizer": "deepdraw.training.build_optimizer",
    "deepdraw.training.optim.constant": "deepdraw.training.constant",
    "deepdraw.training.optim.cosine": "deepdraw.training.cosine",
    "deepdraw.training.optim.onecycle": "deepdraw.training.onecycle",
}
OUR_BACKBONES = "deepdraw.models.backbones."
# Without a tag of weights all models of open_clip had the mean and std of OpenAI's; these were trained with others.
OF_OTHER_MEANS = re.compile("siglip|clipa|mobileclip|pe-core", re.IGNORECASE)
OPENAI_MEAN, OPENAI_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def with_current_names(config: Any) -> Any:
    """A checkpoint's config in which every `_target_` of deepdraw 0.1 has its current name. Nothing else changes.

    The config is changed in place, and only where `conf/` has a `_target_`: it has not been checked yet, so it may be
    nested without end.
    """
    if not isinstance(config, dict):
        return config
    for place in ROLES:
        for node in _nodes(config, place.split(".")):
            target = node.get("_target_")
            if isinstance(target, str):
                node["_target_"] = OLD_NAMES.get(target, target)
    if isinstance(data := config.get("data"), dict) and "source" in data:
        data.pop("strokes", None)  # which the source says itself today
    if isinstance(config.get("fit"), dict):
        config["fit"].pop("_partial_", None)  # deepdraw 0.1 wrote it, because fit was a function then
    return config


def add_later_options(config: dict[str, Any]) -> None:
    """Give a saved config the options that it does not have yet, at the values that mean what was done then.

    Images were trained on as they are; a network that was trained on strokes alone reads images as drawings. No
    backbone saw points, one that did took no images, no augmentation changed the strokes for them, and all images were
    gray. An empty `pretrained` trained from random weights, and without a tag a model had the mean and std of OpenAI's.
    """
    render, data = config.get("render"), config.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    if isinstance(render, dict) and isinstance(source, dict):
        render.setdefault("images", "drawing" if source.get("_target_") in OF_STROKES else "canvas")
    if isinstance(render, dict):
        render.setdefault("channels", "ink")
    points = config.setdefault("input", {"points": 96})
    if isinstance(points, dict):
        points.setdefault("images", "refused")
    for place in (["backbone"], ["backbone", "pixels"], ["backbone", "strokes"]):
        for node in _nodes(config, place):
            if node.get("_target_") == "deepdraw.models.backbones.StrokesBackbone":
                node |= {"pretrained": False, "attention": 0, "stem_stride": 1} | node
            if str(node.get("_target_")).startswith(OUR_BACKBONES) and node.get("pretrained", True) in (None, ""):
                node["pretrained"] = False
            of_open_clip = node.get("_target_") == f"{OUR_BACKBONES}OpenClipBackbone"
            if of_open_clip and not node.get("tag") and OF_OTHER_MEANS.search(str(node.get("name"))):
                node.setdefault("mean", OPENAI_MEAN)
                node.setdefault("std", OPENAI_STD)
    augment = config.get("augment")
    if isinstance(augment, dict) and augment.get("_target_") == "deepdraw.drawings.Augment":
        config["augment"] = LATER_STRENGTHS | augment
    config.setdefault("objective", "val/top1")
    if isinstance(train := config.get("train"), dict):
        for name in ("early_stopping", "keep_checkpoints", "keep_every", "probes"):
            train.setdefault(name)


def _nodes(config: Any, place: list[str]) -> Iterator[dict[str, Any]]:
    """The mappings at a dotted place, in which `*` stands for every key."""
    if not isinstance(config, dict):
        return
    if not place:
        yield config
        return
    key, *below = place
    for part in list(config.values()) if key == "*" else [config.get(key)]:
        yield from _nodes(part, below)
