"""The models of open_clip beside its plain CLIPs: what their images are normalized with, and the towers of a CoCa."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor

from deepdraw.config import add_later_options
from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.timm import TimmBackbone

TEXT = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 3, "width": 64, "head_width": 32, "patch_size": 8}
COCA = {
    "embed_dim": 24,
    "custom_text": True,
    "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
    "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
    "multimodal_cfg": TEXT | {"attn_pooler_heads": 4},
}


@pytest.fixture
def coca(tmp_path: Path) -> str:
    (tmp_path / "small-coca.json").write_text(json.dumps(COCA))
    open_clip.add_model_config(tmp_path)
    return "small-coca"


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("ViT-B-16-SigLIP", (0.5, 0.5, 0.5)),
        ("ViT-L-16-SigLIP2-256", (0.5, 0.5, 0.5)),
        ("PE-Core-T-16-384", (0.5, 0.5, 0.5)),
        ("ViT-L-14-CLIPA", (0.485, 0.456, 0.406)),
        ("MobileCLIP-S1", (0.0, 0.0, 0.0)),
        ("ViT-B-32", open_clip.OPENAI_DATASET_MEAN),
        ("ViT-L-14", open_clip.OPENAI_DATASET_MEAN),  # whose weights were trained with more than one
    ],
)
def test_without_a_tag_images_are_normalized_as_all_weights_of_the_model_are(name: str, mean: tuple[float, ...]):
    with torch.device("meta"):
        assert OpenClipBackbone(name, pretrained=False).mean == mean


@pytest.mark.parametrize(("kind", "name"), [(TimmBackbone, "test_vit"), (OpenClipBackbone, "ViT-B-32")])
def test_mean_and_std_are_options(kind: type, name: str):
    with torch.device("meta"):
        backbone = kind(name, False, mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5])
    assert (backbone.mean, backbone.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"backbone.mean=\[0.5\] must be three numbers"), torch.device("meta"):
        kind(name, False, mean=[0.5])
    with pytest.raises(ValueError, match=r"backbone.std=\[1, 1, 0\] must be three numbers"), torch.device("meta"):
        kind(name, False, std=[1, 1, 0])


def test_a_run_of_before_without_a_tag_keeps_the_mean_that_it_was_trained_with():
    siglip = {
        "_target_": "deepdraw.models.backbones.OpenClipBackbone",
        "name": "ViT-B-16-SigLIP",
        "pretrained": False,
        "tag": None,
    }
    config = {"backbone": dict(siglip)}
    add_later_options(config)
    assert tuple(config["backbone"]["mean"]) == open_clip.OPENAI_DATASET_MEAN
    assert tuple(config["backbone"]["std"]) == open_clip.OPENAI_DATASET_STD
    for of_today in (siglip | {"mean": None, "std": None}, siglip | {"tag": "webli"}, siglip | {"name": "ViT-B-32"}):
        config = {"backbone": dict(of_today)}
        add_later_options(config)
        assert config["backbone"] == of_today


def test_the_towers_of_a_coca_give_its_features(coca: str, tmp_path: Path):
    torch.manual_seed(0)
    model = open_clip.create_model(coca).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    backbone = OpenClipBackbone(coca, str(tmp_path / "weights.pt"))
    backbone.load_pretrained()
    images, prompts = torch.randn(2, 3, 32, 32), ["a sketch of a cat", "a doodle of an umbrella"]
    tokens: Tensor = open_clip.get_tokenizer(coca)(prompts)
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), model.encode_image(images, normalize=False))
        torch.testing.assert_close(backbone.encode_text(prompts), model.encode_text(tokens, normalize=True))
    assert backbone.num_blocks == 3


def test_every_coca_of_open_clip_builds():
    for name in open_clip.list_models():
        if name.startswith("coca"):
            with torch.device("meta"):
                assert OpenClipBackbone(name, False).num_features == open_clip.get_model_config(name)["embed_dim"]
