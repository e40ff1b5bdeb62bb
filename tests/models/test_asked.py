"""A network is asked, when it is built, what it makes of a blank image; what is below a frozen block is frozen."""

from collections.abc import Mapping
from typing import Any

import pytest
import timm
import torch
from torch import nn

from deepdraw.models.backbones.dry_run import on_meta
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.policies import first, freeze
from deepdraw.models.heads import Linear


@pytest.mark.parametrize(
    ("name", "size", "options", "fix"),
    [
        ("halonet26t", 224, {}, r"use backbone.image_size=\d*.*256"),
        ("efficientformer_l1", 96, {}, "use backbone.image_size=224"),
        ("inception_v3", 56, {}, "use backbone.image_size=96"),
        ("resnet10t", 64, {"in_chans": 1}, "leave out backbone.options.in_chans=1"),
        ("test_vit", 160, {"in_chans": 1}, "leave out backbone.options.in_chans=1"),
        ("resnet10t", 64, {"num_classes": 10}, r"\[1, 10\] for \[1, 512\]: leave out backbone.options.num_classes=10"),
        ("resnet10t", 64, {"global_pool": ""}, r"\[1, 512, 2, 2\] .*leave out backbone.options.global_pool="),
        ("test_vit", 160, {"global_pool": ""}, r"\[1, 101, 64\] .*leave out backbone.options.global_pool="),
        ("resnet10t", 64, {"features_only": True}, "gives no vector of features: correct backbone.options"),
        ("test_vit", 160, {"features_only": True}, "gives no vector of features: correct backbone.options"),
    ],
)
def test_what_gives_no_vector_of_features_is_refused_in_one_line_that_names_the_fix(
    name: str, size: int, options: Mapping[str, Any], fix: str
):
    with pytest.raises(ValueError, match=fix) as refusal:
        TimmBackbone(name, False, size, options)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(("name", "size"), [("pvt_v2_b0", 256), ("resnet10t", 33), ("convnext_atto", 40)])
def test_sizes_that_the_network_takes_are_not_refused(name: str, size: int):
    backbone = TimmBackbone(name, False, size)
    with torch.no_grad():
        assert backbone.eval()(torch.zeros(1, 3, size, size)).shape == (1, backbone.num_features)


def test_asking_changes_no_weight_and_draws_no_random_number():
    torch.manual_seed(0)
    backbone = TimmBackbone("test_vit", False)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(backbone.network.state_dict().values(), network.state_dict().values(), strict=True)
    )
    assert torch.equal(drawn, torch.rand(1))
    assert backbone.training


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("caformer_s18", 18), ("poolformer_s12", 12), ("pit_ti_224", 12), ("gcvit_xxtiny", 12), ("pvt_v2_b0", 8)],
)
def test_every_block_of_a_stage_counts(name: str, blocks: int):
    with torch.device("meta"):
        assert TimmBackbone(name, False).num_blocks == blocks


@pytest.mark.parametrize(
    "name", ["vit_srelpos_small_patch16_224", "vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224"]
)
def test_whatever_all_blocks_share_is_frozen_with_the_first(name: str):
    with torch.device("meta"):
        backbone = TimmBackbone(name, False, image_size=224)
    freeze_below(backbone, backbone.num_blocks)
    left = {parameter for parameter in backbone.parameters() if parameter.requires_grad}
    assert left == {*backbone.layer_groups()[-1].parameters}
    assert len(left) <= 2


FAMILIES = ["test_vit", "resnet10t", "convnext_atto", "caformer_s18", "pit_ti_224", "coat_lite_tiny", "crossvit_9_240"]


@pytest.mark.parametrize("name", FAMILIES)
def test_no_output_of_a_frozen_block_requires_a_gradient(name: str):
    with torch.device("meta"):
        backbone = TimmBackbone(name, False)
    for number in {1, backbone.num_blocks // 2, backbone.num_blocks}:
        freeze_below(backbone, number)


def freeze_below(backbone: TimmBackbone, number: int) -> None:
    """Freeze the first blocks; fail where an output of one of their modules requires a gradient at its first use."""
    model = Classifier(backbone, Linear(backbone.num_features, num_classes=2))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    frozen = first(backbone.layer_groups(), number)
    freeze(model, frozen)
    copied = on_meta(backbone)
    modules, names = dict(copied.named_modules()), {module: name for name, module in backbone.named_modules()}
    requires: dict[str, bool] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            requires.setdefault(name, isinstance(output, torch.Tensor) and output.requires_grad)

        return hook

    for name in {names[module] for group in frozen for module in group.modules}:
        modules[name].register_forward_hook(note(name))
    size = backbone.image_size
    copied(torch.zeros(1, 3, size, size, device="meta"))
    assert requires
    assert [name for name, wrong in requires.items() if wrong] == []
