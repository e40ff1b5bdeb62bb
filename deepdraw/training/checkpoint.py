"""Checkpoints: written whole or not at all, read only as they were written and without running code."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch

from deepdraw.models.weights import UNREADABLE
from deepdraw.runtime.distributed import rank
from deepdraw.runtime.reading import open_regular
from deepdraw.runtime.seals import check_seal, write_sealed

TRUSTED = ("deepdraw", "torch.optim", "timm.optim")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a sealed archive whole or not at all: a reader finds the old checkpoint or the new one.

    Of several ranks the first alone writes. Raises OSError, naming `path`, where the disk refuses.
    """
    if rank() == 0:
        write_sealed(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values alone, and the very bytes that were written.

    Whoever instantiates its config must put it through `check_config` first. Raises ValueError, in one line, for a file
    that is missing or damaged, that holds more than tensors and plain values, or that deepdraw did not write.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}: correct the path, or put the run's own file back")
    damaged = f"{path} is cut short, damaged or holds code, and was not loaded"
    fix = "fetch it anew, or train again in another hydra.run.dir"
    with open_regular(path, fix=fix) as file:
        if not check_seal(file):
            raise ValueError(f"{damaged}: {fix}")
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            raise ValueError(f"{damaged}: {fix}") from error
    if not isinstance(content, dict) or not {"config", "classes", "model"} <= content.keys():
        raise ValueError(f"{path} is no deepdraw checkpoint: give the path of a best.pt or last.pt of train.py")
    return content


def load_last(checkpoints: Path) -> dict[str, Any] | None:
    """The `last.pt` from which a run goes on, or None where there was no run.

    Raises ValueError, in one line, where last.pt or best.pt is damaged, or missing though the run had written it:
    better now than after the last epoch.
    """
    last, best = checkpoints / "last.pt", checkpoints / "best.pt"
    if not last.exists() and not best.exists():
        return None
    former = load_checkpoint(last)
    if "optimizer" not in former:
        raise ValueError(
            f"{last} has no optimizer state, as if it were a best.pt: "
            "put the run's own last.pt back, or train again in another hydra.run.dir"
        )
    if former["best"]:
        load_checkpoint(best)
    return former


def check_config(config: Any, path: Path, trust: Collection[str] = ()) -> None:
    """Raise ValueError where the config of checkpoint `path` would make `hydra.utils.instantiate` run foreign code.

    Foreign is what deepdraw, torch.optim, timm.optim or a package in `trust` merely imports, too. An interpolation
    could read the environment, and OmegaConf makes dicts of more than dicts: no config that deepdraw saved has either.
    """
    if not isinstance(config, dict):
        raise ValueError(
            f"{path}: its config is a {type(config).__name__} and was not read: use one that deepdraw wrote"
        )
    for part in _parts(config):
        if not isinstance(part, dict | list | str | int | float | None):
            raise ValueError(
                f"{path}: its config holds a {type(part).__name__} and was not read: use one that deepdraw wrote"
            )
        if isinstance(part, str) and "${" in part:
            raise ValueError(
                f"{path}: its config holds the interpolation {part!r}, which was not read: use one that deepdraw wrote"
            )
        if isinstance(part, dict) and "_target_" in part:
            _check_target(part["_target_"], path, (*TRUSTED, *trust))


def _check_target(target: Any, path: Path, trusted: Collection[str]) -> None:
    if not isinstance(target, str):
        raise ValueError(f"{path}: its config has {target!r} for a _target_: use one that deepdraw wrote")
    foreign = ValueError(
        f"{path}: its config names the foreign _target_ {target!r}, which was not run: "
        f"if you trust it, add trust=[{target.split('.')[0]}]"
    )
    if not _inside(target, trusted):
        raise foreign
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: its config names the _target_ {target!r}, which is not here: install the version that wrote it"
        ) from error
    if not _inside(str(getattr(found, "__module__", None)), trusted):  # such as deepdraw.some_module.os.system
        raise foreign


def _inside(name: str, packages: Collection[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _parts(config: Any) -> Iterator[Any]:
    """The config and everything in it, keys too, outermost first."""
    yield config
    if isinstance(config, dict):
        config = [*config.keys(), *config.values()]
    if isinstance(config, list):
        for part in config:
            yield from _parts(part)
