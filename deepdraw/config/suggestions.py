"""What someone meant who wrote a key or an option that there is not: the nearest one, with its group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deepdraw.config.other_names import BLOCKS, OTHER_KEYS, OTHER_OPTIONS, SIZES, frozen_blocks
from deepdraw.runtime import nearest_names, scripts_folder

BESIDE = ("experiment", "hydra", "local", "sweep")  # folders of conf/ that are no part of one class
OPTION_COMMENT = re.compile(r"#\s*python [^\n]*\n(?:#\s*python [^\n]*\n)*#\s*([^\n.(:,]+(?:\.\d[^\n.(:,]*)*)")
Keys = Mapping[str, Sequence[str]]


def typed_command(command: str) -> str:
    """How a command is typed: `python train.py`, or of a package `python -m deepdraw.export`."""
    return f"python {command}.py" if command in ("train", "evaluate") else f"python -m deepdraw.{command}"


def suggest_key(word: str, command: str, words: Sequence[str] = ()) -> str:
    """What an override `word`, whose key is unknown to train.py or evaluate.py, should have been: `optimizer.lr=1e-3`.

    words: all overrides, by which some options are chosen. An empty text where nothing is near.
    """
    key, _, value = word.lstrip("+~").partition("=")
    if key in BLOCKS:
        return frozen_blocks(value)
    keys = known_keys(command)
    chosen = _chosen(command, words)
    found = next(_near(key, keys, chosen), None)
    if found is None:
        return ""
    choices = keys.get(found, ())
    needed = "" if _is_here(choices, chosen) else f"{choices[0]} "
    return f"{needed}{found}={value}"


def keys_below(group: str, command: str, words: Sequence[str] = ()) -> list[str]:
    """The keys that `group` has with the options that are chosen, without the group: for lists in messages."""
    chosen = _chosen(command, words)
    here = [key for key, choices in known_keys(command).items() if _is_here(choices, chosen)]
    return [key.removeprefix(f"{group}.") for key in here if key.startswith(f"{group}.")]


def suggest_option(group: str, option: str, options: Iterable[str]) -> str:
    """What `group=option` should have been, with a word on what it is; an empty text where nothing is near."""
    options = list(options)
    if group == "freeze" and (option.isdigit() or option.startswith("[")):
        return f"write {frozen_blocks(option)}"
    if group == "freeze" and (counted := re.fullmatch(r"(first|last)[_-]?(\d+)", option)):
        return f"write freeze={counted[1]} freeze.n={counted[2]}"
    if other := OTHER_OPTIONS.get(group, {}).get(option.lower()):
        return f"write {other}"
    family, _, size = option.replace("-", "_").lower().partition("_")
    of_size = [one for one in options if one.partition("_")[0] == family and size in SIZES]
    near = [one for one in of_size if SIZES[size] in _comment(group, one)] or nearest_names(option, options)
    if near:
        comment = _comment(group, near[0])
        return f"did you mean {near[0]}{f', which is {comment},' if of_size and comment else ''}?".replace(",?", "?")
    return ""


@cache
def known_keys(command: str) -> Keys:
    """Every dotted key that the config of `train` or `evaluate` may have, and the options that bring it along.

    A key of the command's own has no options. Read from the files of `conf/`, which takes no composing.
    """
    folder = scripts_folder() / "conf"
    keys: dict[str, list[str]] = {key: [] for key in _flat(read_option(folder / f"{command}.yaml"))}
    for group in groups_of(command):
        keys.setdefault(group, [])
        if group in BESIDE:
            continue
        for file in sorted((folder / group).glob("*.yaml")):
            content = read_option(file)
            is_global = file.read_text(encoding="utf-8").startswith("# @package _global_")
            for key in _flat(content if is_global or group in ("logger", "metric") else {group: content}):
                key = f"{group}.{key}" if group in ("logger", "metric") else key
                if key not in keys or keys[key]:
                    choice = f"{group}=[{file.stem}]" if group in ("logger", "metric") else f"{group}={file.stem}"
                    keys.setdefault(key, []).append(choice)
    launchers = sorted((folder / "hydra/launcher").glob("*.yaml")) if command == "train" else []
    for file in launchers:
        for key in _flat(read_option(file)):
            keys.setdefault(f"hydra.launcher.{key}", []).append(f"hydra/launcher={file.stem}")
    return keys


@cache
def groups_of(command: str) -> dict[str, str]:
    """The config groups in the defaults list of `train` or `evaluate`, and the option chosen of each."""
    found = {}
    for entry in read_option(scripts_folder() / "conf" / f"{command}.yaml").get("defaults", []):
        for group, option in entry.items() if isinstance(entry, dict) else ():
            if not group.startswith(("override ", "optional ")):
                found[group] = str(option)
    return found


def _near(key: str, keys: Keys, chosen: Mapping[str, str]) -> Iterator[str]:
    """The known keys that `key` may stand for, the likeliest first."""
    group, _, _ = key.partition(".")
    last = key.rpartition(".")[2]
    if key in keys:
        yield key  # which another option of its group has
    for name in (key, last):
        if name in OTHER_KEYS and (OTHER_KEYS[name] in keys or OTHER_KEYS[name].startswith(("hydra.", "+"))):
            yield OTHER_KEYS[name]
    order = sorted(keys, key=lambda one: (not one.startswith(f"{group}."), not _is_here(keys[one], chosen)))
    order = sorted(order, key=lambda one: one.count("."))
    yield from (one for one in order if one.rpartition(".")[2] == last)
    beside = {one.rpartition(".")[2]: one for one in reversed(order) if one.startswith(f"{group}.")}
    yield from (beside[one] for one in nearest_names(last, beside))
    if "." in key and any(one.startswith(f"{group}.") for one in keys):
        return  # the keys of that group are listed instead
    yield from nearest_names(key, [one for one in order if "." not in one])
    anywhere = {one.rpartition(".")[2]: one for one in reversed(order) if _is_here(keys[one], chosen)}
    yield from (anywhere[one] for one in nearest_names(last, anywhere))


def _is_here(choices: Sequence[str], chosen: Mapping[str, str]) -> bool:
    pairs = (choice.partition("=") for choice in choices)
    return not choices or any(chosen.get(group) == option.strip("[]") for group, _, option in pairs)


def _chosen(command: str, words: Sequence[str]) -> dict[str, str]:
    chosen = {group: option for group, option in groups_of(command).items() if group not in BESIDE}
    chosen["hydra/launcher"] = "basic"
    for group, _, option in (word.lstrip("+").partition("=") for word in words):
        if group in chosen:
            chosen[group] = option
    return chosen


def _comment(group: str, option: str) -> str:
    """What the comment at the head of an option's file calls it: `DINOv2 ViT-L/14 with registers`."""
    file = scripts_folder() / "conf" / group / f"{option}.yaml"
    match = OPTION_COMMENT.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return match[1].strip() if match else ""


def read_option(file: Path) -> dict[str, Any]:
    """What a file of a config directory says, in plain values; nothing where it is no mapping."""
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return content if isinstance(content, dict) else {}


def _flat(content: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The dotted keys of a config that hold a value; those of Hydra and of the defaults list are left out."""
    for key, value in content.items():
        if str(key).startswith("_") or (not path and key in ("defaults", "hydra")):
            continue
        whole = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield whole
            yield from _flat(value, f"{whole}.")
        else:
            yield whole
