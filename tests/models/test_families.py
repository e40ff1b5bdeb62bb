"""A network of each family of timm: its features are timm's, it trains but where it is frozen, and nothing trains
below a frozen block.

CI tries a few. DEEPDRAW_FAMILIES=all tries the smallest of every family (half an hour), DEEPDRAW_FAMILIES=NAME,NAME
these models.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from deepdraw.models.backbones.dry_run import on_meta
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.policies import first, freeze
from deepdraw.models.heads import Linear

SAMPLE = [
    *("test_vit", "test_byobnet", "test_convnext", "test_coatnet", "test_efficientnet", "test_mambaout"),
    *("test_nfnet", "test_resnet", "caformer_s18", "coat_lite_tiny", "crossvit_9_240", "edgenext_xx_small"),
    *("efficientvit_m0", "fasternet_t0", "lcnet_035", "levit_128s", "mobileone_s0", "pit_ti_224"),
    *("pvt_v2_b0", "repghostnet_050", "starnet_s050", "test_vit_relpos", "xcit_nano_12_p16_224"),
]
SMALLEST = [
    *("beit_base_patch16_224", "eca_botnext26ts_256", "test_byobnet", "cait_xxs24_224", "coat_lite_tiny"),
    *("convit_tiny", "convmixer_1024_20_ks9_p14", "test_convnext", "cpubone_nano", "crossvit_9_240"),
    *("csatv2_21m", "cs3darknet_focus_s", "cspnext_tiny", "davit_tiny", "deepseek_vit_412m"),
    *("deit_tiny_patch16_224", "densenet121", "dla34", "dpn48b", "edgenext_xx_small", "efficientformer_l1"),
    *("efficientformerv2_s0", "test_efficientnet", "efficientvim_m1", "efficientvit_b0", "efficientvit_m0"),
    *("eva02_tiny_patch14_224", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny"),
    *("gemma4_vit_167m", "ghostnet_050", "hardcorenas_a", "hgnetv2_b0", "hiera_tiny_224", "hieradet_small"),
    *("hrnet_w18_small", "iformer_t", "inception_next_atto", "inception_resnet_v2", "inception_v3"),
    *("inception_v4", "lcnetv2_small", "levit_128s", "lowformer_b0", "test_mambaout", "test_coatnet"),
    *("caformer_s18", "gmixer_12_224", "lcnet_035", "mobilenetv5_base", "mobilevit_xxs", "mvitv2_tiny"),
    *("naflexvit_base_patch16_siglip", "nasnetalarge", "nest_tiny", "nextvit_small", "test_nfnet"),
    *("pit_ti_224", "pnasnet5large", "pvt_v2_b0", "qwen3_vit_88m", "rdnet_tiny", "regnety_002"),
    *("repghostnet_050", "repvit_m0_9", "res2net50_14w_8s", "resnest14d", "test_resnet", "resnetv2_18"),
    *("rexnet_100", "selecsls42", "legacy_seresnet18", "sequencer2d_s", "shvit_s1", "skresnet18"),
    *("starnet_s050", "swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"),
    *("swinv2_cr_tiny_224", "tiny_vit_5m_224", "tnt_s_patch16_224", "tresnet_m", "twins_svt_small"),
    *("vgg11", "visformer_tiny", "test_vit", "vit_tiny_r_s16_p8_224", "test_vit_relpos"),
    *("samvit_base_patch16_224", "vitamin_small_224", "volo_d1_224", "ese_vovnet19b_slim_dw"),
    *("legacy_xception", "xception41p", "xcit_nano_12_p8_224"),
]
CHOICE = os.environ.get("DEEPDRAW_FAMILIES", "")
NAMES = {"": SAMPLE, "all": SMALLEST}.get(CHOICE) or CHOICE.split(",")


@pytest.mark.parametrize("name", NAMES)
def test_features_are_timms_and_layers_train_unless_they_are_frozen(name: str, tmp_path: Path):
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=10).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name, str(tmp_path / "weights.pth"))
    model = Classifier(backbone, Linear(backbone.num_features, num_classes=2)).eval()
    model.load_pretrained(["a", "b"])
    images = torch.randint(0, 256, (2, backbone.image_size, backbone.image_size), dtype=torch.uint8)
    with torch.no_grad():
        normalized = images[:, None] * model.scale + model.shift
        expected = theirs.forward_head(theirs.forward_features(normalized), pre_logits=True)
        torch.testing.assert_close(backbone(normalized), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    del theirs

    model.train()
    groups = backbone.layer_groups()
    for number in {1, backbone.num_blocks}:
        model.requires_grad_(True).zero_grad(set_to_none=True)
        freeze(model, first(groups, number))
        model(images).square().mean().backward()
        trained = {parameter for parameter in backbone.parameters() if parameter.grad is not None}
        frozen = {parameter for group in groups[: number + 1] for parameter in group.parameters}
        assert not trained & frozen
        assert number == backbone.num_blocks or trained
        assert all(parameter.grad is not None for parameter in model.head.parameters())


@pytest.mark.parametrize("name", dict.fromkeys([*NAMES, "lowformer_b0", "volo_d1_224"]))
def test_no_output_of_a_frozen_block_requires_a_gradient(name: str):
    with torch.device("meta"):
        backbone = TimmBackbone(name, False)
    for number in {1, backbone.num_blocks // 2, backbone.num_blocks}:
        assert trains_below(backbone, number) == []


@pytest.mark.parametrize(
    "name", ["vit_srelpos_small_patch16_224", "vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224"]
)
def test_whatever_all_blocks_share_is_frozen_with_the_first(name: str):
    with torch.device("meta"):
        backbone = TimmBackbone(name, False, image_size=224)
    assert trains_below(backbone, backbone.num_blocks) == []
    left = {parameter for parameter in backbone.parameters() if parameter.requires_grad}
    assert left == {*backbone.layer_groups()[-1].parameters}
    assert len(left) <= 2


def test_a_dropout_is_frozen_with_the_block_that_runs_before_it():
    with torch.device("meta"):
        backbone = TimmBackbone("volo_d1_224", False, options={"pos_drop_rate": 0.5})  # drops after its fifth block
    model = Classifier(backbone, Linear(backbone.num_features, num_classes=2))
    drops = {}
    for number in range(backbone.num_blocks + 1):
        model.requires_grad_(True)
        freeze(model, first(backbone.layer_groups(), number))
        drops[number] = model.train().backbone.network.pos_drop.training
    assert drops == {number: number < 5 for number in drops}


@pytest.mark.skipif(CHOICE != "all", reason="DEEPDRAW_FAMILIES is not all")
def test_every_family_of_timm_is_tried():
    tried = {family(name) for name in SMALLEST}
    assert sorted({family(name) for name in timm.list_models()} - tried) == []


def family(name: str) -> str:
    return timm.model_entrypoint(name).__module__


def trains_below(backbone: TimmBackbone, number: int) -> list[str]:
    """Freeze the first blocks, and name their modules whose output requires a gradient at its first use."""
    model = Classifier(backbone, Linear(backbone.num_features, num_classes=2))
    model.requires_grad_(True)
    frozen = first(backbone.layer_groups(), number)
    freeze(model, frozen)
    copied = on_meta(backbone)
    modules, names = dict(copied.named_modules()), {module: name for name, module in backbone.named_modules()}
    requires: dict[str, bool] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            requires.setdefault(name, any(tensor.requires_grad for tensor in tensors(output)))

        return hook

    for name in {names[module] for group in frozen for module in group.modules}:
        modules[name].register_forward_hook(note(name))
    copied(torch.zeros(1, 3, backbone.image_size, backbone.image_size, device="meta"))
    assert requires
    return [name for name, wrong in requires.items() if wrong]


def tensors(output: Any) -> list[Tensor]:
    if isinstance(output, list | tuple):
        return [tensor for part in output for tensor in tensors(part)]
    return [output] if isinstance(output, Tensor) else []
