"""Experiments beside other choices: `experiment=scratch backbone=resnet50` trains ResNet-50, as its own file says.

What an experiment sets below a group (`backbone:`, `freeze:`, ...) is meant for the option that it chooses, and what it
sets of the inputs (`render:`, `input:`) for its backbone. Where the command chooses another option, these settings are
left out, and so are those that the other option sets elsewhere, such as the `optimizer.backbone_lr` of freeze=lora. All
else of the experiment holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from deepdraw.config.hydra_parts import hydra_part, replaced
from deepdraw.config.suggestions import read_option
from deepdraw.runtime import find_rank, shown

INPUTS = ("render", "input")  # what a backbone sees of a drawing: an experiment sets it for its backbone
Load = Callable[[Sequence[str]], DictConfig]
_left_out: dict[str, list[str]] = {}  # of each experiment in the latest composition, the settings without effect
_said: set[str] = set()


@contextmanager
def experiments_follow_choices() -> Iterator[None]:
    """Meanwhile Hydra composes experiments so. A Hydra whose loader is elsewhere composes as it does by itself."""
    with replaced(_loader(), "load_configuration", _loads_and_follows):
        yield


def check_experiments(config: DictConfig) -> None:
    """Raise ValueError, in one line, for an experiment's settings that this Hydra gives to another option."""
    if _loader() is not None:
        return
    choices = config.hydra.runtime.choices
    for name in _names(choices.get("experiment")):
        content = _content(config, f"experiment/{name}")
        for group, option in _own_choices(content).items():
            settings = [key for key in _leaves(content) if key.startswith(f"{_package(group)}.")]
            if settings and choices.get(group, option) != option:
                raise ValueError(
                    f"experiment={name} sets {', '.join(settings)} for {group}={option}, and Hydra {hydra.__version__} "
                    f"gives them to {group}={choices[group]}, too: pip install 'hydra-core>=1.3.8,<1.4'"
                )


def say_what_was_left_out() -> None:
    """One line, once, for the settings of an experiment that the latest composition left out; of ranks, 0 alone."""
    for experiment, keys in _left_out.items():
        line = f"experiment={experiment}: left out, since another option is chosen: {', '.join(keys)}"
        if keys and line not in _said and find_rank().is_first:
            print(shown(line), file=sys.stderr)
        _said.add(line)


def _loader() -> Any:
    """The class of Hydra that composes; None for a Hydra that has it elsewhere."""
    return hydra_part("config_loader_impl.ConfigLoaderImpl")


def _loads_and_follows(load_configuration: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    @wraps(load_configuration)
    def loaded(
        self: ConfigLoader, config_name: str, overrides: list[str], run_mode: RunMode, *rest: Any, **options: Any
    ) -> DictConfig:
        def load(words: Sequence[str]) -> DictConfig:
            return load_configuration(self, config_name, list(words), run_mode, *rest, **options)

        config = load(overrides)
        _left_out.clear()
        if run_mode is RunMode.RUN and (foreign := _foreign(config, overrides, load)):
            listed = self.compute_defaults_list(config_name, overrides, run_mode).defaults
            _follow(config, overrides, foreign, listed, load)
        return config

    return loaded


def _foreign(config: DictConfig, words: Sequence[str], load: Load) -> dict[str, str]:
    """The groups of which another option is chosen than the experiment's own, and that option."""
    choices = {str(group): option for group, option in config.hydra.runtime.choices.items()}
    if not choices.get("experiment") or len({_key(word) for word in words} & choices.keys()) < 2:
        return {}
    same = [word for word in words if _key(word) == "experiment" or word.startswith("hydra")]
    own = load(same).hydra.runtime.choices
    return {
        group: option
        for group, option in choices.items()
        if not group.startswith("hydra/") and own.get(group, option) != option
    }


def _follow(
    config: DictConfig, words: Sequence[str], foreign: Mapping[str, str], listed: Sequence[ResultDefault], load: Load
) -> None:
    """Give a config what it has without its experiment, where that sets it for other options than the foreign ones."""
    packages = [_package(group) for group in foreign]
    replaced = [*packages, *(INPUTS if "backbone" in foreign else ())]
    chosen = {f"{group.partition('@')[0]}/{option}" for group, option in foreign.items()}
    for default in listed:
        if chosen & {default.config_path, default.parent}:
            content = _content(config, str(default.config_path))
            replaced += [key for key in _leaves(content, default.package) if not _is_below(key, packages)]
    experiments = [default for default in listed if str(default.config_path).startswith("experiment/")]
    contents = {str(one.config_path).partition("/")[2]: _content(config, str(one.config_path)) for one in experiments}
    kept = {group: option for content in contents.values() for group, option in _own_choices(content).items()}
    typed = {_key(word) for word in words}
    plain = [f"{group}={option}" for group, option in kept.items() if group not in foreign and group not in typed]
    plain += [_set_anyhow(word, config.hydra.runtime.choices, replaced) for word in words if _key(word) != "experiment"]
    without = load(plain)
    for name, content in contents.items():
        _left_out[name] = [key for key in _leaves(content) if _is_below(key, replaced)]
    for key in replaced:
        _take(config, without, key)


def _set_anyhow(word: str, choices: Collection[str], replaced: Iterable[str]) -> str:
    """An override that sets a key even where it is of the experiment alone; as it is for what is replaced."""
    key = _key(word)
    is_value = word.startswith(key) and "=" in word and key not in choices and "/" not in key and "@" not in key
    return f"++{word}" if is_value and not _is_below(key, replaced) and not key.startswith("hydra") else word


def _take(config: DictConfig, other: DictConfig, key: str) -> None:
    """Give a key the value that it has in another config; without one there, leave it out."""
    parent, _, name = key.rpartition(".")
    values: Any = OmegaConf.to_container(OmegaConf.select(other, parent) if parent else other, resolve=False)
    with open_dict(config):
        if isinstance(values, Mapping) and name in values:
            OmegaConf.update(config, key, values[name], merge=False, force_add=True)
            return
        node = OmegaConf.select(config, parent) if parent else config
        if isinstance(node, DictConfig) and name in node:
            del node[name]


def _content(config: DictConfig, name: str) -> dict[str, Any]:
    """The file of an option, where Hydra finds it."""
    files = (Path(one.path, f"{name}.yaml") for one in config.hydra.runtime.config_sources if one.schema == "file")
    return next((read_option(file) for file in files if file.is_file()), {})


def _own_choices(content: Mapping[str, Any]) -> dict[str, str]:
    """What a file chooses by `override /group: option` in its defaults list."""
    entries = [entry for entry in content.get("defaults") or () if isinstance(entry, Mapping)]
    pairs = [(str(group), option) for entry in entries for group, option in entry.items()]
    return {group.removeprefix("override ").lstrip("/"): str(option) for group, option in pairs if "override " in group}


def _leaves(content: Mapping[str, Any], package: str | None = "") -> Iterator[str]:
    """The dotted keys of the values of a file that stands at `package` in the whole config."""
    for key, value in content.items():
        whole = f"{package}.{key}" if package else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, whole)
        elif key != "defaults":
            yield whole


def _names(choice: Any) -> list[str]:
    """The experiments of a choice: one, none, or a list of several."""
    return [name.strip(" '\"") for name in str(choice or "").strip("[]").split(",") if name.strip(" '\"")]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _package(group: str) -> str:
    folder, _, package = group.partition("@")
    return package or folder.replace("/", ".")


def _is_below(key: str, places: Iterable[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)
