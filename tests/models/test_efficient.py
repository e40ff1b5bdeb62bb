"""Norms, biases or adapters train, and nothing else: in a transformer, a CLIP, a convolutional network."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from deepdraw.models.backbones.base import LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import efficient

Frozen = Callable[[str, str], Classifier]

BIASES = r"(\w+\.)+(in_proj_)?bias"
# What trains of each network's tensors: written down, not asked of the code under test.
TRAINED = {
    ("vit", "norms"): r"network\.(norm|blocks\.\d\.norm[12])\.(weight|bias)",
    ("vit", "biases"): BIASES,
    (
        "vit",
        "lora",
    ): r"network\.blocks\.\d\.(attn\.(qkv|proj)|mlp\.fc[12])\.parametrizations\.weight\.0\.(down|up)",
    ("clip", "norms"): r"visual\.(ln_pre|ln_post|transformer\.resblocks\.\d\.ln_[12])\.(weight|bias)",
    ("clip", "biases"): BIASES,
    ("clip", "lora"): r"visual\.transformer\.resblocks\.\d\."
    r"(attn|attn\.out_proj|mlp\.c_fc|mlp\.c_proj)\.parametrizations\.(in_proj_)?weight\.0\.(down|up)",
    ("convolutional", "norms"): r"network\.([\w.]+\.)?bn\d\."
    r"(weight|bias|running_mean|running_var|num_batches_tracked)",
    ("convolutional", "biases"): BIASES,
    # all but the depthwise: the first of each separable block, the second of each inverted one
    ("convolutional", "lora"): r"network\.blocks\.\d\.\d\.(conv|conv_exp|conv_pw|conv_pwl|se\.conv_\w+)"
    r"\.parametrizations\.weight\.0\.(down|up)",
}


@pytest.mark.parametrize(("network", "option"), TRAINED)
def test_after_three_steps_exactly_the_stated_tensors_changed(
    network: str, option: str, frozen_model: Frozen, changed_in_three_steps: Callable[[Classifier], set[str]]
):
    model = frozen_model(network, f"freeze={option}")
    pattern = re.compile(rf"backbone\.{TRAINED[network, option]}|head\..*")
    assert changed_in_three_steps(model) == {key for key in model.state_dict() if pattern.fullmatch(key)}


@pytest.mark.parametrize(("option", "learns_statistics"), [("norms", True), ("biases", False)])
def test_batchnorm_keeps_its_statistics_unless_its_scale_trains(
    option: str, learns_statistics: bool, frozen_model: Frozen
):
    model = frozen_model("convolutional", f"freeze={option}").train()
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {learns_statistics}
    model.eval()
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize("option", ["norms", "biases", "lora"])
def test_dropout_stays_on_among_layers_that_learn(option: str, frozen_model: Frozen):
    blocks = frozen_model("vit", f"freeze={option}").train().backbone.network.blocks
    assert all(block.drop_path1.training for block in blocks)


@pytest.mark.parametrize(
    ("option", "layer", "message"),
    [
        (efficient.norms, nn.Linear(4, 4), "no normalization layers to train: use freeze=biases"),
        (efficient.biases, nn.Linear(4, 4, bias=False), "no biases to train: use freeze=norms"),
    ],
)
def test_what_the_network_lacks_is_refused(option: Callable, layer: nn.Module, message: str):
    group = LayerGroup("block 0", [layer], list(layer.parameters()))
    with pytest.raises(ValueError, match=message):
        option([LayerGroup("stem"), group, LayerGroup("final layers")])


def test_adapters_without_layers_to_adapt_or_rank_are_refused(frozen_model: Frozen):
    block = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1, groups=2))
    groups = [LayerGroup("stem"), LayerGroup("block 0", [block], list(block.parameters())), LayerGroup("final layers")]
    with pytest.raises(ValueError, match="the blocks of this backbone have none: use freeze=norms, ") as refusal:
        efficient.lora(groups, rank=8, alpha=16)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=r"freeze\.rank=0 must be at least 1"):
        efficient.lora(frozen_model("vit", "freeze=none").backbone.layer_groups(), rank=0, alpha=16)


def test_every_layer_group_keeps_its_own_adapters(frozen_model: Frozen):
    model = frozen_model("vit", "freeze=lora freeze.rank=3")
    rows = [group.num_trainable for group in model.backbone.layer_groups()]
    width, hidden = 64, 192
    matrices = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]
    assert rows == [0, *[sum(3 * (i + o) for i, o in matrices)] * 6, 0]
    assert torch.equal(model.backbone.network.blocks[0].attn.qkv.parametrizations.weight[0].scale, torch.tensor(16 / 3))
