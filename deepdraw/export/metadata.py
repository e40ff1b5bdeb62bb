"""What a file says of the network in it: class names, preprocessing, metrics, where it came from."""

from __future__ import annotations

import json
from typing import Any

from deepdraw.evaluation import read_summary
from deepdraw.inference import Trained
from deepdraw.runtime import library_versions


def facts(trained: Trained) -> dict[str, Any]:
    """Facts of a trained classifier in plain values: what its inputs and outputs mean, how good it is, who made it.

    metrics and git_commit are those of the summary.json of its run, where there is one.
    """
    summary = read_summary(trained.path.parent.parent)
    backbone = trained.model.backbone
    return {
        "classes": trained.classes,
        "network": backbone.name,
        "sees": list(trained.sees),
        "render": dict(trained.config.render),
        "points": None if trained.points is None else trained.points.points,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "temperature": trained.temperature or 1.0,
        "metrics": {key: value for key, value in summary.items() if key.startswith(("val/", "test/"))},
        "git_commit": summary.get("git_commit"),
        "deepdraw": library_versions()["deepdraw"],
    }


def texts(values: dict[str, Any]) -> dict[str, str]:
    """The same as texts, for formats that hold nothing else: a text as it is, all else as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
