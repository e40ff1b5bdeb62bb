"""Experiments beside other choices: `experiment=scratch backbone=resnet50` trains ResNet-50, as its own file says.

What an experiment sets below a group (`backbone:`, `freeze:`, ...) is meant for the option that it chooses. Where the
command chooses another option, these settings are left out, and so are those that the other option sets elsewhere, such
as the `optimizer.backbone_lr` of freeze=lora. All else of the experiment holds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict

FOLDER = "experiment/"


@contextmanager
def experiments_follow_choices() -> Iterator[None]:
    """Meanwhile Hydra composes experiments so."""
    compose, load = ConfigLoaderImpl._compose_config_from_defaults_list, ConfigLoaderImpl._load_single_config

    def composed(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        names = dict.fromkeys(str(one.config_path) for one in defaults if str(one.config_path).startswith(FOLDER))
        dropped = {name: _foreign_settings(self, name, defaults, repo) for name in names}

        def loaded(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
            result = load(self, default, repo)
            if keys := dropped.get(str(default.config_path)):
                result = copy.copy(result)
                result.config = _without(result.config, keys)
            return result

        ConfigLoaderImpl._load_single_config = loaded  # type: ignore[method-assign]
        try:
            return compose(self, defaults, repo)
        finally:
            ConfigLoaderImpl._load_single_config = load  # type: ignore[method-assign]

    ConfigLoaderImpl._compose_config_from_defaults_list = composed  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl._compose_config_from_defaults_list = compose  # type: ignore[method-assign]


def _foreign_settings(
    loader: ConfigLoaderImpl, experiment: str, defaults: list[ResultDefault], repo: IConfigRepository
) -> list[str]:
    """The dotted keys that an experiment sets for other options than those that are chosen."""
    primary = next(str(one.config_path) for one in defaults if one.primary and one.config_path != "hydra/config")
    choice = OverridesParser.create().parse_override(f"{FOLDER[:-1]}={experiment.removeprefix(FOLDER)}")
    own = create_defaults_list(repo, primary, [choice], prepend_hydra=True, skip_missing=True)
    own_paths = _paths(own.defaults)
    now_paths = _paths(defaults)
    keys = []
    for group, paths in now_paths.items():
        if own_paths.get(group, paths) == paths:
            continue
        package = group.rpartition("@")[2].replace("/", ".")
        keys.append(package)
        for default in defaults:
            if default.override_key == group:
                config = loader._load_single_config(default, repo).config
                keys += [key for key in _leaves(config) if not key.startswith(f"{package}.")]
    return keys


def _paths(defaults: list[ResultDefault]) -> dict[str, list[str]]:
    """The options chosen of each group, without Hydra's own groups and the experiment."""
    paths: dict[str, list[str]] = {}
    for one in defaults:
        key, path = one.override_key, one.config_path
        if key is not None and path is not None and not path.startswith(("hydra/", FOLDER)):
            paths.setdefault(key, []).append(path)
    return paths


def _leaves(config: Any, path: str = "") -> Iterator[str]:
    for key, value in config.items_ex(resolve=False):
        whole = f"{path}{key}"
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing() and len(value):
            yield from _leaves(value, f"{whole}.")
        else:
            yield whole


def _without(config: Any, keys: list[str]) -> Any:
    config = copy.deepcopy(config)
    with open_dict(config):
        for key in keys:
            parent, _, name = key.rpartition(".")
            node = OmegaConf.select(config, parent) if parent else config
            if isinstance(node, DictConfig) and name in node:
                del node[name]
    return config
