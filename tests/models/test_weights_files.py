"""The weights of a network are found in a file however a training wrote it, and a file that holds none is named."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from deepdraw.config import add_later_options
from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.strokes import StrokesBackbone
from deepdraw.models.backbones.timm import TimmBackbone


def weights(seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return timm.create_model("test_vit").state_dict()


def loaded(content: Any, folder: Path) -> Tensor:
    """One tensor of a backbone that starts from a file with this content."""
    torch.save(content, folder / "weights.pth")
    backbone = TimmBackbone("test_vit", str(folder / "weights.pth"))
    backbone.load_pretrained()
    return backbone.network.blocks[0].attn.qkv.weight


def below(prefix: str, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state_dict.items()}


@pytest.mark.parametrize(
    ("average", "plain"), [("state_dict_ema", "state_dict"), ("model_ema", "model"), ("teacher", "student")]
)
def test_averaged_weights_come_first_as_in_timm_and_are_told_of(average: str, plain: str, tmp_path: Path, capsys):
    content = {plain: weights(0), average: weights(1), "epoch": 3, "args": Namespace(lr=0.1)}
    assert torch.equal(loaded(content, tmp_path), weights(1)["blocks.0.attn.qkv.weight"])
    assert f"weights.pth: the weights are those of its entry {average}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "_orig_mod.module.", "model.", "backbone.", "module.backbone.", "teacher.backbone."],
)
def test_prefixes_of_wrappers_are_stripped_until_the_keys_fit(prefix: str, tmp_path: Path, capsys):
    content = {"state_dict": {**below(prefix, weights(1)), "dino_head.last.weight": torch.ones(3)}}
    assert torch.equal(loaded(content, tmp_path), weights(1)["blocks.0.attn.qkv.weight"])
    assert f"below {prefix}; 1 of other parts are left out" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("of_run", ["backbone.", "backbone.strokes.", None])
def test_a_network_of_strokes_starts_from_a_wrapped_one(prefix: str, of_run: str | None, tmp_path: Path):
    given = StrokesBackbone([8], [1]).state_dict()
    content: dict[str, Any] = below(prefix, given)
    if of_run is not None:  # a checkpoint of train.py, of this network alone or beside one that sees pixels
        beside = below("backbone.pixels.network.", weights(0)) if "strokes" in of_run else {}
        model = {**below(of_run, given), **beside, "head.weight": torch.ones(3)}
        content = {"config": {}, "classes": ["cat"], "model": below(prefix, model)}
    torch.save(content, tmp_path / "weights.pth")
    started = StrokesBackbone([8], [1], pretrained=str(tmp_path / "weights.pth"))
    started.load_pretrained()
    assert all(torch.equal(tensor, started.state_dict()[name]) for name, tensor in given.items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_network_of_pixels_starts_from_a_wrapped_run(prefix: str, tmp_path: Path):
    model = below("backbone.network.", weights(1)) | {"head.weight": torch.ones(3)}
    content = {"config": {}, "classes": ["cat"], "model": below(prefix, model)}
    assert torch.equal(loaded(content, tmp_path), weights(1)["blocks.0.attn.qkv.weight"])


def test_weights_that_fit_as_they_are_are_taken_without_a_word(tmp_path: Path, capsys):
    assert torch.equal(loaded(weights(1), tmp_path), weights(1)["blocks.0.attn.qkv.weight"])
    assert capsys.readouterr().out == ""


def test_a_file_of_weights_in_a_folder_is_named(tmp_path: Path):
    torch.save(weights(0), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"is a folder: give backbone.pretrained .*/pytorch_model\.bin"):
        TimmBackbone("test_vit", str(tmp_path)).load_pretrained()


def script(file: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(file))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (script, "is a TorchScript archive, which holds code: save its weights once"),
        (lambda file: file.mkdir(), "is a folder: give backbone.pretrained a file of weights"),
        (lambda file: file.write_bytes(b"<!DOCTYPE html>"), "is a page of a website: download the file itself"),
        (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "is a pointer of Git LFS"),
        (lambda file: torch.save(nn.Linear(2, 2), file), "pickles more than tensors (torch.nn.modules.linear.Linear)"),
        (lambda file: file.write_bytes(b"PK\x03\x04 cut"), "is cut short, damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_file_of_weights_is_named_with_the_fix(write: Any, said: str, tmp_path: Path):
    write(tmp_path / "weights.pth")
    with pytest.raises(ValueError) as refusal:
        TimmBackbone("test_vit", str(tmp_path / "weights.pth")).load_pretrained()
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_pretrained_is_refused(empty: Any):
    with pytest.raises(ValueError, match=r"backbone.pretrained is empty: use true, FILE, or false"):
        TimmBackbone("test_vit", empty)
    with pytest.raises(ValueError, match=r"backbone.pretrained is empty"):
        OpenClipBackbone("ViT-B-32", empty)
    with pytest.raises(ValueError, match=r"backbone.pretrained is empty"):
        StrokesBackbone(pretrained=empty)


@pytest.mark.parametrize("empty", [None, ""])
def test_a_run_of_before_whose_pretrained_was_empty_started_from_random_weights(empty: Any):
    ours = {"_target_": "deepdraw.models.backbones.TimmBackbone", "name": "test_vit", "pretrained": empty}
    config = {"backbone": {"_target_": "deepdraw.models.backbones.FusedBackbone", "pixels": dict(ours)}}
    add_later_options(config)
    assert config["backbone"]["pixels"] == {**ours, "pretrained": False}
    of_ones_own = {"backbone": {"_target_": "mine.Backbone", "pretrained": empty}}
    add_later_options(of_ones_own)
    assert of_ones_own["backbone"]["pretrained"] == empty


def test_an_older_name_of_timm_is_its_name_of_today(capsys):
    with torch.device("meta"):
        backbone = TimmBackbone("vit_base_patch16_224_in21k", False)
    assert backbone.name == "vit_base_patch16_224.augreg_in21k"
    assert "is called vit_base_patch16_224.augreg_in21k in timm today" in capsys.readouterr().out
