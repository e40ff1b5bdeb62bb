"""Experiments beside other choices: `experiment=scratch backbone=resnet50` trains ResNet-50, as its own file says.

What an experiment sets below a group (`backbone:`, `freeze:`, ...) is meant for the option that it chooses. Where the
command chooses another option, these settings are left out, and so are those that the other option sets elsewhere, such
as the `optimizer.backbone_lr` of freeze=lora. All else of the experiment holds.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict

from deepdraw.runtime import shown

FOLDER = "experiment/"
_left_out: dict[str, list[str]] = {}  # of each experiment in the latest composition, the settings without effect
_said: set[str] = set()


@contextmanager
def experiments_follow_choices() -> Iterator[None]:
    """Meanwhile Hydra composes experiments so. Raises ValueError for a Hydra whose private parts may be others."""
    if hydra.__version__.split(".")[:2] != ["1", "3"]:
        raise ValueError(f"Hydra {hydra.__version__} is installed: deepdraw needs 1.3 (pip install 'hydra-core<1.4')")
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
        _left_out.clear()

        def loaded(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
            result = load(self, default, repo)
            if keys := dropped.get(str(default.config_path)):
                result = copy.copy(result)
                result.config, _left_out[str(default.config_path)] = _without(result.config, keys)
            return result

        with _replaced(ConfigLoaderImpl, "_load_single_config", loaded):
            return compose(self, defaults, repo)

    with (
        _replaced(config_loader_impl, "create_defaults_list", chosen),
        _replaced(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed),
    ):
        yield


def say_what_was_left_out() -> None:
    """One line, once, for the settings of an experiment that the latest composition left out; of ranks, 0 alone."""
    for experiment, keys in _left_out.items():
        line = f"{experiment.replace('/', '=', 1)}: left out, since another option is chosen: {', '.join(keys)}"
        if keys and line not in _said and os.environ.get("RANK", "0") == "0":
            print(shown(line), file=sys.stderr)
        _said.add(line)


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


def _without(config: Any, keys: list[str]) -> tuple[Any, list[str]]:
    """A config without these keys and what is below them, and the dotted keys of the values that it had there."""
    config, before = copy.deepcopy(config), list(_leaves(config))
    with open_dict(config):
        for key in keys:
            parent, _, name = key.rpartition(".")
            node = OmegaConf.select(config, parent) if parent else config
            if isinstance(node, DictConfig) and name in node:
                del node[name]
    left_out = set(before) - set(_leaves(config))
    return config, [key for key in before if key in left_out]
