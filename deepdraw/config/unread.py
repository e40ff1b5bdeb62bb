"""Refuses what nothing reads: a key added to a config, by `+` or by a file of one's own, that changes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deepdraw.config.suggestions import groups_of, known_keys, suggest_key
from deepdraw.runtime import shown

BESIDE = {"hydra", "slurm"}  # slurm: what one cluster asks for, in conf/local/default.yaml, read by the launcher
INTERPOLATION = re.compile(r"\$\{([^${}]*)\}")


def check_unread(config: DictConfig, command: str, read: Iterable[str], classes: Collection[str]) -> None:
    """Raise ValueError, in one line, for a key that nothing reads in the config of `train` or `evaluate`.

    read: the dotted keys that the command reads; classes: the groups whose keys a class takes, which checks them.
    What an interpolation of the config names is read, and so is an option of a group of one's own.
    """
    read = {*read, *(key for key in known_keys(command) if "." not in key), *BESIDE}
    whole: Any = OmegaConf.to_container(config, resolve=False)
    plain = {str(key): value for key, value in whole.items()}
    named = " ".join(_interpolations(plain))
    tops = {key.partition(".")[0] for key in read} | set(groups_of(command)) | _chosen_groups(config)
    for key, value in plain.items():
        below = {one.partition(".")[2].partition(".")[0] for one in read if one.startswith(f"{key}.")}
        if key not in tops and not _is_node(value) and not _names(named, key):
            _refuse(key, value, command)
        if key in classes or key in BESIDE or not below or not isinstance(value, Mapping) or _is_node(value):
            continue
        for name, one in value.items():
            if name not in below and not _is_node(one) and not _names(named, name):
                _refuse(f"{key}.{name}", one, command)


def _refuse(key: str, value: Any, command: str) -> None:
    text = str(value) if isinstance(value, str | int | float) else "..."
    meant = suggest_key(f"{key}={text}", command)
    is_other = meant and not meant.startswith(f"{key}=")
    raise ValueError(shown(f"nothing reads {key}: {f'did you mean {meant}?' if is_other else 'leave it out'}"))


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _names(interpolations: str, key: Any) -> bool:
    return re.search(rf"(?<!\w){re.escape(str(key))}(?!\w)", interpolations) is not None


def _interpolations(value: Any) -> Iterator[str]:
    """The insides of all `${...}` of a config, those within others as well."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _interpolations(one)
    elif isinstance(value, list):
        for one in value:
            yield from _interpolations(one)
    elif isinstance(value, str):
        while found := INTERPOLATION.findall(value):
            yield from found
            value = INTERPOLATION.sub("", value)


def _chosen_groups(config: DictConfig) -> set[str]:
    """The groups of which Hydra has chosen an option, those of one's own included."""
    choices = OmegaConf.select(config, "hydra.runtime.choices")
    if choices is None and HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
    return {re.split("[/@]", str(group))[0] for group in choices or ()}
