"""Every option of conf/backbone computes what its library does, on random weights, narrow and shallow."""

from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from deepdraw.models.backbones import open_clip as open_clip_backbone
from deepdraw.models.backbones.base import Backbone
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.heads import cosine_logits
from deepdraw.models.prompts import PROMPTS, prompts, text_classifier

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(
    {option.stem for option in (CONF / "backbone").glob("*.yaml")}
    - {"strokes", "stroke_stem", "stroke_transformer", "fused"}
)
NEEDED = {
    "timm": ["backbone.name=test_vit"],
    "open_clip": ["backbone.name=RN50-quickgelu", "backbone.tag=openai"],
}
VITS = ["dinov2", "dinov2_base", "dinov3", "clip", "clip_laion", "eva02", "siglip"]
close = partial(torch.testing.assert_close, rtol=0, atol=1e-5)


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries build each architecture as it is, but for its depth and width."""
    create_model = timm.create_model

    def create_shallow_model(name: str, **arguments) -> nn.Module:
        size = {}
        if name.startswith(("vit_", "eva02_")):
            size = {"depth": 2, "embed_dim": 64, "num_heads": 2}
        elif name.startswith("convnext_"):
            size = {"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}
        elif name.startswith("resnet50"):
            size = {"layers": (1, 1, 1, 1), "channels": (8, 16, 32, 64)}
        return create_model(name, **(size | arguments))

    monkeypatch.setattr(timm, "create_model", create_shallow_model)
    for name in (
        "RN50-quickgelu",
        "ViT-L-14",
        "ViT-L-14-quickgelu",
        "ViT-B-16-quickgelu",
        "EVA02-L-14",
        "ViT-L-16-SigLIP2-256",
    ):
        config = open_clip.get_model_config(name) | {"embed_dim": 64}
        if name.startswith("ViT") and "layers" in config["vision_cfg"]:
            config["vision_cfg"] |= {"layers": 2, "width": 96, "head_width": 32}
        elif name.startswith("RN"):
            config["vision_cfg"] |= {"layers": [1, 1, 1, 1], "width": 8}
        config["text_cfg"] |= {"width": 32, "heads": 2, "layers": 2}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
    torch.manual_seed(0)


@cache
def composed(option: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f"backbone={option}", *NEEDED.get(option, [])]).backbone


def built(option: str, file: str, **overrides) -> Backbone:
    """The backbone of an option with the weights in `file`."""
    backbone = instantiate(composed(option), pretrained=file, **overrides)
    backbone.load_pretrained()
    return backbone.eval()


def library_model(option: str, file: str | None = None, size: int | None = None) -> nn.Module:
    """What timm or open_clip makes of an option's name: random weights, or those in `file` at a `size`."""
    cfg = composed(option)
    if "OpenClip" in cfg._target_:
        return open_clip.create_model(cfg.name, pretrained=file, force_image_size=size).eval()
    arguments = dict(cfg.get("options", {}))
    if file is not None:
        arguments |= {"num_classes": 0, "pretrained": True, "pretrained_cfg_overlay": {"file": file}}
        if timm.get_pretrained_cfg(cfg.name).fixed_input_size:
            arguments["img_size"] = size
    return timm.create_model(cfg.name, **arguments).eval()


def save(model: nn.Module, folder: Path) -> str:
    """Save the weights, none of them left at a starting value such as a layer scale of 1e-5."""
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    torch.save(model.state_dict(), folder / "weights.pth")
    return str(folder / "weights.pth")


def encode_image(model: nn.Module, images: Tensor) -> Tensor:
    return model.encode_image(images) if hasattr(model, "encode_image") else model(images)


@pytest.mark.parametrize("option", OPTIONS)
@torch.no_grad()
def test_features_of_every_option_are_its_librarys(option: str, tmp_path: Path):
    file = save(library_model(option), tmp_path)
    backbone = built(option, file)
    expected = library_model(option, file, backbone.image_size)
    images = torch.randn(2, 3, backbone.image_size, backbone.image_size)

    features = backbone(images)
    close(features, encode_image(expected, images))
    assert features.shape == (2, backbone.num_features)
    assert features.std() > 0.01
    for own, theirs in (("network", expected), ("visual", getattr(expected, "visual", None))):
        if hasattr(backbone, own):
            theirs.load_state_dict(getattr(backbone, own).state_dict(), strict=True)


@pytest.mark.parametrize("option", [*VITS, "timm"])
@torch.no_grad()
def test_positions_are_resampled_to_any_size_that_fits_the_patch(option: str, tmp_path: Path):
    size = 96 if option == "timm" else 112
    file = save(library_model(option), tmp_path)
    backbone = built(option, file, image_size=size)
    images = torch.randn(2, 3, size, size)
    close(backbone(images), encode_image(library_model(option, file, size), images))


def pooled_by_the_library(model: nn.Module, pooling: str, images: Tensor) -> Tensor:
    visual = getattr(model, "visual", model)
    trunk = getattr(visual, "trunk", visual)
    if hasattr(trunk, "reset_classifier"):
        trunk.reset_classifier(0, {"cls": "token", "mean": "avg"}[pooling])
        return trunk(images)
    visual.proj, visual.pool_type = None, {"cls": "tok", "mean": "avg"}[pooling]
    return visual(images)


@pytest.mark.parametrize("option", VITS)
@torch.no_grad()
def test_each_pooling_is_the_librarys_own_of_that_name(option: str, tmp_path: Path):
    model = library_model(option)
    file = save(model, tmp_path)
    own = built(option, file)
    model = library_model(option, file, own.image_size)
    images = torch.randn(2, 3, own.image_size, own.image_size)
    expected = {}
    for pooling in own.poolings[:2]:
        expected[pooling] = pooled_by_the_library(model, pooling, images)
    if "cls" in expected:
        expected["cls+mean"] = torch.cat([expected["cls"], expected["mean"]], dim=1)

    assert tuple(expected) == own.poolings == (("mean",) if option == "siglip" else ("cls", "mean", "cls+mean"))
    for pooling, features in expected.items():
        backbone = built(option, file, pooling=pooling)
        close(backbone(images), features)
        assert features.shape == (2, backbone.num_features)
        assert backbone.tokens(images).shape[::2] == (2, expected["mean"].shape[1])
        grouped = {parameter for group in backbone.layer_groups() for parameter in group.parameters}
        assert grouped == set(backbone.parameters())


@torch.no_grad()
def test_the_class_comes_first_among_the_tokens_then_the_registers_then_the_patches(tmp_path: Path):
    images = torch.randn(2, 3, 224, 224)
    model = library_model("dinov2")
    backbone = built("dinov2", save(model, tmp_path))
    assert backbone.tokens(images).shape == (2, 1 + 4 + 16 * 16, 64)
    close(backbone.tokens(images)[:, 0], backbone(images))

    model = library_model("clip")
    backbone = built("clip", save(model, tmp_path))
    patches = model.visual.forward_intermediates(images, 1, normalize_intermediates=True, output_fmt="NLC")
    close(backbone.tokens(images)[:, 1:], patches["image_intermediates"][-1])
    close(backbone.tokens(images)[:, 0] @ backbone.visual.proj, backbone(images))


@torch.no_grad()
def test_the_text_classifier_and_its_logits_are_open_clips(tmp_path: Path):
    model = library_model("clip")
    backbone = built("clip", save(model, tmp_path))
    names = ["cat", "umbrella", "The Eiffel Tower", "scissors"]
    tokenizer = open_clip.get_tokenizer(backbone.name)
    templates = [lambda name, i=i: prompts(name)[i] for i in range(len(PROMPTS["sketch"]))]
    images = torch.randn(2, 3, 224, 224)

    expected = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)
    weights = text_classifier(backbone.encode_text, names)
    close(weights, expected.T)
    close(cosine_logits(backbone(images), weights, 1.0), model.encode_image(images, normalize=True) @ expected)


@torch.no_grad()
def test_siglip_reads_prompts_where_transformers_has_its_tokenizer(tmp_path: Path, monkeypatch):
    model = library_model("siglip")
    backbone = built("siglip", save(model, tmp_path))
    monkeypatch.setattr(open_clip_backbone, "find_spec", lambda name: None)
    assert not backbone.has_text
    with pytest.raises(ValueError, match=r"SigLIP2-256 reads prompts .*: pip install transformers$"):
        backbone.encode_text(["a sketch"])

    tokens = torch.randint(256000, (2, 64))
    monkeypatch.setattr(open_clip_backbone, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name: lambda prompts: tokens)
    assert backbone.has_text
    close(backbone.encode_text(["a sketch of a cat", "a doodle"]), model.encode_text(tokens, normalize=True))


@pytest.mark.parametrize(
    ("option", "pooling", "message"),
    [
        ("resnet50", "cls", r"backbone.pooling=cls is not for resnet50.a1_in1k: use null \(its own\)$"),
        ("tiny", "mean", r"is not for resnet10t: use null \(its own\)$"),
        ("siglip", "cls+mean", r"use null \(its own\), projected, mean$"),
        ("open_clip", "mean", r"is not for RN50-quickgelu: use null \(its own\), projected$"),
        ("dinov2", "max", r"use null \(its own\), cls, mean, cls\+mean$"),
    ],
)
def test_a_pooling_of_tokens_that_an_encoder_lacks_is_refused(option: str, pooling: str, message: str):
    cfg = dict(composed(option))
    kind = get_class(cfg.pop("_target_"))
    cfg.pop("_convert_", None)
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        kind(**cfg | {"pooling": pooling})


def test_prompts_are_read_only_beside_projected_features(tmp_path: Path):
    file = save(library_model("clip"), tmp_path)
    assert built("clip", file, pooling="projected").has_text
    before = built("clip", file, pooling="cls")
    assert not before.has_text
    with pytest.raises(ValueError, match=r"use backbone.pooling=projected$"):
        before.encode_text(["a sketch"])
    with pytest.raises(ValueError, match="has no tokens: use a vision transformer"):
        TimmBackbone("resnet10t", pretrained=False).tokens(torch.zeros(1, 3, 32, 32))
