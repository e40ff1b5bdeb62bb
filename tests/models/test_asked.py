"""A network is asked, when it is built, what it makes of a blank image and in which order it uses its layers."""

from collections.abc import Mapping
from typing import Any

import pytest
import timm
import torch

from deepdraw.models.backbones.timm import TimmBackbone


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


def test_blocks_are_found_where_timm_names_none(monkeypatch):
    """As in timm 1.0.21, whose patterns for LeViT are those of another architecture."""
    old = {"stem": r"^cls_token|pos_embed|patch_embed", "blocks": [(r"^blocks\.(\d+)", None)]}
    monkeypatch.setattr(timm.models.levit.Levit, "group_matcher", lambda network: old)
    with torch.device("meta"):
        assert TimmBackbone("levit_128s", False).num_blocks == 9
