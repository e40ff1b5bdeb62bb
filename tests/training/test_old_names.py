"""Checkpoints that deepdraw 0.1 wrote are read under the names of today."""

from __future__ import annotations

from importlib import import_module
from pkgutil import resolve_name

import pytest
import torch

from deepdraw.config.old_names import OLD_NAMES, with_current_names
from deepdraw.inference.trained import rebuild
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint

CURRENT = {current: old for old, current in OLD_NAMES.items()}


def with_old_names(config):
    """A config as deepdraw 0.1 wrote it."""
    if isinstance(config, list):
        return [with_old_names(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: with_old_names(part) for key, part in config.items()}
    if config.get("_target_") in CURRENT:
        config["_target_"] = CURRENT[config["_target_"]]
    return config


@pytest.mark.parametrize("name", sorted(set(OLD_NAMES.values())))
def test_every_present_name_is_there(name):
    package, _, attribute = name.rpartition(".")
    assert attribute in import_module(package).__all__
    assert callable(resolve_name(name))


def test_a_former_checkpoint_is_rebuilt_to_the_same_logits(trained):
    path = trained / "checkpoints/best.pt"
    content = load_checkpoint(path)
    old = trained / "old.pt"
    save_checkpoint(old, {**content, "config": with_old_names(content["config"])})
    images = torch.randint(0, 255, (4, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(rebuild(old, device="cpu").model(images), rebuild(path, device="cpu").model(images))


def test_a_run_of_deepdraw_0_1_goes_on(trained, resume):
    path = trained / "checkpoints/last.pt"
    content = load_checkpoint(path)
    config = with_old_names(content["config"])
    config["fit"] = {"_target_": "deepdraw.training.loop.fit", "_partial_": True}
    content.pop("fitter")
    save_checkpoint(path, {**content, "config": config})
    resume()


def test_other_names_and_values_stay():
    config = {"a": [1, None, {"_target_": "torch.optim.AdamW"}], "_target_": ["deepdraw.training.loop.fit"]}
    assert with_current_names(config) == config


def test_a_config_that_is_nested_without_end_is_refused_in_one_line(trained):
    path = trained / "checkpoints/best.pt"
    content = load_checkpoint(path)
    endless: list = []
    endless.append(endless)
    many: list = []
    for _ in range(60):
        many = [many] * 60
    for value in (endless, many):
        save_checkpoint(path, {**content, "config": {**content["config"], "seed": value}})
        with pytest.raises(ValueError, match=r"best\.pt[^\n]*$"):
            rebuild(path, device="cpu")
