"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch

TRUSTED = ("deepdraw", "torch.optim", "timm", "open_clip")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write beside `path`, then rename: a reader finds the old checkpoint or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load_checkpoint(path: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values alone.

    Raises ValueError, in one line, for a file that is missing or cut short, that holds more than tensors and plain
    values, or whose config names a `_target_` outside deepdraw, torch.optim, timm, open_clip and the packages in `trust`.
    """
    if not path.exists():
        raise ValueError(f"there is no checkpoint {path}: give ckpt=RUN/checkpoints/best.pt")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged or holds code and was not loaded ({reason})") from error
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no whole checkpoint ({reason}): use another, such as last.pt") from error
    if not isinstance(content, dict) or not {"config", "classes", "model"} <= content.keys():
        raise ValueError(f"{path} is not a deepdraw checkpoint: it lacks config, classes or model")
    check_config(content["config"], path, trust)
    return content


def check_config(config: Any, path: Path, trust: Collection[str] = ()) -> None:
    """Raise ValueError where a checkpoint's config would make `hydra.utils.instantiate` run foreign code."""
    from hydra.utils import get_object

    for text in _strings(config):
        if "${" in text:
            raise ValueError(f"{path}: its config holds the interpolation {text!r}; deepdraw saves resolved configs only")
    for target in _targets(config):
        allowed = (*TRUSTED, *trust)
        foreign = ValueError(
            f"{path}: its config names the foreign _target_ {target!r}, which was not run; "
            f"if you trust it, add trust=[{str(target).split('.')[0]}]"
        )
        if not isinstance(target, str) or not _inside(target, allowed):
            raise foreign
        try:
            found = get_object(target)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{path}: its config names the _target_ {target!r}, which does not exist here") from error
        if not _inside(getattr(found, "__module__", ""), allowed):  # such as deepdraw.some_module.os.system
            raise foreign


def _inside(name: str, packages: Collection[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _targets(config: Any) -> Iterator[Any]:
    if isinstance(config, dict):
        if "_target_" in config:
            yield config["_target_"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _targets(value)


def _strings(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        yield from (text for pair in config.items() for value in pair for text in _strings(value))
    elif isinstance(config, list):
        yield from (text for value in config for text in _strings(value))
