"""Checks all values of a command's config when it starts, and makes the objects that the config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from deepdraw.config.roles import role_of
from deepdraw.config.unread import check_unread
from deepdraw.config.values import check_arguments, check_node, check_value, taken
from deepdraw.runtime import check_device_name

ABSENT = object()
DATA_TYPES: dict[str, Any] = {"data.batch_size": int, "data.num_workers": int | Literal["auto"]}
TRAIN_TYPES: dict[str, Any] = {
    "seed": int,
    "device": str,
    "objective": str,
    "evaluate": list[str],
    "data.root": str,
    "data.file": str,
    "data.unseen": list[str],
    "data.sampler": Literal["balanced"] | None,
    **DATA_TYPES,
}
EVALUATE_TYPES: dict[str, Any] = {
    "ckpt": str,
    "out": str | None,
    "split": str,
    "classes": str | None,
    "device": str,
    "seed": int,
    "limit_batches": int | None,
    "seen_per_class": int,
    "pictures": bool,
    "interpolate": list[float] | None,
    "average": int | None,
    "drawn": float | list[float] | None,
    "tta": int,
    "backbone.pretrained": str | None,
    "input.images": Literal["refused", "traced"] | None,
    "trust": list[str],
    "data.root": str | None,
    **DATA_TYPES,
}
EXPORT_TYPES: dict[str, Any] = {
    "ckpt": str,
    "out": str | None,
    "license": str | None,
    "drawings": int | None,
    "trust": list[str],
    "data.root": str | None,
}
RANGES = {
    "drawings": (1, 2**31 - 1),
    "seed": (0, 2**63 - 1),
    "average": (2, 10_000),
    "data.num_workers": (0, 4096),
}
LEAST = {  # whole numbers, where they are not null: the least, and what is said of one below it
    "data.batch_size": (1, "makes no step: give at least 1 drawing"),
    "limit_batches": (1, "must be at least 1, or null for the whole split"),
    "seen_per_class": (1, "leaves nothing to learn from: give at least 2"),
}
TRAIN_NODES = ("fit", "precision", "backbone", "freeze", "head", "augment", "data.source", "optimizer", "schedule")
EVALUATE_NODES = ("precision", "protocol")
# The classes that take the keys of the groups without a `_target_`. They check their values, and import no torch.
TRAIN_GROUPS = {
    "train": "deepdraw.training.Recipe",
    "render": "deepdraw.drawings.Rasterizer",
    "input": "deepdraw.drawings.PointSampler",
    "features": "deepdraw.features.FeatureOptions",
}
EVALUATE_GROUPS = {"features": "deepdraw.features.FeatureOptions"}
# Of each command the types of its keys, the places of a `_target_`, and the groups without one.
COMMANDS: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, str]]] = {
    "train": (TRAIN_TYPES, TRAIN_NODES, TRAIN_GROUPS),
    "evaluate": (EVALUATE_TYPES, EVALUATE_NODES, EVALUATE_GROUPS),
    "export": (EXPORT_TYPES, ("format",), {}),
}
EVALUATE_CHECK = "deepdraw.evaluation.check_asked"


def check_training(config: DictConfig, groups: Mapping[str, Callable[..., Any]]) -> None:
    """Raise ValueError, in one line that names the key, for a value of a wrong type in the config of train.py.

    groups: for each group without a `_target_`, the class that takes its keys, such as {"train": Recipe}.
    """
    _check(config, "train", groups)


def check_evaluation(config: DictConfig, groups: Mapping[str, Callable[..., Any]]) -> None:
    """The same for the config of evaluate.py."""
    _check(config, "evaluate", groups)


def check_before_imports(command: str, config: DictConfig) -> None:
    """What of the check of a command's config needs no import of torch: all but the values of others' classes."""
    from hydra.utils import get_object

    groups = {key: get_object(target) for key, target in COMMANDS[command][2].items()}
    _check(config, command, groups, importing=False)
    check_device_name(str(config.get("device")))
    if command == "evaluate":
        get_object(EVALUATE_CHECK)(config)


def make(config: DictConfig, key: str, *positional: Any, **named: Any) -> Any:
    """The object that the config of `key` names. These arguments are passed to it besides the config's own.

    Those that the role of the key only offers are passed where the class takes them.

    Raises ValueError, in one line, if the class cannot be imported, does not take an option, or refuses its value.
    """
    from hydra.utils import get_object, instantiate

    check_node(key, OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    if (role := role_of(key)) is not None and role.offered:
        refused = {*role.offered} - {*taken(get_object(config._target_), role.offered)}
        named = {name: value for name, value in named.items() if name not in refused}
    try:
        return instantiate(config, *positional, **named)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise


def _check(
    config: DictConfig, command: str, groups: Mapping[str, Callable[..., Any]], *, importing: bool = True
) -> None:
    kinds, nodes, _ = COMMANDS[command]
    check_unread(config, command, (*kinds, *nodes, *groups, "logger", "metric"), groups)
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    for key in dict.fromkeys([*groups, *(key.partition(".")[0] for key in kinds if "." in key)]):
        if not isinstance(plain.get(key), Mapping):
            raise ValueError(f"{key}={plain.get(key)} is no group of options: leave out {key}=")
    for key, kind in kinds.items():
        if (value := _at(plain, key)) is not ABSENT:
            check_value(key, value, kind)
    for key, (low, high) in RANGES.items():
        if isinstance(value := _at(plain, key), int) and not low <= value <= high:
            raise ValueError(f"{key}={value} must lie between {low} and {high}")
    for key, (least, why_not) in LEAST.items():
        if type(value := _at(plain, key)) is int and value < least:
            raise ValueError(f"{key}={value} {why_not}")
    for key in nodes:
        check_node(key, None if (node := _at(plain, key)) is ABSENT else node, importing=importing)
    for key, call in groups.items():
        check_arguments(key, call, plain[key], importing=importing)
    for several, example in (("logger", "csv,wandb"), ("metric", "kappa")):
        parts = plain.get(several) or {}
        if not isinstance(parts, Mapping):
            raise ValueError(f"{several}={parts} names no {several}s: choose such as {several}=[{example}]")
        for name, part in parts.items():
            check_node(f"{several}.{name}", part, importing=importing)
    for key, call in groups.items():
        call(**plain[key])  # raises ValueError for values out of range


def _at(config: Any, key: str) -> Any:
    """The value at a dotted key, or ABSENT."""
    for part in key.split("."):
        config = config.get(part, ABSENT) if isinstance(config, Mapping) else ABSENT
    return config
