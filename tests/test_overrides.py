"""Override values of a wrong type: each ends in one line that names its key, before anything is built or written."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from pathlib import Path
from traceback import extract_tb
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from deepdraw.config.compose_errors import compose_line
from deepdraw.config.making import check_evaluation, check_training
from deepdraw.drawings.raster import Rasterizer
from deepdraw.features.cache import FeatureOptions
from deepdraw.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
WRONG = {
    "whole": ["'1'", "abc", "''", "1.5", "1e3", "true", "[1]", "{a: 1}", "null"],
    "number": ["'0.1'", "abc", "''", "true", "[0.1]", "{a: 1}", "null", "1_x"],
    "flag": ["'true'", "abc", "''", "1", "0", "[true]", "{a: 1}", "null"],
    "text": ["1", "1.5", "true", "[a]", "{a: b}", "null"],
    "wholes": ["1", "abc", "''", "['1']", "[1.5]", "[[1]]", "[true]", "[null]", "{a: 1}", "null"],
    "numbers": ["1", "abc", "''", "['1']", "[a]", "[[1]]", "[true]", "[null]", "{a: 1}", "null"],
    "texts": ["1", "abc", "[1]", "[[a]]", "[true]", "{a: b}", "null"],
}
OPTIONS: dict[str, dict[str, str]] = {  # groups that are chosen -> keys and their types; ? says that null is a value
    "": {
        **dict.fromkeys(["seed", "data.batch_size", "train.epochs", "train.grad_accum", "train.log_every"], "whole"),
        **dict.fromkeys(["render.size", "train.checkpoint_every"], "whole"),
        **dict.fromkeys(["train.limit_steps", "features.views", "backbone.image_size"], "whole?"),
        **dict.fromkeys(
            ["train.early_stopping", "train.keep_checkpoints", "train.keep_every", "train.probes"], "whole?"
        ),
        **dict.fromkeys(["data.source.per_class", "data.source.seed"], "whole"),
        **dict.fromkeys(["render.line_width", "render.margin", "train.label_smoothing", "train.mixup"], "number"),
        **dict.fromkeys(["train.cutmix", "optimizer.lr", "optimizer.weight_decay", "schedule.warmup"], "number"),
        **dict.fromkeys(["optimizer.layer_decay"], "number"),
        **dict.fromkeys(["train.clip_grad", "train.ema", "optimizer.backbone_lr"], "number?"),
        **dict.fromkeys(["train.compile", "train.activation_checkpointing"], "flag"),
        **dict.fromkeys(["optimizer.algorithm.fused"], "flag?"),
        **dict.fromkeys(["device", "data.root", "features.dtype", "backbone.name", "render.polarity"], "text"),
        **dict.fromkeys(["objective"], "text"),
        **dict.fromkeys(["features.dir", "backbone.pooling"], "text?"),
        "optimizer.algorithm.betas": "numbers",
    },
    "head=mlp": {"head.hidden": "wholes", "head.norm": "text", "head.activation": "text", "head.dropout": "number"},
    "head=cosine": {"head.scale": "number"},
    "head=grid": {"fit.lrs": "numbers", "fit.weight_decays": "numbers", "fit.poolings": "texts?"},
    "head=logistic": {"fit.cs": "numbers", "fit.max_steps": "whole"},
    "freeze=first": {"freeze.n": "whole"},
    "freeze=blocks": {"freeze.blocks": "wholes"},
    "freeze=gradual": {"freeze.probe_epochs": "whole", "freeze.blocks_per_epoch": "whole?"},
    "freeze=lora": {"freeze.rank": "whole", "freeze.alpha": "number"},
    "augment=sketch": {"augment.rotation": "number", "augment.flip": "number", "augment.line_width": "number"},
    "optimizer=sgd": {"optimizer.algorithm.momentum": "number", "optimizer.algorithm.nesterov": "flag"},
    "optimizer=muon": {"optimizer.algorithm.momentum": "number"},
    "logger=[wandb]": {"logger.wandb.project": "text?", "logger.wandb.group": "text?", "logger.wandb.tags": "texts"},
    "backbone=clip": {"backbone.tag": "text?"},
}
ASKED: dict[str, dict[str, str]] = {
    "ckpt=best.pt": {
        **dict.fromkeys(["seed", "seen_per_class", "data.batch_size"], "whole"),
        **dict.fromkeys(["limit_batches", "features.views", "average"], "whole?"),
        **dict.fromkeys(["ckpt", "split", "device", "features.dtype", "precision.name"], "text"),
        **dict.fromkeys(["features.dir", "data.root", "backbone.pretrained"], "text?"),
        **{"pictures": "flag", "trust": "texts", "interpolate": "numbers?"},
    },
    "protocol=knn": {
        "protocol.shots": "wholes",
        "protocol.tries": "whole",
        "protocol.methods.knn.k": "whole",
        "protocol.methods.knn.temperature": "number",
    },
    "protocol=prototype": {
        "protocol.methods.prototype.whiten": "flag",
        "protocol.methods.prototype.shrinkage": "number",
    },
}
NEEDED = {
    "freeze=first": "freeze.n=2",
    "freeze=blocks": "freeze.blocks=[0]",
    "protocol=knn": "ckpt=best.pt",
    "protocol=prototype": "ckpt=best.pt",
}
CHOICES = ["12", "[1]", "", "null", "true", "1.5", "nothere", "{a: 1}", "[nothere]"]
STRANGE = [  # an override, and what its line must name
    ("+head.zzz=1", "head.zzz"),
    ("+optimizer.weight_decai=1", "did you mean optimizer.weight_decay?"),
    ("optimizer.zzz=1", "optimizer.zzz"),
    ("+train.epoch=1", "did you mean train.epochs?"),
    ("+render.widht=1", "render.widht"),
    ("+features.zzz=1", "features.zzz"),
    ("+optimizer.algorithm.zzz=1", "optimizer.algorithm.zzz"),
    ("+optimizer.algorithm.params=1", "optimizer.algorithm.params is set by deepdraw itself"),
    ("+logger.csv.run_dir=x", "logger.csv.run_dir is set by deepdraw itself"),
    ("+head.num_classes=3", "head.num_classes is set by deepdraw itself"),
    ("+precision.device=cpu", "precision.device is set by deepdraw itself"),
    ("head._target_=nothere.Linear", "head._target_='nothere.Linear' is not here"),
    ("head._target_=deepdraw.models.heads", "head._target_"),
    ("head._target_=3", "head"),
    ("+head._partial_=true", "head._partial_"),
    ("fit._partial_=3", "fit._partial_"),
    ("optimizer.algorithm._partial_=false", "optimizer.algorithm.params"),
    ("+logger.x=3", "logger.x"),
    ("logger=[zz]", "logger"),
    ("train=3", "train"),
    ("render=abc", "render"),
    ("features=[1]", "features"),
    ("train.epochs.x=1", "train.epochs.x"),
    ("data.batch_size.x=1", "data.batch_size.x"),
    ("~head", "head"),
    ("~data.source", "data.source"),
    ("~optimizer.algorithm", "optimizer.algorithm"),
    ("~train.epochs", "train.epochs"),
    ("seed=[1", "seed=[1"),
    ("seed", "seed"),
    ("=3", "=3"),
    ("seed=1,2", "seed=1,2"),
    ("train.epochs=${nothere}", "train.epochs"),
    ("hydra.run.dir=[1]", "hydra.run.dir"),
    ("hydra.zzz=1", "hydra.zzz"),
    ("seed=-1", "seed=-1"),
    (f"seed={10**30}", f"seed={10**30}"),
    ("data.num_workers=-1", "data.num_workers=-1"),
    ("data.num_workers=many", "data.num_workers"),
]


def composed(command: str, choice: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(command, [part for part in (choice, NEEDED.get(choice)) if part])


def check(command: str, config: DictConfig) -> None:
    if command == "train":
        check_training(config, {"train": Recipe, "features": FeatureOptions, "render": Rasterizer})
    else:
        check_evaluation(config, {"features": FeatureOptions})


def line_for(command: str, config: DictConfig, override: str) -> str | None:
    """What a command says of one override more; None where it takes it. Any traceback fails the test."""
    changed: Any = copy.deepcopy(config)
    try:
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides([override]), changed)
    except Exception as error:
        return compose_line(error, extract_tb(error.__traceback__)[-1].filename)
    try:
        check(command, changed)
    except ValueError as error:
        return str(error)
    return None


def wrong(command: str) -> list[tuple[str, str, str]]:
    """Groups chosen, key and value, in a random order that is the same each time."""
    keys = [
        (choice, key, kind)
        for choice, of in (OPTIONS if command == "train" else ASKED).items()
        for key, kind in of.items()
    ]
    cases = [
        (choice, key, value)
        for choice, key, kind in keys
        for value in WRONG[kind.rstrip("?")]
        if not (value == "null" and kind.endswith("?"))
    ]
    random.Random(0).shuffle(cases)
    return cases


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_value_of_a_wrong_type_is_refused_in_one_line_that_names_its_key(command, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{command}.py"])
    configs: dict[str, DictConfig] = {}
    faults = []
    for choice, key, value in wrong(command):
        if choice not in configs:
            configs[choice] = composed(command, choice)
        message = line_for(command, configs[choice], f"{key}={value}")
        if message is None or "\n" in message or key not in message or len(message) > 300:
            faults.append((choice, f"{key}={value}", message))
    print(f"{len(wrong(command))} wrong values of {command}.py")
    assert not faults
    assert len(wrong(command)) > {"train": 380, "evaluate": 140}[command]


@pytest.mark.parametrize(
    "group", ["backbone", "freeze", "head", "optimizer", "schedule", "precision", "augment", "data"]
)
def test_a_group_takes_the_names_of_its_options_alone(group, monkeypatch):
    for choice in CHOICES:
        monkeypatch.setattr(sys, "argv", ["train.py", f"{group}={choice}"])
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"), pytest.raises(Exception) as refused:
            compose("train", [f"{group}={choice}"])
        line = compose_line(refused.value, extract_tb(refused.value.__traceback__)[-1].filename)
        assert line is not None
        assert "\n" not in line
        assert group in line


@pytest.mark.parametrize("override", ["hydra/sweeper=optuna", "+sweep=optuna"])
def test_without_optuna_one_line_names_the_extra_that_brings_it(override, monkeypatch):
    load = ConfigRepository.load_config

    def without_optuna(self, config_path):
        return None if config_path == "hydra/sweeper/optuna" else load(self, config_path)

    monkeypatch.setattr(ConfigRepository, "load_config", without_optuna)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"), pytest.raises(Exception) as refused:
        compose("train", [override], return_hydra_config=True)
    line = compose_line(refused.value, extract_tb(refused.value.__traceback__)[-1].filename)
    assert line == "hydra/sweeper=optuna is not installed: pip install 'deepdraw[optuna]'"


@pytest.mark.parametrize(("override", "named"), STRANGE, ids=[override for override, _ in STRANGE])
def test_keys_and_words_that_cannot_be_are_named(override, named, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", override])
    try:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [override])
    except Exception as error:
        line = compose_line(error, extract_tb(error.__traceback__)[-1].filename)
    else:
        with pytest.raises(ValueError) as refused:
            check("train", config)
        line = str(refused.value)
    assert line is not None
    assert "\n" not in line.splitlines()[0]
    assert named in line


def run(script: str, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / script), *overrides]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("script", "override", "named"),
    [
        ("train.py", "freeze=12", "freeze=12"),
        ("train.py", "backbone=dinov5", "did you mean dinov3?"),
        ("train.py", "data.batch_size='1'", "data.batch_size='1' must be a whole number"),
        ("train.py", "train.epochs=${nothere}", "train.epochs"),
        ("evaluate.py", "protocol=[1]", "protocol=[1]"),
        ("evaluate.py", "pictures=3", "pictures=3 must be true or false"),
    ],
)
def test_the_commands_end_so(script, override, named, tmp_path):
    done = run(script, override, "ckpt=best.pt" if script == "evaluate.py" else f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "run/config.yaml").exists()


@pytest.mark.parametrize("value", ["1", "true"])
def test_a_traceback_is_to_be_had(value, tmp_path):
    assert "Traceback" in run("train.py", "backbone=dinov5", HYDRA_FULL_ERROR=value).stderr
    done = run("train.py", "seed=abc", f"hydra.run.dir={tmp_path}", HYDRA_FULL_ERROR=value)
    assert "Traceback" in done.stderr
