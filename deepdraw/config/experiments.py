"""Experiments beside other choices: `experiment=scratch backbone=resnet50` trains ResNet-50, as its own file says.

What an experiment sets below a group (`backbone:`, `freeze:`, ...) is meant for the option that it chooses. Where the
command chooses another option, these settings are left out, and so are those that the other option sets elsewhere, such
as the `optimizer.backbone_lr` of freeze=lora. All else of the experiment holds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict

FOLDER = "experiment/"


@contextmanager
def experiments_follow_choices() -> Iterator[None]:
    """Meanwhile Hydra composes experiments so."""
    choose, load = config_loader_impl.create_defaults_list, ConfigLoaderImpl._load_single_config
    compose = ConfigLoaderImpl._compose_config_from_defaults_list
    latest: list[DefaultsList] = []

    def chosen(*arguments: Any, **options: Any) -> DefaultsList:
        latest[:] = [choose(*arguments, **options)]
        return latest[0]

    def composed(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        choices = latest[0].overrides.known_choices
        names = dict.fromkeys(str(one.config_path) for one in defaults if str(one.config_path).startswith(FOLDER))
        dropped = {name: _foreign_settings(self, name, choices, defaults, repo) for name in names}

        def loaded(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
            result = load(self, default, repo)
            if keys := dropped.get(str(default.config_path)):
                result = copy.copy(result)
                result.config = _without(result.config, keys)
            return result

        with _replaced(ConfigLoaderImpl, "_load_single_config", loaded):
            return compose(self, defaults, repo)

    with (
        _replaced(config_loader_impl, "create_defaults_list", chosen),
        _replaced(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, by: Any) -> Iterator[None]:
    """Meanwhile an attribute has another value: Hydra has no hook for what is done here."""
    before = getattr(owner, name)
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _foreign_settings(
    loader: ConfigLoaderImpl,
    experiment: str,
    choices: Mapping[str, str | None],
    defaults: list[ResultDefault],
    repo: IConfigRepository,
) -> list[str]:
    """The dotted keys that an experiment sets for other options than those that are chosen."""
    primary = next(str(one.config_path) for one in defaults if one.primary and one.config_path != "hydra/config")
    choice = OverridesParser.create().parse_override(f"{FOLDER[:-1]}={experiment.removeprefix(FOLDER)}")
    own = create_defaults_list(repo, primary, [choice], prepend_hydra=True, skip_missing=True).overrides.known_choices
    keys = []
    for group, option in choices.items():
        if group.startswith("hydra/") or own.get(group, option) == option:
            continue
        folder, _, package = group.partition("@")
        package = package or folder.replace("/", ".")
        keys.append(package)
        for default in defaults:
            if f"{folder}/{option}" in (default.config_path, default.parent):
                config = loader._load_single_config(default, repo).config
                keys += [key for key in _leaves(config) if not key.startswith(f"{package}.")]
    return keys


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
