"""Everything that a checkpoint could name, in each place of its config: prints as JSON what came of it.

Run as a script, since an audit hook, which sees every file, process and socket opened, cannot be taken away again.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm.optim
import torch.optim

import deepdraw
from deepdraw.config.permitted import check_config
from deepdraw.config.roles import ROLES

BEST = Path("best.pt")
PLACES = [place.replace("*", "csv") for place in ROLES]
ODD = [
    "seed",
    "render",
    "render.size",
    "data",
    "data.root",
    "features",
    "train.epochs",
    "classes",
    "logger",
    "protocol",
]
ODD += ["backbone.options", "backbone.options.channels", "backbone.pretrained", "backbone.algorithm", "head.hidden"]
ODD += ["optimizer.lr", "optimizer.algorithm.betas", "optimizer.schedule", "fit.lrs", "freeze.groups"]
ODD += ["logger.csv.project", "data.source.root", "precision.name", "hydra.callbacks.any", ""]
WATCHED = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "exec", "import", "compile", "signal.")

happened: list[tuple[str, str]] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event.startswith(WATCHED):
        happened.append((event, repr(arguments)[:200]))


HINTS = ("__main__", "deepdraw.train", "deepdraw.evaluate")  # for those who type them as commands: no modules to import


def callables() -> tuple[set[str], set[str]]:
    """The names of all callables in the modules of deepdraw, torch.optim and timm.optim, and of their methods."""
    names: set[str] = set()
    methods: set[str] = set()
    for package in (deepdraw, torch.optim, timm.optim):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for module in [package.__name__, *(one.name for one in found if not one.name.endswith(HINTS))]:
            offered = importlib.import_module(module)
            for key in {*vars(offered), *dir(offered)}:  # a face tells what it offers by dir()
                value = getattr(offered, key)
                if callable(value):
                    names.add(f"{module}.{key}")
                if isinstance(value, type):
                    methods |= {f"{module}.{key}.{name}" for name, kind in vars(value).items() if callable(kind)}
    return names, methods


def holding(place: str, node: Any) -> Any:
    """A config that holds a node in a dotted place."""
    for key in reversed(place.split(".") if place else []):
        node = {key: node}
    return node


def cases(names: set[str], methods: set[str]) -> Iterator[tuple[str, str, Any]]:
    """Places, names and configs: the name alone in each place, in a list there, and with arguments beside it."""
    for name in sorted(names):
        for place in (*PLACES, *ODD):
            yield place, name, holding(place, {"_target_": name})
        for place in PLACES:
            yield "a list", name, holding(place, [{"_target_": name}])
            yield "arguments", name, holding(place, {"_target_": name, "_args_": ["touch", "made"]})
    for name in sorted(methods):
        yield "head", name, holding("head", {"_target_": name})


def walk() -> dict[str, Any]:
    global watching
    warnings.simplefilter("ignore")
    names, methods = callables()
    tried, accepted, wrong = 0, [], []
    sys.addaudithook(watch)
    watching = True
    for place, name, config in cases(names, methods):
        tried += 1
        try:
            check_config(config, BEST)
        except ValueError as error:
            message = str(error)
            if "\n" in message or not message.startswith("best.pt: its config "):
                wrong.append((place, name, message))
        else:
            accepted.append((place, name))
    watching = False
    offered = [(place.replace("*", "csv"), target) for place, role in ROLES.items() for target in role.targets]
    found = {"tried": tried, "names": len(names | methods), "wrong": wrong[:20], "happened": happened[:20]}
    return {**found, "refused": sorted({*offered} - {*accepted}), "admitted": sorted({*accepted} - {*offered})}


if __name__ == "__main__":
    print(json.dumps(walk()))
