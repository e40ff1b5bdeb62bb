"""The header of a report: what was trained on what, how long it took, and the command that does it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deepdraw.evaluation import RECOGNITION
from deepdraw.runtime import shown

_LONGEST = 600  # characters of a fact
_POLICIES = {"everything": "all", "nothing": "none"}  # of conf/freeze, whose functions have other names
_SPLITS = ("train", "val", "test")
_RATES = ("lr", "backbone_lr", "strokes_lr")
_OPTIMIZER_KEYS = ("weight_decay", "layer_decay")


def facts(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a run by their titles, in the order to read them; those that neither file tells are left out.

    summary: the content of summary.json; config: of config.yaml. Both may be of an older version, or of a stranger.
    """
    found = {
        **_model(config),
        "parameters": summary.get("parameters"),
        "of them trained": _share(summary),
        **_fitting(summary, config),
        **_drawings(summary, config),
        "steps": summary.get("steps"),
        "a trial, no result": summary.get("trial"),
        "best epoch": summary.get("val/epoch"),
        "seed": summary.get("seed"),
        "device": summary.get("device"),
        "finished": str(summary.get("date", "")).replace("T", " ") or None,
        "duration": _duration(summary.get("duration")),
        "commit": re.sub(r"(?<=^[0-9a-f]{10})[0-9a-f]+", "", summary.get("git_commit") or "unknown"),
        "command": summary.get("command"),
    }
    return {name: _fact(value) for name, value in found.items() if value not in (None, "")}


def _model(config: Mapping[str, Any]) -> dict[str, Any]:
    whole = _group(config, "backbone")
    backbone = _group(whole, "pixels") or whole  # of a fused one, whose other half sees strokes
    name = backbone.get("name") or _words(backbone)
    pretrained, tag = backbone.get("pretrained"), backbone.get("tag")
    if pretrained is True:
        pretrained = f"pretrained, tag {tag}" if tag else "pretrained"
    size = backbone.get("image_size")
    return {
        "encoder": name if backbone is whole else f"{name} and strokes",
        "weights": "random" if pretrained is False else pretrained,
        "image size": None if size is None else f"{size} px",
        "frozen": _words(_group(config, "freeze")),
        "head": _words(_group(config, "head")),
    }


def _fitting(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """How the weights were found: by steps of an optimizer, or by a fitter that has settings of its own."""
    fit = _group(config, "fit")
    if fit and not str(fit.get("_target_")).endswith(".Loop"):
        return {"fitted by": _words(fit)}
    optimizer, train = _group(config, "optimizer"), _group(config, "train")
    rates = summary.get("learning_rates")
    if not isinstance(rates, Mapping):  # of an older version: as they were asked for
        rates = {key: rate for key in _RATES if (rate := optimizer.get(key)) is not None}
    algorithm = _words(_group(optimizer, "algorithm"))
    others = [f"{key}={optimizer[key]}" for key in _OPTIMIZER_KEYS if key in optimizer]
    epochs, batch_size = train.get("epochs"), _group(config, "data").get("batch_size")
    return {
        "optimizer": ", ".join([algorithm.partition(" (")[0], *others]) if algorithm else None,
        "learning rates": ", ".join(f"{key} {_number(rates[key])}" for key in _RATES if key in rates),
        "schedule": _words(_group(config, "schedule")),
        "epochs": epochs,
        "batch size": batch_size,
        "label smoothing": train.get("label_smoothing"),
    }


def _drawings(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    data, numbers = _group(config, "data"), summary.get("drawings")
    counted = numbers if isinstance(numbers, Mapping) else {}
    return {
        "data": data.get("root") or data.get("file"),
        "drawings": ", ".join(f"{counted[split]:,} {split}" for split in _SPLITS if split in counted),
        "classes": summary.get("classes"),
        "split rule": summary.get("split_rule"),
        "recognized or all": summary.get(RECOGNITION),
    }


def _group(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return group if isinstance(group := config.get(name), Mapping) else {}


def _words(node: Mapping[str, Any]) -> str:
    """A group as its last word and its plain arguments: "first (n=12)"."""
    word = str(node.get("_target_") or "").rpartition(".")[2]
    arguments = [
        f"{key}={value}"
        for key, value in node.items()
        if not str(key).startswith("_") and value is not None and not isinstance(value, Mapping)
    ]
    return _POLICIES.get(word, word) + (f" ({', '.join(arguments)})" if word and arguments else "")


def _share(summary: Mapping[str, Any]) -> str | None:
    trained, parameters = summary.get("trainable_parameters"), summary.get("parameters")
    if trained is None or not parameters:
        return None
    return f"{trained:,} ({100 * trained / parameters:.3g} %)"


def _duration(seconds: float | None) -> str | None:
    """Seconds as "1 h 02 min", "3 min 20 s" or "42 s"."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _fact(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else shown(value, _LONGEST)
