"""What every image encoder promises, and that its features are those of the library it comes from."""

import json
import re
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from deepdraw.models.backbones import weights
from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.timm import TimmBackbone

TIMM_MODELS = [
    "test_vit",
    "test_efficientnet",
    "resnet10t",
    "convnext_atto",
    "mobilenetv3_small_050",
    "pit_ti_224",
]
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 3, "width": 64, "head_width": 32, "patch_size": 8}
CLIPS = {
    "small-vit-quickgelu": {"quick_gelu": True, "vision_cfg": VIT},
    "small-vit-custom-text": {"custom_text": True, "vision_cfg": VIT},
    "small-resnet": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}},
    "small-timm": {"vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token"}},
}


@pytest.fixture(scope="module", autouse=True)
def clips(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("model_configs")
    for name, config in CLIPS.items():
        (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 24, "text_cfg": TEXT, **config}))
    open_clip.add_model_config(folder)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def images(size: int) -> Tensor:
    return torch.randn(2, 3, size, size)


def save(network: nn.Module, file: Path) -> str:
    torch.save(network.state_dict(), file)
    return str(file)


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_features_of_a_timm_model_are_what_timm_pools_before_the_classifier(name: str, tmp_path: Path):
    model = timm.create_model(name, num_classes=10).eval()
    backbone = TimmBackbone(name, pretrained=save(model, tmp_path / "weights.pth"))
    backbone.load_pretrained()
    batch = images(backbone.image_size)

    expected = model.forward_head(model.forward_features(batch), pre_logits=True)

    torch.testing.assert_close(backbone.eval()(batch), expected, rtol=0, atol=1e-5)
    assert expected.shape[1] == backbone.num_features
    assert backbone.mean == timm.data.resolve_model_data_config(model)["mean"]


@pytest.mark.parametrize("name", CLIPS)
def test_features_and_prompts_of_a_clip_are_open_clips(name: str, tmp_path: Path):
    model = open_clip.create_model(name).eval()
    backbone = OpenClipBackbone(name, pretrained=save(model, tmp_path / "weights.pt"))
    backbone.load_pretrained()
    batch = images(backbone.image_size)
    prompts = ["a sketch of a cat", "a doodle of an umbrella"]

    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(batch), model.encode_image(batch), rtol=0, atol=1e-5)
        expected = model.encode_text(open_clip.get_tokenizer(name)(prompts), normalize=True)
    torch.testing.assert_close(backbone.encode_text(prompts), expected, rtol=0, atol=1e-5)
    assert backbone.num_features == expected.shape[1]
    assert backbone.mean == open_clip.OPENAI_DATASET_MEAN


def test_the_text_tower_is_no_part_of_a_clip_backbone(tmp_path: Path):
    file = save(open_clip.create_model("small-vit-quickgelu"), tmp_path / "weights.pt")
    backbone = OpenClipBackbone("small-vit-quickgelu", pretrained=file)
    before = list(backbone.state_dict())
    backbone.encode_text(["a sketch of a cat"])
    assert list(backbone.state_dict()) == before
    assert all(key.startswith("visual.") for key in before)


def test_position_embeddings_are_resampled_to_another_size_as_the_libraries_do(tmp_path: Path):
    vit = timm.create_model("test_vit", num_classes=0)
    file = save(vit, tmp_path / "vit.pth")
    resized = timm.create_model(
        "test_vit", pretrained=True, num_classes=0, img_size=96, pretrained_cfg_overlay={"file": file}
    ).eval()
    backbone = TimmBackbone("test_vit", pretrained=file, image_size=96)
    backbone.load_pretrained()
    batch = images(96)
    torch.testing.assert_close(backbone.eval()(batch), resized(batch), rtol=0, atol=1e-5)

    file = save(open_clip.create_model("small-vit-quickgelu"), tmp_path / "clip.pt")
    clip = open_clip.create_model("small-vit-quickgelu", pretrained=file, force_image_size=48).eval()
    backbone = OpenClipBackbone("small-vit-quickgelu", pretrained=file, image_size=48)
    backbone.load_pretrained()
    batch = images(48)
    torch.testing.assert_close(backbone.eval()(batch), clip.encode_image(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "DataParallel", "safetensors"])
def test_weights_load_however_they_were_saved(wrap: str, tmp_path: Path):
    state_dict = timm.create_model("test_vit").state_dict()
    file = str(tmp_path / "weights.pth")
    if wrap == "safetensors":
        file = str(tmp_path / "weights.safetensors")
        safetensors.torch.save_file(state_dict, file)
    elif wrap == "DataParallel":
        torch.save({f"module.{key}": tensor for key, tensor in state_dict.items()}, file)
    else:
        torch.save({wrap: state_dict, "epoch": 3}, file)
    backbone = TimmBackbone("test_vit", pretrained=file)
    backbone.load_pretrained()
    assert torch.equal(backbone.network.blocks[0].attn.qkv.weight, state_dict["blocks.0.attn.qkv.weight"])


def test_real_weights_load_strictly(shared: Path):
    efficientnet = shared / "data/weights/tf_efficientnet_lite0.pth"
    backbone = TimmBackbone("tf_efficientnet_lite0", pretrained=str(efficientnet))
    backbone.load_pretrained()
    expected = timm.create_model("tf_efficientnet_lite0", num_classes=1000, checkpoint_path=str(efficientnet)).eval()
    batch = images(64)
    features = backbone.eval()(batch)
    torch.testing.assert_close(expected.classifier(features), expected(batch), rtol=0, atol=1e-5)

    dinov2 = TimmBackbone(
        "vit_small_patch14_dinov2",
        pretrained=str(shared / "data/weights/vit_small_patch14_dinov2_focus.safetensors"),
        image_size=224,
    )
    dinov2.load_pretrained()
    assert dinov2.network.pos_embed.shape == (1, 1 + 16 * 16, 384)
    assert dinov2.eval()(images(224)).isfinite().all()


EVERY_KIND = [
    *((TimmBackbone, name) for name in [*TIMM_MODELS, "cait_xxs24_224", "densenet121", "hrnet_w18_small"]),
    *((OpenClipBackbone, name) for name in CLIPS),
]


@pytest.mark.parametrize(("kind", "name"), EVERY_KIND)
def test_every_parameter_is_in_exactly_one_layer_group(kind: type, name: str):
    with torch.device("meta"):
        backbone = kind(name, pretrained=False)
    groups = backbone.layer_groups()
    grouped = [parameter for group in groups for parameter in group.parameters]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(backbone.parameters())
    of_modules = [{p for module in group.modules for p in module.parameters()} for group in groups]
    assert all(found <= set(group.parameters) for found, group in zip(of_modules, groups, strict=True))
    assert [group.name for group in groups[1:-1]] == [f"block {i}" for i in range(backbone.num_blocks)]
    assert groups[0].parameters
    assert all(group.parameters for group in groups[1:-1])


def test_no_module_with_a_state_of_its_own_is_left_out_of_the_layer_groups():
    for backbone in (
        TimmBackbone("test_vit", pretrained=False, options={"drop_path_rate": 0.1, "pos_drop_rate": 0.1}),
        TimmBackbone("test_efficientnet", pretrained=False, options={"drop_path_rate": 0.1}),
        OpenClipBackbone("small-resnet", pretrained=False),
    ):
        grouped = {leaf for group in backbone.layer_groups() for module in group.modules for leaf in module.modules()}
        assert {module for module in backbone.modules() if not list(module.children())} <= grouped


def test_the_blocks_are_those_the_architecture_is_known_for():
    assert [group.name for group in TimmBackbone("test_vit", pretrained=False).layer_groups()] == [
        "embeddings",
        *(f"block {i}" for i in range(6)),
        "final layers",
    ]
    assert TimmBackbone("resnet18", pretrained=False).num_blocks == 8
    assert OpenClipBackbone("small-vit-quickgelu", pretrained=False).num_blocks == 3


def test_an_encoder_without_a_text_tower_says_so():
    backbone = TimmBackbone("test_vit", pretrained=False)
    assert not backbone.has_text
    with pytest.raises(ValueError, match="no text tower"):
        backbone.encode_text(["a sketch"])
    untrained = OpenClipBackbone("small-vit-quickgelu", pretrained=False)
    assert not untrained.has_text
    with pytest.raises(ValueError, match="trained weights"):
        untrained.encode_text(["a sketch"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TimmBackbone("resnet10"), "no model resnet10: did you mean resnet1"),
        (lambda: TimmBackbone("resnet18.no_such_tag"), "backbone.name is one of resnet18.a1_in1k"),
        (
            lambda: TimmBackbone("resnet10t", options={"wings": 2}, pretrained=False),
            "correct backbone.options",
        ),
        (
            lambda: TimmBackbone("resnet10t", options={"checkpoint_path": "w.pth"}, pretrained=False),
            "checkpoint_path would read weights past deepdraw",
        ),
        (lambda: TimmBackbone("vit_tiny_patch16_224", image_size=100), "16 px patch: use 96 or 112"),
        (lambda: OpenClipBackbone("ViT-L-41"), "did you mean ViT-"),
        (lambda: OpenClipBackbone("ViT-B-32"), r"backbone.tag is one of \['openai'"),
        (lambda: OpenClipBackbone("ViT-L-14", tag="openai"), "use backbone.name=ViT-L-14-quickgelu"),
        (lambda: OpenClipBackbone("small-vit-quickgelu", False, image_size=30), "8 px patch: use 24 or 32"),
        (lambda: OpenClipBackbone("small-resnet", False, image_size=96), "64 px only"),
        (lambda: OpenClipBackbone("small-timm", False, image_size=100), "16 px patch: use 96 or 112"),
    ],
)
def test_what_cannot_work_is_refused_before_any_load(build, message: str, monkeypatch):
    monkeypatch.setattr(weights, "read_weights", None)
    with pytest.raises(ValueError, match=message) as refusal:
        build()
    assert "\n" not in str(refusal.value)


def test_weights_of_another_architecture_are_refused_with_the_keys_that_differ(tmp_path: Path):
    vit = save(timm.create_model("test_vit"), tmp_path / "vit.pth")
    convnext = TimmBackbone("convnext_atto", pretrained=vit)
    with pytest.raises(ValueError, match=r"than convnext_atto: \d+ keys differ \(missing: .*unexpected: ") as refusal:
        convnext.load_pretrained()
    missing = re.search(r"missing: ([^;]*);", str(refusal.value))
    assert missing
    assert len(missing[1].split(", ")) == 5
    with pytest.raises(ValueError, match=r"44 keys differ \(missing: class_embedding"):
        OpenClipBackbone("small-vit-quickgelu", pretrained=vit).load_pretrained()
    deeper = save(timm.create_model("resnet18"), tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match="keys differ"):
        TimmBackbone("resnet10t", pretrained=deeper).load_pretrained()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_weights_file_cut_short_is_refused_in_one_line(suffix: str, kept: float, tmp_path: Path):
    file = tmp_path / f"weights{suffix}"
    state_dict = timm.create_model("test_vit").state_dict()
    torch.save(state_dict, file) if suffix == ".pth" else safetensors.torch.save_file(state_dict, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="cut short") as refusal:
        TimmBackbone("test_vit", pretrained=str(file)).load_pretrained()
    assert "\n" not in str(refusal.value)


def test_a_missing_weights_file_and_one_with_code_in_it_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no weights file"):
        TimmBackbone("test_vit", pretrained=str(tmp_path / "nothing.pth")).load_pretrained()
    torch.save(timm.create_model("test_vit"), tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match="save a state_dict"):
        TimmBackbone("test_vit", pretrained=str(tmp_path / "pickled.pth")).load_pretrained()


@pytest.mark.parametrize(
    ("backbone", "named"),
    [
        (lambda: TimmBackbone("test_vit"), "timm's weights of test_vit"),
        (
            lambda: OpenClipBackbone("RN50-quickgelu", tag="openai"),
            "open_clip's weights openai of RN50-quickgelu",
        ),
    ],
)
def test_pretrained_weights_without_network_fail_at_once_and_name_the_fix(backbone, named, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("deepdraw.runtime.hub._answers", lambda url: False)
    with pytest.raises(ValueError, match=rf"cannot download {named} .*backbone.pretrained=FILE") as refusal:
        backbone().load_pretrained()
    assert "\n" not in str(refusal.value)


CHECKPOINTED = [
    *((TimmBackbone, name, None) for name in ("test_vit", "convnext_atto")),
    (TimmBackbone, "test_vit", "cls+mean"),
    *((OpenClipBackbone, "small-vit-quickgelu", pooling) for pooling in ("projected", "mean")),
    (OpenClipBackbone, "small-timm", None),
]


@pytest.mark.parametrize(("kind", "name", "pooling"), CHECKPOINTED)
def test_checkpointing_runs_every_block_twice_and_changes_no_gradient(kind: type, name: str, pooling: str | None):
    backbone = kind(name, pretrained=False, pooling=pooling)
    for module in backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5  # which must drop the same units both times
    modules = [module for group in backbone.layer_groups()[1:-1] for module in group.modules]
    blocks = [module for module in modules if "Block" in type(module).__name__]  # a ConvNeXt shrinks images in between
    runs: list[nn.Module] = []
    for block in blocks:
        block.register_forward_pre_hook(lambda module, inputs: runs.append(module))
    batch, gradients = images(backbone.image_size), []
    for times in (1, 2):
        runs.clear()
        torch.manual_seed(1)
        backbone(batch).square().mean().backward()
        assert [runs.count(block) for block in blocks] == [times] * len(blocks)
        gradients.append([parameter.grad for parameter in backbone.parameters()])
        backbone.zero_grad(set_to_none=True)
        backbone.checkpoint_activations()
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (TimmBackbone, "resnet10t", "BatchNorm layers of resnet10t would count each batch twice: use train.activation"),
        (OpenClipBackbone, "small-resnet", "BatchNorm layers of small-resnet"),
        (TimmBackbone, "pit_ti_224", "pit_ti_224 cannot checkpoint: use train.activation_checkpointing=false"),
    ],
)
def test_networks_that_cannot_checkpoint_are_refused(kind: type, name: str, message: str):
    with torch.device("meta"):
        backbone = kind(name, pretrained=False)
    with pytest.raises(ValueError, match=message) as refusal:
        backbone.checkpoint_activations()
    assert "\n" not in str(refusal.value)


def test_a_timm_backbone_never_imports_open_clip():
    code = "import sys, deepdraw.models.backbones.timm; sys.exit('open_clip' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
