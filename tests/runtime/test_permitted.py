"""What the config of a checkpoint may name: in each place what conf/ offers there, with no import to refuse it."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from deepdraw.config.permitted import check_config
from deepdraw.config.roles import ROLES, Role, role_of

CONF = Path(__file__).parents[2] / "conf"
BEST = Path("best.pt")
BACKBONE = {"_target_": "deepdraw.models.backbones.TimmBackbone", "name": "resnet10t", "pretrained": False}
CONFIG = {
    "seed": 42,
    "backbone": {**BACKBONE, "_convert_": "all", "options": {"channels": [8, 8, 8, 8]}},
    "head": {"_target_": "deepdraw.models.Linear"},
    "optimizer": {
        "_target_": "deepdraw.training.build_optimizer",
        "algorithm": {"_target_": "torch.optim.AdamW", "_partial_": True, "betas": [0.9, 0.999]},
    },
    "logger": {"csv": {"_target_": "deepdraw.loggers.CSVLogger", "_partial_": True}},
    "data": {"root": "data", "source": {"_target_": "deepdraw.data.Shards", "root": "data"}},
}


def refusal(config: Any, trust: tuple[str, ...] = ()) -> str:
    with pytest.raises(ValueError) as refused:
        check_config(config, BEST, trust)
    message = str(refused.value)
    assert message.startswith("best.pt: its config ")
    assert "\n" not in message
    return message


def offered() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Of each place in a config of train.py: what the YAML files name there, and Hydra's own keys in them."""
    targets: dict[str, set[str]] = {}
    keys: dict[str, set[str]] = {}

    def look(node: Any, place: str) -> None:
        if not isinstance(node, dict):
            return
        if "_target_" in node:
            targets.setdefault(place, set()).add(node["_target_"])
            keys.setdefault(place, set()).update(key for key in node if key[0] == "_" and key != "_target_")
        for key, below in node.items():
            name = "*" if place in ("logger", "metric") else key
            if place or key != "hydra":
                look(below, f"{place}.{name}" if place else name)

    look(yaml.safe_load((CONF / "train.yaml").read_text()), "")
    for file in CONF.glob("*/*.yaml"):
        group, content = file.parent.name, yaml.safe_load(file.read_text()) or {}
        if group in ("protocol", "hydra", "local"):
            continue  # of evaluate.py, of Hydra, and of one machine
        whole = group == "experiment" or group in content  # such as head/grid.yaml, which is packaged as _global_
        look(content if whole else {group: content}, "")
    return targets, keys


def test_the_list_is_what_the_yaml_files_offer():
    targets, keys = offered()
    for part in (targets, keys):
        part.pop("format")  # of python -m deepdraw.export, which no checkpoint names
    copied = targets["fit.schedule"]
    assert copied == {"${schedule._target_}"}  # and fit.algorithm is a copy of optimizer.algorithm
    targets |= {"fit.schedule": targets["schedule"], "fit.algorithm": targets["optimizer.algorithm"]}
    keys["fit.algorithm"] = keys["optimizer.algorithm"]
    names = ("Fused", "Strokes", "StrokeStem", "StrokeTransformer")
    fused, *strokes = (f"deepdraw.models.backbones.{name}Backbone" for name in names)
    # the halves of backbone=fused are other options of that group
    targets |= {"backbone.pixels": targets["backbone"] - {fused, *strokes}, "backbone.strokes": set(strokes)}
    keys |= dict.fromkeys(("backbone.pixels", "backbone.strokes"), keys["backbone"])
    # so are the policies of both halves
    halves = ("freeze.pixels", "freeze.strokes")
    targets |= dict.fromkeys(halves, targets["freeze"] - {"deepdraw.models.freezing.halves"})
    keys |= {half: {"_partial_"} for half in halves}
    assert {place: set(role.targets) for place, role in ROLES.items()} == targets
    assert {place: set(role.keys) for place, role in ROLES.items()} == keys


def test_a_config_of_our_own_passes():
    check_config(CONFIG, BEST)


def nested(place: str, node: Any) -> dict[str, Any]:
    """A config that holds a node in a dotted place."""
    for key in reversed(place.replace("*", "csv").split(".")):
        node = {key: node}
    return node


@pytest.mark.parametrize(("place", "role"), ROLES.items(), ids=ROLES)
def test_each_place_takes_what_its_role_lists_and_nothing_that_another_lists(place: str, role: Role):
    for other in ROLES.values():
        for target in other.targets:
            config = nested(place, {"_target_": target})
            if target in role.targets:
                check_config(config, BEST)
            else:
                assert f"the foreign _target_ {target!r} for {place.replace('*', 'csv')}, which was not run" in refusal(
                    config
                )


FOREIGN = [
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "builtins.eval",
    "eval",
    "torch.load",
    "torch.hub.load",
    "numpy.load",
    "shutil.rmtree",
    "deepdrawer.evil.run",  # begins like deepdraw
    "torch.optim.Adam",  # an optimizer that conf/ does not offer
    "timm.models.load_state_dict",  # takes weights_only=False
    "open_clip.load_state_dict",
    "deepdraw.runtime.run.os.system",  # what our own modules import
    "deepdraw.sweep.snapshot.subprocess.run",
    "deepdraw.sweep.slurm._ask",  # what our own modules do
    "deepdraw.inference.predict.main",
    "deepdraw.models.MLP.__init__.__globals__.get",
    "deepdraw.models.Linear.__base__.__subclasses__",
    "deepdraw.models.heads.__loader__.get_data",
    "deepdraw.models.heads.Lineal",
    " deepdraw.models.Linear",
    "deepdraw.models.Linear\n",
    "",
]


@pytest.mark.parametrize("target", FOREIGN)
def test_a_foreign_target_is_refused(target):
    message = refusal({"head": {"_target_": target}})
    assert f"names the foreign _target_ {target!r} for head, which was not run" in message


def test_a_refusal_names_the_package_that_would_have_to_be_trusted():
    assert refusal({"head": {"_target_": "ours.Own"}}).endswith("if you trust it, add trust=[ours]")
    assert refusal({"head": {"_target_": "ours.Own"}}, ("theirs",)).endswith("add trust=[theirs,ours]")
    assert refusal({"head": {"_target_": "deepdraw.inference.predict.main"}}).endswith("use one that deepdraw wrote")


MISPLACED = {
    "the config itself": {"_target_": "deepdraw.models.Linear"},
    "seed": {"seed": {"_target_": "deepdraw.models.Linear"}},
    "render": {"render": {"_target_": "deepdraw.models.Linear"}},
    "data": {"data": {"_target_": "deepdraw.data.Shards"}},
    "logger": {"logger": {"_target_": "deepdraw.loggers.CSVLogger"}},
    "logger.csv.x": {"logger": {"csv": {"x": {"_target_": "deepdraw.loggers.CSVLogger"}}}},
    "logger.0": {"logger": [{"_target_": "deepdraw.loggers.CSVLogger"}]},
    "data.source": {"data.source": {"_target_": "deepdraw.data.Shards"}},
    "backbone.options": {"backbone": {**BACKBONE, "options": {"_target_": "deepdraw.models.Linear"}}},
    "backbone.options.depths.1": {"backbone": {**BACKBONE, "options": {"depths": [1, {"_target_": "os.system"}]}}},
    "head.head": {"head": {"head": {"_target_": "deepdraw.models.Linear"}}},
    "optimizer.schedule": {"optimizer": {"schedule": {"_target_": "deepdraw.training.cosine"}}},
}


@pytest.mark.parametrize("place", MISPLACED)
def test_a_target_is_refused_where_no_yaml_has_one(place):
    message = refusal(MISPLACED[place])
    assert "has a _target_" in message
    assert f"in {place}, where none belongs" in message


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("head", "_args_", ["touch", "x"]),
        ("head", "_partial_", True),
        ("head", "_recursive_", False),
        ("head", "_convert_", "all"),
        ("head", "_other_", 1),
        ("backbone", "_args_", []),
        ("backbone", "_partial_", True),
        ("optimizer.algorithm", "_convert_", "all"),
        ("render", "_partial_", True),
    ],
)
def test_hydras_own_keys_are_refused_where_no_yaml_has_them(place, key, value):
    node = {"_target_": ROLES[place].targets[0]} if place in ROLES else {}
    assert f"in {place}, where none belongs" in refusal(nested(place, {**node, key: value}))


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("backbone", "_convert_", "x"),
        ("optimizer.algorithm", "_partial_", "yes"),
        ("optimizer.algorithm", "_partial_", []),
    ],
)
def test_hydras_own_keys_take_their_own_values_alone(place, key, value):
    (target, *_) = role_of(place).targets
    assert f"for a {key} in {place}" in refusal(nested(place, {"_target_": target, key: value}))


@pytest.mark.parametrize("target", [["os.system"], {"_target_": "os.system"}, 3, None, True])
def test_a_target_that_is_no_name_is_refused(target):
    assert "for a _target_ in head" in refusal({"head": {"_target_": target}})


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "x${seed}", "${oc.env:${seed}}"])
def test_an_interpolation_is_refused(text):
    for config in ({"data": {"root": text}}, {"data": [text]}, {"data": {text: 1}}):
        assert f"the interpolation {text!r}, which was not read" in refusal(config)


def deep(levels: int) -> list[Any]:
    """A list in a list in a list ..."""
    return [deep(levels - 1)] if levels else []


def wide(levels: int) -> list[Any]:
    """Lists that stand for 10 ** levels values, in a few hundred bytes of a pickle."""
    part: list[Any] = [1] * 10
    for _ in range(levels - 1):
        part = [part] * 10
    return part


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "config",
    [
        "head: {_target_: os.system}",  # OmegaConf.create reads YAML in a string, and tuples as lists
        {"head": ({"_target_": "os.system"},)},
        {"head": OrderedDict({"_target_": "os.system"})},
        [{"_target_": "os.system"}],
        {"head": {1, 2}},
        {"head": torch.ones(2)},
        {"head": {2: 3}, None: 1},
        {"head": b"bytes"},
        {"seed": "???"},  # a value that is missing, to OmegaConf
        {"seed": 10**30},
        {"seed": "x" * 100_000},
        {"seed": deep(500)},
        {"seed": wide(12)},
        {"seed": ENDLESS},
        None,
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_config_that_is_no_small_tree_of_plain_values_is_refused(config):
    assert refusal(config).endswith("was not read: use one that deepdraw wrote")


OURS = """
import os
from fractions import Fraction
from deepdraw.data.shards import Shards
from deepdraw.models.backbones import Backbone
from deepdraw.models.heads import Linear

class OwnHead(Linear):
    pass

class OwnBackbone(Backbone):
    pass

class OwnSource:
    def split(self, name):
        return None

class NoPart:
    pass

def own_freeze(groups):
    return []

def head(num_features, num_classes):
    return Linear(num_features, num_classes)
"""


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A package `ours` that can be imported, and has not been."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/__init__.py").touch()
    (tmp_path / "ours/parts.py").write_text(OURS)
    (tmp_path / "ours/__main__.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("ours", "ours.parts", "ours.__main__"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("place", "name"),
    [("head", "OwnHead"), ("backbone", "OwnBackbone"), ("data.source", "OwnSource"), ("freeze", "own_freeze")],
)
def test_trust_admits_a_packages_own_parts_of_the_right_kind(ours, place, name):
    config = nested(place, {"_target_": f"ours.parts.{name}"})
    assert "add trust=[ours]" in refusal(config)
    assert "add trust=[our,ours]" in refusal(config, ("our",))
    assert "ours" not in sys.modules
    check_config(config, BEST, ["ours"])


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        ("head", "parts.head", "it is no class, and trust admits classes alone"),
        ("head", "parts.NoPart", "it is no subclass of torch.nn.Module"),
        ("head", "parts.Fraction", "it is defined in fractions, which trust=[ours] does not name"),
        ("head", "parts.Linear", "it is defined in deepdraw.models.heads"),
        ("head", "parts.os.system", "it is defined in posix"),
        ("head", "parts.os", "it is defined in None"),
        ("head", "parts.OwnHead.__init__", "only public names are taken"),
        ("head", "__main__.Own", "only public names are taken"),
        ("head", "parts.Gone", "it is not here"),
        ("head", "gone.Own", "it is not here"),
        ("backbone", "parts.OwnHead", "it is no subclass of deepdraw.models.backbones.Backbone"),
        ("data.source", "parts.NoPart", "it has no method split()"),
        ("data.source", "parts.Shards", "it is defined in deepdraw.data.shards"),
        ("freeze", "parts.os.system", "it is defined in posix"),
    ],
)
def test_trust_admits_nothing_else(ours, place, name, reason):
    assert reason in refusal(nested(place, {"_target_": f"ours.{name}"}), ("ours",))


def test_trust_runs_no_import_for_a_config_that_is_refused_anyway(ours):
    config = {"head": {"_target_": "ours.parts.OwnHead"}, "freeze": {"_target_": "os.system"}}
    assert "the foreign _target_ 'os.system' for freeze" in refusal(config, ("ours",))
    assert "ours" not in sys.modules
